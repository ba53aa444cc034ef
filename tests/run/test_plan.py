from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.config.kinds import driver_sections
from halo_core.config.options import options_of
from halo_core.config.schema import read_config
from halo_core.errors import ConfigError, DataError, PluginError, RunError
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.run.plan import Plan, next_directory
from halo_core.testing import FakeActor
from halo_core.types import CycleReport

DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
Write = Callable[..., Path]


def named(name: str, **options: Any) -> dict[str, Any]:
    return {"name": f"{DRIVERS}:{name}", **options}


FAKES: dict[str, Any] = {
    "verifier": [named("Words")],
    "generator": named("Skilled"),
    "trainer": named("Adder"),
    "lr_policy": named("Flat"),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.model.actor.Actor", lambda config: FakeActor())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Write:
    def make(count: int = 10, name: str = "prompts.jsonl", **extra: Any) -> Path:
        path = tmp_path / name
        rows = [{"id": f"{name}{n}", "prompt": f"{name} task {n}", **extra} for n in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make


def planned(**raw: Any) -> Plan:
    return Plan.from_raw({**FAKES, **raw})


def begin(plan: Plan, place: Path) -> None:
    """Begin a run, or go on with it, and leave it at that."""
    with plan.open(place):
        pass


def go(plan: Plan, place: Path) -> list[CycleReport]:
    with plan.open(place) as opened:
        return run_cycles(*opened)


def given(data: Write, /, **raw: Any) -> Plan:
    if "data" not in raw:
        raw["data"] = {"prompts": str(data())}
    return planned(**{"model": {"name": "m"}, **raw})


def test_the_resolved_form_holds_every_option_of_every_driver(data: Write) -> None:
    plan = given(data)
    dumped = plan.config.model_dump(mode="json")
    for kind in driver_sections():
        driver = plan.drivers.get(kind)
        options = {option.name: getattr(driver, option.name) for option in options_of(type(driver))}
        assert {k: v for k, v in dumped[kind].items() if k != "name"} == json.loads(json.dumps(options))
    (verifier,) = dumped["verifier"]
    assert {"mode", "needs_reference", "missing_tool", "seconds"} < set(verifier)
    assert set(dumped) == set(type(plan.config).model_fields)


def test_the_resolved_form_is_typed_whatever_it_was_written_as(data: Write) -> None:
    plan = given(data, lr_policy=named("Flat", base_lr="5e-5"), selector={"cap": "3", "truncated": "yes"})
    assert plan.config.lr_policy.options == {"base_lr": 5e-5}
    assert (plan.config.selector.options["cap"], plan.config.selector.options["truncated"]) == (3, True)


SHAPE = """
from halo_core import hookimpl
from halo_core.drivers import driver

@driver
class Shape:
    "Scale the reward."
    factor: float = 0.5
    "By this."

    @hookimpl(wrapper=True)
    def reward(self):
        rewards = yield
        return [self.factor * reward for reward in rewards]
"""


def test_the_resolved_form_holds_the_options_of_plugins_too(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    spelt = [{"name": "./shape.py:Shape"}, {"name": "./shape.py:Shape", "factor": "0.5"}]
    plans = [given(data, plugins=[spec]) for spec in spelt]
    assert plans[0].config == plans[1].config
    (spec,) = plans[0].config.plugins
    assert spec.name == f"{tmp_path}/shape.py:Shape"
    assert spec.options == {"factor": 0.5}


def test_the_resolved_form_reads_back_as_itself(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    for plan in (planned(), given(data, plugins=["./shape.py:Shape"])):
        again = Plan.from_raw(plan.config.model_dump(mode="json"))
        assert again.config == plan.config
        assert again.drivers.get("selector") == plan.drivers.get("selector")


def test_paths_do_not_depend_on_where_one_stands(data: Write, tmp_path: Path) -> None:
    data(name="prompts.jsonl")
    data(name="held.jsonl")
    (tmp_path / "model").mkdir()
    shutil.copy(DRIVERS, tmp_path / "own.py")
    plan = planned(
        verifier=["./own.py:Words"],
        model={"name": "model"},
        data={"prompts": "prompts.jsonl", "heldout": "./held.jsonl"},
    )
    config = plan.config
    assert config.verifier[0].name == f"{tmp_path}/own.py:Words"
    assert config.model.name == str(tmp_path / "model")
    assert (config.data.prompts, config.data.heldout) == (
        f"{tmp_path}/prompts.jsonl",
        f"{tmp_path}/held.jsonl",
    )


def test_a_directory_that_is_called_like_a_driver_is_not_taken_for_it(data: Write, tmp_path: Path) -> None:
    for name in ("raft", "graduated", "hf", "org"):
        (tmp_path / name).mkdir()
    config = given(data, model={"name": "org/model"}).config
    assert (config.selector.name, config.reward.name, config.model.name) == ("raft", "graduated", "org/model")


@pytest.mark.parametrize(
    ("raw", "says", "hint"),
    [
        ({"verifier": ["nope"]}, "no verifier named 'nope' is installed", ""),
        (
            {"verifier": ["lean"]},
            "no verifier named 'lean' is installed",
            "pip install halo-verifier-lean",
        ),
        ({"lr_policy": "exponental"}, "no lr_policy named 'exponental'", "did you mean 'exponential'?"),
        ({"selector": "rafft"}, "no selector named 'rafft'", "did you mean 'raft'?"),
        ({"plugins": ["nope"]}, "no plugin named 'nope' is installed", "known: doctor, gate"),
        ({"plugins": ["./nope.py"]}, "plugin file 'nope.py' cannot be read", ""),
        ({"verifier": [named("Nope")]}, "has no 'Nope'", ""),
        ({"verifier": [named("Flat")]}, "is not a Verifier", "halo_core.drivers.Verifier"),
        ({"lr_policy": named("Words")}, "is not a LRPolicy", "halo_core.drivers.LRPolicy"),
    ],
)
def test_a_name_that_cannot_be_used(data: Write, raw: dict[str, Any], says: str, hint: str) -> None:
    with pytest.raises(PluginError) as caught:
        given(data, **raw)
    assert says in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "says", "hint"),
    [
        (
            {"selector": {"treshold": 1}},
            "selector 'raft' has no option 'treshold'",
            "did you mean 'threshold'?",
        ),
        ({"verifier": [named("Words", mod="x")]}, "has no option 'mod'", "did you mean 'mode'?"),
        ({"verifier": [named("Words", mode="x")]}, "mode: input should be 'plain' or 'strict' (got 'x')", ""),
        ({"lr_policy": named("Flat", base_lr="fast")}, "base_lr: ", ""),
        ({"verifier": [named("Words"), named("Words")]}, "verifier 'Words' is listed twice", "once"),
        ({"cylces": 3}, "unknown key 'cylces'", "cycles"),
        ({"model": {}}, "prompts were given but no model", "--model"),
    ],
)
def test_a_configuration_that_cannot_be_used(data: Write, raw: dict[str, Any], says: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(data, **raw)
    assert says in str(caught.value)
    assert hint in caught.value.hint


def test_two_distributions_may_both_give_a_gcc_but_not_to_one_run(data: Write) -> None:
    with pytest.raises(ConfigError, match="verifier 'gcc' is listed twice"):
        given(data, verifier=["one:gcc", "two:gcc"])


@pytest.mark.parametrize("options", [{"x": 1}, {"name2": "y"}])
def test_a_module_plugin_takes_no_options(data: Write, tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "mod.py").write_text("")
    with pytest.raises(ConfigError, match="takes no options") as caught:
        given(data, plugins=[{"name": "./mod.py", **options}])
    assert "@driver" in caught.value.hint


# The demo


def test_with_neither_model_nor_prompts_the_demo_stands_in() -> None:
    plan = planned()
    assert plan.demo is not None
    assert plan.demo_model
    prompts, heldout = plan.data()
    assert (len(prompts), len(heldout)) == (8, 4)
    assert plan.config.model.name == str(DRIVERS.parent)


def test_the_demos_settings_hold_below_the_users_and_only_where_they_fit() -> None:
    plan = planned()
    assert (plan.config.cycles, plan.config.samples_per_prompt) == (2, 6)
    assert plan.config.lr_policy.options == {"base_lr": 0.25}, "Flat has no decay"
    assert "lora_rank" not in plan.config.trainer.options
    plan = planned(cycles=3, lr_policy=named("Flat", base_lr=0.125))
    assert (plan.config.cycles, plan.config.samples_per_prompt) == (3, 6)
    assert plan.config.lr_policy.options == {"base_lr": 0.125}
    raw = {**FAKES}
    del raw["lr_policy"]
    assert Plan.from_raw(raw).config.lr_policy.options["base_lr"] == 0.25, (
        "the default policy has that option"
    )
    assert Plan.from_raw({**raw, "lr_policy": "exponential"}).config.lr_policy.options["decay"] == 0.5


def test_with_a_model_the_demos_prompts_are_used_but_not_its_settings() -> None:
    plan = planned(model={"name": "m"})
    assert plan.demo is not None
    assert not plan.demo_model
    assert (plan.config.model.name, plan.config.cycles) == ("m", 5)
    assert len(plan.data()[0]) == 8


def test_settings_for_the_demos_model_do_not_lose_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from halo_core.drivers import Demo
    from halo_core.verification.verifiers import VerifierSet

    plain = VerifierSet.demo

    def demo(verifiers: VerifierSet) -> Demo:
        found = plain(verifiers)
        return Demo(found.prompts, found.heldout, found.model, {"model": {"dtype": "float32"}})

    monkeypatch.setattr(VerifierSet, "demo", demo)
    model = planned(model={"device": "cpu"}).config.model
    assert (model.name, model.dtype, model.device) == (str(DRIVERS.parent), "float32", "cpu")


def test_own_heldout_prompts_go_with_the_demos(data: Write) -> None:
    plan = planned(data={"heldout": str(data(3, "held.jsonl"))})
    assert [len(part) for part in plan.data()] == [8, 3]


def test_a_verifier_without_a_demo_says_what_to_give() -> None:
    with pytest.raises(
        ConfigError, match="no prompts were given, and verifier 'Undemonstrable' ships no demo"
    ) as caught:
        planned(verifier=[named("Undemonstrable")])
    assert "--data" in caught.value.hint


# Data


def test_prompts_are_split_unless_held_out_ones_are_given(data: Write) -> None:
    path = str(data(20))
    assert [len(part) for part in given(data, data={"prompts": path}).data()] == [18, 2]
    assert [len(part) for part in given(data, data={"prompts": path, "heldout_share": 0.5}).data()] == [
        10,
        10,
    ]
    held = str(data(3, "held.jsonl"))
    assert [len(part) for part in given(data, data={"prompts": path, "heldout": held}).data()] == [20, 3]


def test_a_limit_takes_from_the_training_prompts_alone(data: Write) -> None:
    path = str(data(20))
    assert [len(part) for part in given(data, data={"prompts": path, "limit": 5}).data()] == [5, 2]


def test_held_out_prompts_that_are_trained_on_are_refused(data: Write) -> None:
    path = str(data(20))
    with pytest.raises(DataError, match="is also a training prompt"):
        given(data, data={"prompts": path, "heldout": path}).data()


def test_a_prompt_that_its_verifier_cannot_judge_is_refused(data: Write, tmp_path: Path) -> None:
    plan = given(data, verifier=[named("Words", needs_reference=True)])
    with pytest.raises(DataError, match=r"prompt 'prompts.jsonl\d' has no tests") as caught:
        begin(plan, tmp_path / "run")
    assert "reference" in caught.value.hint
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_a_prompt_for_a_verifier_that_is_not_there_is_refused(data: Write) -> None:
    plan = given(data)
    path = data(3, "sql.jsonl", verifier="Wrds")
    plan = given(data, data={"prompts": str(path)})
    with pytest.raises(DataError, match="names verifier 'Wrds', which is not configured") as caught:
        plan.drivers.verifiers.check_prompts(plan.data()[0])
    assert caught.value.hint == "did you mean 'Words'?"


# Opening


def test_a_plan_writes_nothing(data: Write, tmp_path: Path) -> None:
    path = data()
    before = sorted(tmp_path.iterdir())
    given(data, data={"prompts": str(path)}).data()
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_is_begun_and_gone_on_with(data: Write, tmp_path: Path) -> None:
    plan = given(data, cycles=2)
    place = tmp_path / "deep" / "run"
    first = go(plan, place)
    assert go(plan, place) == first
    again = Plan.from_raw(Ledger(place).config())
    assert go(again, place) == first


def test_a_run_is_gone_on_with_by_the_prompts_it_was_begun_with(data: Write, tmp_path: Path) -> None:
    plan = given(data)
    with plan.open(tmp_path / "run") as (run, _):
        Path(plan.config.data.prompts).unlink()
    with Plan.from_raw(run.ledger.config()).open(tmp_path / "run") as (again, _):
        pass
    assert (again.prompts, again.heldout) == (run.prompts, run.heldout)


def test_a_run_of_another_configuration_is_refused_with_what_differs(data: Write, tmp_path: Path) -> None:
    begin(given(data), tmp_path / "run")
    with pytest.raises(RunError, match="another configuration: seed: 0 there, 1 here") as caught:
        begin(given(data, seed=1), tmp_path / "run")
    assert "halo resume" in caught.value.hint
    with pytest.raises(RunError, match=r"lr_policy.base_lr: 0.2 there, 0.1 here"):
        begin(given(data, lr_policy=named("Flat", base_lr=0.1)), tmp_path / "run")
    with pytest.raises(RunError, match=r"\(and \d more\)"):
        begin(given(data, seed=1, cycles=9, samples_per_prompt=3, max_error_rate=0.5), tmp_path / "run")
    begin(given(data, workers=1), tmp_path / "run")


def test_a_directory_with_something_else_in_it_is_refused(data: Write, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        begin(given(data), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_what_is_missing_on_the_machine_is_said_before_anything_is_written(
    data: Write, tmp_path: Path
) -> None:
    plan = given(data, verifier=[named("Words", missing_tool=True)])
    with pytest.raises(PluginError, match="no C compiler") as caught:
        begin(plan, tmp_path / "run")
    assert "apt-get" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_loaded_leaves_no_run_behind(
    data: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing:
        def __init__(self, config: Any) -> None: ...

        @property
        def model(self) -> Any:
            raise OSError("no such model")

    monkeypatch.setattr("halo_core.model.actor.Actor", Missing)
    with pytest.raises(OSError, match="no such model"):
        begin(given(data), tmp_path / "run")
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_a_broken_hook_plugin_is_refused_before_anything_is_written(data: Write, tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text("from halo_core import hookimpl\n@hookimpl\ndef on_cycle_ends(): ...\n")
    with pytest.raises(PluginError, match=r"plugin 'mod' .* implements 'on_cycle_ends'"):
        begin(given(data, plugins=["./mod.py"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_manifest_says_where_everything_came_from(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    plan = given(data, plugins=["./shape.py:Shape"], selector={"cap": 2})
    with plan.open(tmp_path / "run") as (run, hooks):
        pass
    rows = json.loads((run.directory / "plugins.json").read_text())
    assert {row["kind"] for row in rows} == {*driver_sections(), "verifier", "plugin"}
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind["selector"]["options"]["cap"] == 2
    assert by_kind["selector"]["distribution"] == "halo-core"
    assert by_kind["plugin"]["version"].startswith("sha256:")
    assert by_kind["plugin"]["options"] == {"factor": 0.5}
    assert [asdict(source) for source in hooks.sources()] == [
        {key: by_kind["plugin"][key] for key in ("kind", "name", "distribution", "version", "target")}
    ]


def test_a_file_plugin_shapes_the_reward(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    plain = go(given(data, cycles=1), tmp_path / "plain")
    shaped = given(
        data, cycles=1, plugins=[{"name": "./shape.py:Shape", "factor": 0.9}], selector={"threshold": 0.1}
    )
    assert go(shaped, tmp_path / "run")[1].reward_mean == pytest.approx(0.9 * plain[1].reward_mean)


def test_plugins_wrap_in_the_order_of_the_list(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    (tmp_path / "add.py").write_text(SHAPE.replace("self.factor * reward", "self.factor + reward"))
    means = []
    for number, order in enumerate([["shape", "add"], ["add", "shape"]]):
        plugins = [f"./{name}.py:Shape" for name in order]
        plan = given(data, cycles=1, plugins=plugins, selector={"threshold": -9})
        means.append(go(plan, tmp_path / str(number))[1].reward_mean)
    assert means[0] - means[1] == pytest.approx(0.5 - 0.25), "0.5 r + 0.5, then 0.5 (r + 0.5)"


def test_the_next_directory_is_named_by_verifier_and_policy(tmp_path: Path) -> None:
    config = read_config({"verifier": ["halo-verifier-gcc:gcc", "sql"], "lr_policy": "exponential"})
    (tmp_path / "gcc-exponential-2").mkdir()
    given = [next_directory(tmp_path / "runs", config) for _ in range(2)]
    assert given == [tmp_path / "runs" / f"gcc-exponential-{number}" for number in (1, 2)]
    assert all(place.is_dir() for place in given), "nobody else is given them"
    assert next_directory(tmp_path, config) == tmp_path / "gcc-exponential-1"
    assert next_directory(tmp_path, config) == tmp_path / "gcc-exponential-3"


def test_a_run_is_held_while_it_is_open(data: Write, tmp_path: Path) -> None:
    plan = given(data)
    with plan.open(tmp_path / "run"), pytest.raises(RunError, match="in use by another process"):
        begin(plan, tmp_path / "run")
    begin(plan, tmp_path / "run")


def test_a_file_that_was_edited_judges_anew(data: Write, tmp_path: Path) -> None:
    source = "from halo_core.testing import FakeVerifier\nclass Judge(FakeVerifier):\n    '''{}'''\n"
    seen = []
    for text in ("one", "two", "one"):
        (tmp_path / "judge.py").write_text(source.format(text))
        seen.append(given(data, verifier=["./judge.py:Judge"]).drivers.verifiers.fingerprints()["Judge"])
    assert seen[0] == seen[2] != seen[1]


def test_an_option_that_a_driver_has_gained_since_is_no_difference(data: Write, tmp_path: Path) -> None:
    plan, place = given(data), tmp_path / "run"
    begin(plan, place)
    written = yaml.safe_load((place / "run.yaml").read_text())
    assert written["verifier"][0].pop("needs_reference") is False
    (place / "run.yaml").write_text(yaml.safe_dump(written))
    begin(plan, place)
    with pytest.raises(RunError, match=r"verifier\[0\].needs_reference: False there, True here"):
        begin(given(data, verifier=[named("Words", needs_reference=True)]), place)


def test_a_ledger_that_lost_its_prompts_is_damaged(data: Write, tmp_path: Path) -> None:
    begin(given(data), tmp_path / "run")
    with contextlib.closing(Ledger(tmp_path / "run")) as ledger, ledger.writing() as db:
        db.execute("DELETE FROM prompts")
    with pytest.raises(RunError, match="is damaged: it holds no prompts"):
        begin(given(data), tmp_path / "run")
