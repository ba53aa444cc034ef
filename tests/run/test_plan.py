from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from present import present

from halo_core.config.kinds import driver_sections
from halo_core.config.model import ModelConfig
from halo_core.config.options import options_of
from halo_core.config.schema import read_config
from halo_core.errors import ConfigError, DataError, HaloError, PluginError, RunError
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.run.plan import Plan, next_directory
from halo_core.run.resume import recorded_precision
from halo_core.testing import FakeActor
from halo_core.types import CycleReport

DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
Write = Callable[..., Path]


def spec(name: str, **options: Any) -> dict[str, Any]:
    return {"name": f"{DRIVERS}:{name}", **options}


FAKES: dict[str, Any] = {
    "verifier": [spec("Words")],
    "generator": spec("Skilled"),
    "trainer": spec("Adder"),
    "lr_policy": spec("Flat"),
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


def open_run(plan: Plan, place: Path) -> None:
    """Start or resume a run, and close it at once."""
    with plan.open(place):
        pass


def run_to_end(plan: Plan, place: Path) -> list[CycleReport]:
    with plan.open(place) as opened:
        return run_cycles(*opened)


def plan_with(data: Write, /, **raw: Any) -> Plan:
    if "data" not in raw:
        raw["data"] = {"prompts": str(data())}
    return planned(**{"model": {"name": "m"}, **raw})


def test_the_resolved_configuration_has_every_option_of_every_driver(data: Write) -> None:
    plan = plan_with(data)
    dumped = plan.config.model_dump(mode="json")
    for kind in driver_sections():
        driver = plan.drivers.get(kind)
        options = {option.name: getattr(driver, option.name) for option in options_of(type(driver))}
        assert {k: v for k, v in dumped[kind].items() if k != "name"} == json.loads(json.dumps(options))
    (verifier,) = dumped["verifier"]
    assert {"mode", "needs_reference", "missing_tool", "seconds"} < set(verifier)
    assert set(dumped) == set(type(plan.config).model_fields)


def test_the_resolved_configuration_is_typed(data: Write) -> None:
    plan = plan_with(data, lr_policy=spec("Flat", base_lr="5e-5"), selector={"cap": "3", "truncated": "yes"})
    assert plan.config.spec("lr_policy").options == {"base_lr": 5e-5}
    selector = plan.config.spec("selector")
    assert (selector.options["cap"], selector.options["truncated"]) == (3, True)


SHAPE = """
from halo_core import hookimpl
from halo_core.drivers import driver

@driver
class Shape:
    "Scale the reward."
    factor: float = 0.5
    "Factor of the reward."

    @hookimpl(wrapper=True)
    def reward(self):
        rewards = yield
        return [self.factor * reward for reward in rewards]
"""


def test_the_resolved_configuration_has_the_options_of_plugins(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    spelt = [{"name": "./shape.py:Shape"}, {"name": "./shape.py:Shape", "factor": "0.5"}]
    plans = [plan_with(data, plugins=[entry]) for entry in spelt]
    assert plans[0].config == plans[1].config
    (plugin,) = plans[0].config.specs("plugin")
    assert plugin.name == f"{tmp_path}/shape.py:Shape"
    assert plugin.options == {"factor": 0.5}


def test_the_resolved_configuration_round_trips(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    for plan in (planned(), plan_with(data, plugins=["./shape.py:Shape"])):
        again = Plan.from_raw(plan.config.model_dump(mode="json"))
        assert again.config == plan.config
        assert again.drivers.get("selector") == plan.drivers.get("selector")


def test_resolved_paths_are_absolute(data: Write, tmp_path: Path) -> None:
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
    assert config.specs("verifier")[0].name == f"{tmp_path}/own.py:Words"
    assert config.model.name == str(tmp_path / "model")
    assert (config.data.prompts, config.data.heldout) == (
        f"{tmp_path}/prompts.jsonl",
        f"{tmp_path}/held.jsonl",
    )


def test_a_directory_with_the_name_of_a_driver_or_model_is_ignored(data: Write, tmp_path: Path) -> None:
    for name in ("raft", "graduated", "hf", "org"):
        (tmp_path / name).mkdir()
    config = plan_with(data, model={"name": "org/model"}).config
    names = (config.spec("selector").name, config.spec("reward").name, config.model.name)
    assert names == ("raft", "graduated", "org/model")


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        ({"verifier": ["nope"]}, "no verifier named 'nope' is installed", ""),
        (
            {"verifier": ["lean"]},
            "no verifier named 'lean' is installed",
            "pip install halo-verifier-lean",
        ),
        ({"lr_policy": "exponental"}, "no lr policy named 'exponental'", "did you mean 'exponential'?"),
        ({"selector": "rafft"}, "no selector named 'rafft'", "did you mean 'raft'?"),
        ({"plugins": ["nope"]}, "no plugin named 'nope' is installed", "known: doctor, gate"),
        ({"plugins": ["./nope.py"]}, "plugin file 'nope.py' cannot be read", ""),
        ({"verifier": [spec("Nope")]}, "has no 'Nope'", ""),
        ({"verifier": [spec("Flat")]}, "is not a Verifier", "halo_core.drivers.Verifier"),
        ({"lr_policy": spec("Words")}, "is not a LRPolicy", "halo_core.drivers.LRPolicy"),
    ],
)
def test_an_unusable_name_is_rejected(data: Write, raw: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(PluginError) as caught:
        plan_with(data, **raw)
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (
            {"selector": {"treshold": 1}},
            "selector 'raft' has no option 'treshold'",
            "did you mean 'threshold'?",
        ),
        ({"verifier": [spec("Words", mod="x")]}, "has no option 'mod'", "did you mean 'mode'?"),
        ({"verifier": [spec("Words", mode="x")]}, "mode: input should be 'plain' or 'strict' (got 'x')", ""),
        ({"lr_policy": spec("Flat", base_lr="fast")}, "base_lr: ", ""),
        ({"verifier": [spec("Words"), spec("Words")]}, "verifier 'Words' is listed twice", "once"),
        ({"cylces": 3}, "unknown key 'cylces'", "cycles"),
        ({"model": {}}, "prompts were given but no model", "--model"),
    ],
)
def test_an_unusable_configuration_is_rejected(
    data: Write, raw: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_with(data, **raw)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_verifiers_with_equal_short_names_are_rejected(data: Write) -> None:
    with pytest.raises(ConfigError, match="verifier 'gcc' is listed twice"):
        plan_with(data, verifier=["one:gcc", "two:gcc"])


@pytest.mark.parametrize("options", [{"x": 1}, {"name2": "y"}])
def test_a_module_plugin_takes_no_options(data: Write, tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "mod.py").write_text("")
    with pytest.raises(ConfigError, match="takes no options") as caught:
        plan_with(data, plugins=[{"name": "./mod.py", **options}])
    assert "@hook_plugin" in caught.value.hint


# The demo


def test_without_model_and_prompts_the_demo_is_used() -> None:
    plan = planned()
    assert plan.demo is not None
    assert plan.demo_model
    prompts, heldout = plan.data()
    assert (len(prompts), len(heldout)) == (8, 4)
    assert plan.config.model.name == str(DRIVERS.parent)


def test_demo_settings_are_overridden_by_the_users_and_limited_to_known_options() -> None:
    plan = planned()
    assert (plan.config.cycles, plan.config.samples_per_prompt) == (2, 6)
    assert plan.config.spec("lr_policy").options == {"base_lr": 0.25}, "Flat has no decay"
    assert "lora_rank" not in plan.config.spec("trainer").options
    plan = planned(cycles=3, lr_policy=spec("Flat", base_lr=0.125))
    assert (plan.config.cycles, plan.config.samples_per_prompt) == (3, 6)
    assert plan.config.spec("lr_policy").options == {"base_lr": 0.125}
    raw = {**FAKES}
    del raw["lr_policy"]
    assert Plan.from_raw(raw).config.spec("lr_policy").options["base_lr"] == 0.25, (
        "the default policy has that option"
    )
    assert Plan.from_raw({**raw, "lr_policy": "exponential"}).config.spec("lr_policy").options["decay"] == 0.5


def test_with_a_model_the_demo_gives_prompts_but_no_settings() -> None:
    plan = planned(model={"name": "m"})
    assert plan.demo is not None
    assert not plan.demo_model
    assert (plan.config.model.name, plan.config.cycles) == ("m", 5)
    assert len(plan.data()[0]) == 8


@pytest.mark.parametrize(("own", "wanted"), [({}, "Answer in C."), ({"system": "Mine."}, "Mine.")])
def test_another_model_is_told_what_the_demo_prompts_leave_unsaid(
    own: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_core.verification.verifiers import VerifierSet

    plain = VerifierSet.demo
    monkeypatch.setattr(VerifierSet, "demo", lambda it: replace(plain(it), system="Answer in C."))
    generator = {"name": "transformers", **own}
    assert (
        planned(model={"name": "m"}, generator=generator).config.spec("generator").options["system"] == wanted
    )
    demo = planned(generator=generator).config.spec("generator").options["system"]
    assert demo == own.get("system", ""), "the demo's own model knows"
    fake = planned(model={"name": "m"}).config.spec("generator").options
    assert "system" not in fake, "a generator without the option"


def test_demo_settings_for_the_model_keep_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from halo_core.drivers import Demo
    from halo_core.verification.verifiers import VerifierSet

    plain = VerifierSet.demo

    def demo(verifiers: VerifierSet) -> Demo:
        found = plain(verifiers)
        return Demo(found.prompts, found.heldout, found.model, {"model": {"dtype": "float32"}})

    monkeypatch.setattr(VerifierSet, "demo", demo)
    model = planned(model={"device": "cpu"}).config.model
    assert (model.name, model.dtype, model.device) == (str(DRIVERS.parent), "float32", "cpu")


def test_own_held_out_prompts_replace_those_of_the_demo(data: Write) -> None:
    plan = planned(data={"heldout": str(data(3, "held.jsonl"))})
    assert [len(part) for part in plan.data()] == [8, 3]


def test_a_verifier_without_a_demo_is_an_error_with_a_hint() -> None:
    with pytest.raises(
        ConfigError, match="no prompts were given, and verifier 'Undemonstrable' ships no demo"
    ) as caught:
        planned(verifier=[spec("Undemonstrable")])
    assert "--data" in caught.value.hint


# Data


def test_prompts_are_split_unless_held_out_prompts_are_given(data: Write) -> None:
    path = str(data(20))
    assert [len(part) for part in plan_with(data, data={"prompts": path}).data()] == [18, 2]
    assert [len(part) for part in plan_with(data, data={"prompts": path, "heldout_share": 0.5}).data()] == [
        10,
        10,
    ]
    held = str(data(3, "held.jsonl"))
    assert [len(part) for part in plan_with(data, data={"prompts": path, "heldout": held}).data()] == [20, 3]


def test_the_limit_applies_to_training_prompts_only(data: Write) -> None:
    path = str(data(20))
    assert [len(part) for part in plan_with(data, data={"prompts": path, "limit": 5}).data()] == [5, 2]


def test_held_out_prompts_that_are_also_training_prompts_are_rejected(data: Write) -> None:
    path = str(data(20))
    with pytest.raises(DataError, match="is also a training prompt"):
        plan_with(data, data={"prompts": path, "heldout": path}).data()


def test_a_prompt_that_its_verifier_cannot_use_is_rejected(data: Write, tmp_path: Path) -> None:
    plan = plan_with(data, verifier=[spec("Words", needs_reference=True)])
    with pytest.raises(DataError, match=r"prompt 'prompts.jsonl\d' has no tests") as caught:
        open_run(plan, tmp_path / "run")
    assert "reference" in caught.value.hint
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_a_prompt_for_an_unknown_verifier_is_rejected(data: Write) -> None:
    plan = plan_with(data)
    path = data(3, "sql.jsonl", verifier="Wrds")
    plan = plan_with(data, data={"prompts": str(path)})
    with pytest.raises(DataError, match="names verifier 'Wrds', which is not configured") as caught:
        plan.drivers.verifiers.check_prompts(plan.data()[0])
    assert caught.value.hint == "did you mean 'Words'?"


# Opening


def test_a_plan_writes_nothing(data: Write, tmp_path: Path) -> None:
    path = data()
    before = sorted(tmp_path.iterdir())
    plan_with(data, data={"prompts": str(path)}).data()
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_is_started_and_resumed(data: Write, tmp_path: Path) -> None:
    plan = plan_with(data, cycles=2)
    place = tmp_path / "deep" / "run"
    first = run_to_end(plan, place)
    assert run_to_end(plan, place) == first
    again = Plan.from_raw(Ledger(place).config())
    assert run_to_end(again, place) == first


def test_a_resumed_run_uses_the_stored_prompts(data: Write, tmp_path: Path) -> None:
    plan = plan_with(data)
    with plan.open(tmp_path / "run") as (run, _):
        Path(present(plan.config.data.prompts)).unlink()
    with Plan.from_raw(run.ledger.config()).open(tmp_path / "run") as (again, _):
        pass
    assert (again.prompts, again.heldout) == (run.prompts, run.heldout)


def test_a_resumed_run_does_not_need_the_run_that_its_prompts_are_from(data: Write, tmp_path: Path) -> None:
    open_run(plan_with(data), tmp_path / "first")
    raw = plan_with(data).config.model_dump(mode="json")
    raw["data"] = {"prompts": str(tmp_path / "first"), "heldout": str(tmp_path / "first")}
    open_run(Plan.from_raw(raw), tmp_path / "second")
    (tmp_path / "first/ledger.db").write_bytes(b"damaged")
    open_run(Plan.from_raw(raw), tmp_path / "second")


def test_a_run_of_another_configuration_is_rejected_with_the_differences(data: Write, tmp_path: Path) -> None:
    open_run(plan_with(data), tmp_path / "run")
    with pytest.raises(RunError, match="another configuration: seed: was 0, is 1") as caught:
        open_run(plan_with(data, seed=1), tmp_path / "run")
    assert "halo resume" in caught.value.hint
    with pytest.raises(RunError, match=r"configuration: verifier: Words there, gcc and sympy here$"):
        open_run(plan_with(data, verifier=["gcc", "sympy"]), tmp_path / "run")
    with pytest.raises(RunError, match=r"lr_policy.base_lr: was 0.2, is 0.1"):
        open_run(plan_with(data, lr_policy=spec("Flat", base_lr=0.1)), tmp_path / "run")
    with pytest.raises(RunError, match=r"\(and \d more\)"):
        open_run(
            plan_with(data, seed=1, cycles=9, samples_per_prompt=3, max_error_rate=0.5), tmp_path / "run"
        )
    open_run(plan_with(data, workers=1), tmp_path / "run")


def test_a_directory_with_other_files_is_rejected(data: Write, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="is not empty"):
        open_run(plan_with(data), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_preflight_fails_before_anything_is_written(data: Write, tmp_path: Path) -> None:
    plan = plan_with(data, verifier=[spec("Words", missing_tool=True)])
    with pytest.raises(PluginError, match="no C compiler") as caught:
        open_run(plan, tmp_path / "run")
    assert "apt-get" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_an_evaluation_set_that_is_missing_leaves_no_run_behind(data: Write, tmp_path: Path) -> None:
    plan = plan_with(data)
    raw = plan.config.model_dump(mode="json")
    raw["data"]["contamination"] = {"sets": {"mine": str(tmp_path / "missing.jsonl")}}
    with pytest.raises(DataError, match=r"missing\.jsonl"):
        open_run(Plan.from_raw(raw), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_fails_to_load_leaves_no_run_behind(
    data: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing:
        def __init__(self, config: Any) -> None: ...

        def preflight(self) -> str:
            return ""

        @property
        def model(self) -> Any:
            raise OSError("no such model")

    monkeypatch.setattr("halo_core.model.actor.Actor", Missing)
    with pytest.raises(OSError, match="no such model"):
        open_run(plan_with(data), tmp_path / "run")
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_an_invalid_hook_plugin_is_rejected_before_anything_is_written(data: Write, tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text("from halo_core import hookimpl\n@hookimpl\ndef on_cycle_ends(): ...\n")
    with pytest.raises(PluginError, match=r"plugin 'mod' .* implements 'on_cycle_ends'"):
        open_run(plan_with(data, plugins=["./mod.py"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_manifest_has_the_source_of_every_driver_and_plugin(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    plan = plan_with(data, plugins=["./shape.py:Shape"], selector={"cap": 2})
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
    plain = run_to_end(plan_with(data, cycles=1), tmp_path / "plain")
    shaped = plan_with(
        data, cycles=1, plugins=[{"name": "./shape.py:Shape", "factor": 0.9}], selector={"threshold": 0.1}
    )
    assert run_to_end(shaped, tmp_path / "run")[1].reward_mean == pytest.approx(0.9 * plain[1].reward_mean)


def test_plugins_wrap_in_the_order_of_the_list(data: Write, tmp_path: Path) -> None:
    (tmp_path / "shape.py").write_text(SHAPE)
    (tmp_path / "add.py").write_text(SHAPE.replace("self.factor * reward", "self.factor + reward"))
    means = []
    for number, order in enumerate([["shape", "add"], ["add", "shape"]]):
        plugins = [f"./{name}.py:Shape" for name in order]
        plan = plan_with(data, cycles=1, plugins=plugins, selector={"threshold": -9})
        means.append(run_to_end(plan, tmp_path / str(number))[1].reward_mean)
    assert means[0] - means[1] == pytest.approx(0.5 - 0.25), "0.5 r + 0.5, then 0.5 (r + 0.5)"


def test_the_next_directory_is_named_by_verifier_and_policy(tmp_path: Path) -> None:
    config = read_config({"verifier": ["halo-verifier-gcc:gcc", "sql"], "lr_policy": "exponential"})
    (tmp_path / "gcc-exponential-2").mkdir()
    created = [next_directory(tmp_path / "runs", config) for _ in range(2)]
    assert created == [tmp_path / "runs" / f"gcc-exponential-{number}" for number in (1, 2)]
    assert all(place.is_dir() for place in created)
    assert next_directory(tmp_path, config) == tmp_path / "gcc-exponential-1"
    assert next_directory(tmp_path, config) == tmp_path / "gcc-exponential-3"


def test_a_run_is_locked_while_it_is_open(data: Write, tmp_path: Path) -> None:
    plan = plan_with(data)
    with plan.open(tmp_path / "run"), pytest.raises(RunError, match="in use by another process"):
        open_run(plan, tmp_path / "run")
    open_run(plan, tmp_path / "run")


def test_editing_a_verifier_file_changes_its_fingerprint(data: Write, tmp_path: Path) -> None:
    source = "from halo_core.testing import FakeVerifier\nclass Mine(FakeVerifier):\n    '''{}'''\n"
    seen = []
    for text in ("one", "two", "one"):
        (tmp_path / "mine.py").write_text(source.format(text))
        seen.append(plan_with(data, verifier=["./mine.py:Mine"]).drivers.verifiers.fingerprints()["Mine"])
    assert seen[0] == seen[2] != seen[1]


def test_an_option_added_to_a_driver_since_is_not_a_difference(data: Write, tmp_path: Path) -> None:
    plan, place = plan_with(data), tmp_path / "run"
    open_run(plan, place)
    written = yaml.safe_load((place / "run.yaml").read_text())
    assert written["verifier"][0].pop("needs_reference") is False
    (place / "run.yaml").write_text(yaml.safe_dump(written))
    open_run(plan, place)
    with pytest.raises(RunError, match=r"verifier\[0\].needs_reference: was False, is True"):
        open_run(plan_with(data, verifier=[spec("Words", needs_reference=True)]), place)


REMOVED = """
from typing import ClassVar
from halo_core.drivers import driver
from halo_core.testing import FakeVerifier

@driver
class Mine(FakeVerifier):
    removed_options: ClassVar[dict[str, object]] = {"strict": False}
"""


def test_a_stored_configuration_with_a_removed_option_is_resumed_if_its_value_was_harmless(
    data: Write, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(REMOVED)
    plan, place = plan_with(data, verifier=["./mine.py:Mine"], cycles=1), tmp_path / "run"
    open_run(plan, place)
    stored = yaml.safe_load((place / "run.yaml").read_text())

    def store(value: bool) -> dict[str, Any]:
        stored["verifier"][0]["strict"] = value
        (place / "run.yaml").write_text(yaml.safe_dump(stored))
        return Ledger(place).config()

    resumed = Plan.from_raw(store(False))
    assert resumed.config == plan.config
    assert len(run_to_end(resumed, place)) == 2
    with pytest.raises(ConfigError, match=r"verifier '.*mine.py:Mine' has no option 'strict'") as caught:
        Plan.from_raw(store(True))
    assert caught.value.hint == "the option was removed; the driver now always works as with strict=False"


def test_a_ledger_that_lost_its_prompts_is_damaged(data: Write, tmp_path: Path) -> None:
    open_run(plan_with(data), tmp_path / "run")
    with contextlib.closing(Ledger(tmp_path / "run")) as ledger, ledger.writing() as db:
        db.execute("DELETE FROM prompts")
    with pytest.raises(RunError, match="is damaged: it contains no prompts"):
        open_run(plan_with(data), tmp_path / "run")


@pytest.mark.parametrize(
    ("per_cycle", "message"),
    [
        ({"trainer": {"name": ["sft", "gone"]}}, "no trainer named 'gone'"),
        ({"trainer": {"name": ["sft", {"name": "sft", "epoch": 2}]}}, "no option .epoch."),
        ({"trainer": {"name": ["sft"], "learning": [1]}}, "none of the trainers that take turns has it"),
        ({"trainer": {"name": ["sft", {"name": "sft", "full": True}]}}, "others the whole model"),
        ({"trainer": {"name": [3]}}, "3 is not a trainer"),
        ({"reward": {"name": ["binary"]}}, "a run has one reward"),
        ({"selector": {"name": []}}, "per_cycle.selector.name is empty"),
    ],
    ids=str,
)
def test_drivers_that_take_turns_are_checked(per_cycle: dict[str, Any], message: str) -> None:
    with pytest.raises(HaloError, match=message):
        Plan.from_raw({"verifier": "gcc", "per_cycle": per_cycle})


def test_a_trainer_in_turn_keeps_the_options_of_every_trainer(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "from halo_core.drivers.sft import SFT\nfrom halo_core import driver\n"
        "@driver\nclass Other(SFT):\n    'Another.'\n    more: int = 1\n    'An option.'\n"
    )
    other = f"{tmp_path}/other.py:Other"
    plan = Plan.from_raw(
        {
            "verifier": "gcc",
            "trainer": {"name": "sft", "lora_rank": 3, "epochs": 7},
            "per_cycle": {"trainer": {"name": ["sft", {"name": other, "epochs": 2}], "more": [1, 1, 5]}},
        }
    )
    trainers = [plan.drivers.get("trainer", cycle) for cycle in (1, 2, 3, 9)]
    assert [type(trainer).__name__ for trainer in trainers] == ["SFT", "Other", "Other", "Other"]
    assert [(trainer.lora_rank, trainer.epochs) for trainer in trainers] == [(3, 7)] + 3 * [(3, 2)]
    assert [trainer.more for trainer in trainers[1:]] == [1, 5, 5]
    assert plan.drivers.source("trainer", 2).name != plan.drivers.source("trainer", 1).name


@pytest.mark.parametrize(
    ("raw", "rate"),
    [
        ({"model": {"name": "owner/model-135M"}}, 2e-4),
        ({"model": {"name": "owner/model-7B"}}, 7.5e-5),
        ({"model": {"name": "owner/model-7B"}, "trainer": {"name": "sft", "full": True}}, 5e-6),
        ({"model": {"name": "owner/model"}, "lr_policy": {"name": "constant", "base_lr": 1e-3}}, 1e-3),
    ],
)
def test_the_learning_rate_follows_from_method_and_size(
    data: Write, raw: dict[str, Any], rate: float
) -> None:
    plan = plan_with(data, **({"trainer": "sft", "lr_policy": "constant"} | raw))
    assert plan.config.spec("lr_policy").options["base_lr"] == rate
    assert plan.drivers.get("lr_policy").lr(cycle=1, cycles=1, history=()) == rate
    again = Plan.from_raw(plan.config.model_dump(mode="json") | {"model": {"name": "owner/model-70B"}})
    assert again.config.spec("lr_policy").options["base_lr"] == rate, "a recorded rate is kept"


def test_a_run_keeps_the_precision_that_it_started_with(data: Write, tmp_path: Path) -> None:
    plan, place = plan_with(data), tmp_path / "run"
    with plan.open(place) as (run, _):
        chosen = run.ledger.machine()["dtype"]
        assert chosen == str(run.actor.dtype).removeprefix("torch.")
        machine = run.ledger.machine()
    ledger = Ledger(place)
    for recorded, used in (("bfloat16", "bfloat16"), ("float16", "float16"), (None, "float32")):
        ledger.write_machine(machine | {"dtype": recorded})
        assert recorded_precision(ledger, ModelConfig(name="m", device="cpu")).dtype == used
    assert recorded_precision(ledger, ModelConfig(name="m", dtype="bfloat16")).dtype == "bfloat16"
