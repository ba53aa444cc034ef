"""The configuration flags: their types, their defaults in the help, and their order of precedence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from halo_core.cli import app
from halo_core.cli.flags import SETTINGS, takes_config
from halo_core.cli.signatures import SandboxTier
from halo_core.config.kinds import KINDS, Kind
from halo_core.config.schema import DriverSpec, RunConfig, read_config

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


def driver(name: str) -> str:
    return f"{DRIVERS}:{name}"


def resolved(halo: Halo, fakes: list[str], *flags: object) -> dict[str, Any]:
    import yaml

    answer = halo("config", "show", *fakes, *flags)
    assert answer.code == 0, answer.err
    config: dict[str, Any] = yaml.safe_load(answer.out)
    return config


def test_flags_override_settings_and_settings_override_the_file(
    halo: Halo, fakes: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "cycles: 3\nseed: 3\nsamples_per_prompt: 3\nselector: {threshold: 0.3, keep_top: 0.3, cap: 3}\n"
    )
    flags = ["--config", path, "--set", "seed=4", "--set", "selector.keep_top=0.4", "--set", "selector.cap=4"]
    got = resolved(halo, fakes, *flags, "--set", "cycles=4", "--cycles", "5", "-S", "cap=5")
    assert (got["cycles"], got["seed"], got["samples_per_prompt"]) == (5, 4, 3)
    assert [got["selector"][key] for key in ("threshold", "keep_top", "cap")] == [0.3, 0.4, 5]


@pytest.mark.parametrize(
    ("flags", "path", "value"),
    [
        (["--model", "org/m"], ("model", "name"), "org/m"),
        (["--adapter", "org/a"], ("model", "adapter"), "org/a"),
        (["--device", "cpu"], ("model", "device"), "cpu"),
        (["--data", "hf:org/d:train"], ("data", "prompts"), "hf:org/d:train"),
        (["--heldout", "h.jsonl"], ("data", "heldout"), "h.jsonl"),
        (["--cycles", "7"], ("cycles",), 7),
        (["-n", "7"], ("cycles",), 7),
        (["--heldout-samples", "7"], ("heldout", "samples_per_prompt"), 7),
        (["--samples", "7"], ("samples_per_prompt",), 7),
        (["--seed", "7"], ("seed",), 7),
        (["--sandbox", "weak"], ("sandbox",), "weak"),
        (["--reward", "binary"], ("reward", "name"), "binary"),
        (["-R", "monotone=yes"], ("reward", "monotone"), True),
        (["-S", "per=run"], ("selector", "per"), "run"),
        (["--selector-opt", "cap=2"], ("selector", "cap"), 2),
        (["-V", "mode=strict"], ("verifier", 0, "mode"), "strict"),
        (["-V", "Words.mode=strict"], ("verifier", 0, "mode"), "strict"),
        (["--set", "verifier.Words.mode=strict"], ("verifier", 0, "mode"), "strict"),
        (["--set", "verifier.mode=strict"], ("verifier", 0, "mode"), "strict"),
        (["--set", "verifier=nope"], ("verifier", 0, "mode"), "plain"),
        (["-L", "base_lr=5e-5"], ("lr_policy", "base_lr"), 5e-5),
        (["--lr-opt", "base_lr=5e-5"], ("lr_policy", "base_lr"), 5e-5),
        (["-G", "batch=3"], ("generator", "batch"), 3),
        (
            ["--lr-policy", "manual", "-L", "rates=5e-5", "-L", "rates=4e-5"],
            ("lr_policy", "rates"),
            [5e-5, 4e-5],
        ),
        (["--lr-policy", "manual", "-L", "rates.cycle_1=5e-5"], ("lr_policy", "rates"), [5e-5]),
        (["--set", "heldout.samples_per_prompt=2"], ("heldout", "samples_per_prompt"), 2),
        (["--set", "max_error_rate=0.5"], ("max_error_rate",), 0.5),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_flag_sets_its_key(
    halo: Halo, fakes: list[str], flags: list[str], path: tuple[Any, ...], value: Any
) -> None:
    model = [] if "--model" in flags else ["--model", "m"]
    got: Any = resolved(halo, fakes, *model, *flags)
    for part in path:
        got = got[part]
    assert got == value


def test_plugins_are_added_and_removed_by_flags(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    code = """
from halo_core import hookimpl
from halo_core.drivers import driver

@driver
class Shape:
    "Shapes."
    k: float = 1.0

    @hookimpl
    def on_cycle_end(self, report):
        pass
"""
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(code.replace("Shape", name.title()))
    one, two = (f"{tmp_path}/{name}.py:{name.title()}" for name in ("one", "two"))
    file = tmp_path / "run.yaml"
    file.write_text(f"plugins: [{{name: '{one}', k: 2}}]\n")
    both = ["--config", file, "--plugin", two]
    assert resolved(halo, fakes, *both, "--plugin-opt", "Two.k=3")["plugins"] == [
        {"name": one, "k": 2.0},
        {"name": two, "k": 3.0},
    ]
    for name in ("One", one):
        assert resolved(halo, fakes, *both, "--no-plugin", name)["plugins"] == [{"name": two, "k": 1.0}]


def test_several_verifiers(halo: Halo, fakes: list[str]) -> None:
    got = resolved(halo, fakes, "--verifier", driver("Hopeless"), "-V", "Words.mode=strict", "--model", "m")
    assert [spec["name"] for spec in got["verifier"]] == [driver("Words"), driver("Hopeless")]
    answer = halo("config", "show", *fakes, "--verifier", driver("Hopeless"), "-V", "mode=strict")
    assert "listed: Words, Hopeless" in answer.complaint()


def test_shown_configuration_can_be_run(halo: Halo, fakes: list[str], prompts: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown.yaml"
    flags = [*fakes, "--data", prompts, "--model", "m", "-L", "base_lr=0.3", "-n", 1]
    shown.write_text(halo("config", "show", *flags).out)
    assert halo("config", "show", "--config", shown).out == shown.read_text()
    assert halo("run", "--config", shown, "-o", "a").code == 0
    assert halo("run", *flags, "-o", "a").code == 0, "the same run"


# Types


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cycles", "many"], "valid integer"),
        (["--samples", "0"], "greater than or equal to 1"),
        (["--heldout-samples", "0"], "greater than or equal to 1"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (
            ["--sandbox", "maximal"],
            "'--sandbox': 'maximal' is not one of 'auto', 'strong', 'standard', 'weak', 'none'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_are_typed(halo: Halo, fakes: list[str], flags: list[str], message: str) -> None:
    answer = halo("config", "show", *fakes, *flags)
    assert answer.code == 2
    assert f"invalid value for '{flags[0]}'" in answer.complaint()
    assert message in answer.err


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["rnu"], "no such command 'rnu'", "did you mean 'run'?"),
        (["config", "valdate"], "no such command 'valdate'", "did you mean 'validate'?"),
        (
            ["run", "--verifer", "gcc"],
            "no such option: --verifer",
            "did you mean --verifier, --verifier-opt?",
        ),
        (["run", "extra"], "got unexpected extra argument(s) (extra)", "halo run -h shows how to call it"),
        (["samples"], "missing argument 'RUN'", "halo samples -h shows how to call it"),
        (["sft"], "missing option '--data' / '-d'", "halo sft -h shows how to call it"),
        (["run", "--cycles", "x"], "it must be a valid integer", "halo run -h shows how to call it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_called_wrongly_is_one_line_with_a_hint(
    halo: Halo, words: list[str], message: str, hint: str
) -> None:
    answer = halo(*words)
    assert answer.code == 2
    assert message in answer.complaint()
    assert answer.remedy() == hint


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("run --lr 1e-4", "did you mean -L base_lr=VALUE?"),
        ("run --learning-rate 1e-4", "did you mean -L base_lr=VALUE?"),
        ("run --threshold 0.7", "did you mean -S threshold=VALUE?"),
        ("run --temperature 1", "did you mean -G temperature=VALUE?"),
        ("run --batch-size 4", "did you mean -T batch_size=VALUE?"),
        ("run --lora-rank=4", "did you mean -T lora_rank=VALUE?"),
        ("run --when-none skip", "did you mean --set when_none=VALUE?"),
        ("run --dtype float32", "did you mean --set model.dtype=VALUE?"),
        ("run --samples_per_prompt 2", "did you mean --set samples_per_prompt=VALUE?"),
        ("run --lr_policy plateau", "did you mean --lr-policy?"),
        ("run --zzz 1", "halo run -h shows how to call it"),
        ("samples x --temperature 1", "halo samples -h shows how to call it"),
    ],
)  # fmt: skip
def test_an_option_of_a_driver_is_answered_by_the_flag_that_sets_it(
    halo: Halo, words: str, hint: str
) -> None:
    answer = halo(*words.split())
    assert answer.code == 2
    assert "no such option: --" in answer.complaint()
    assert answer.remedy() == hint


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("lr schedule exponential", "did you mean --lr-policy exponential?"),
        ("lr schedule ./mine.py:Policy", "did you mean --lr-policy ./mine.py:Policy?"),
        ("lr schedule base_lr=1e-4", "did you mean --lr-opt base_lr=1e-4?"),
        ("run gcc", "did you mean --verifier gcc?"),
        ("run halo-verifier-gcc:gcc", "did you mean --verifier halo-verifier-gcc:gcc?"),
        ("run raft", "did you mean --selector raft?"),
        ("run gate", "did you mean --plugin gate?"),
        ("run strong", "did you mean --sandbox strong?"),
        ("run seed=1", "did you mean --set seed=1?"),
        ("run mine.yaml", "did you mean --config mine.yaml?"),
        ("run mine.parquet", "did you mean --data mine.parquet?"),
        ("run Qwen/Qwen3-0.6B", "did you mean --model Qwen/Qwen3-0.6B?"),
        ("run .", "did you mean --model .?"),
        ("run ./mine.py", "halo run -h shows how to call it"),
        ("eval model sympy", "did you mean --verifier sympy?"),
        ("export run sft", "did you mean --to sft?"),
        ("export run out.jsonl", "did you mean --output out.jsonl?"),
        ("samples run heldout", "did you mean --split heldout?"),
        ("reselect run best_of_n", "did you mean --selector best_of_n?"),
        ("report run run.html", "did you mean --output run.html?"),
        ("generate run Write a program", "put the text in quotes"),
        ("doctor gcc", "halo doctor -h shows how to call it"),
    ],
)
def test_a_word_where_no_argument_stands_is_answered_by_the_option_that_takes_it(
    halo: Halo, words: str, hint: str
) -> None:
    answer = halo(*words.split())
    assert answer.code == 2
    assert "got unexpected extra argument" in answer.complaint()
    assert answer.remedy() == hint


@pytest.mark.parametrize("words", [[], ["config"]])
def test_a_group_without_a_command_prints_its_help(halo: Halo, words: list[str]) -> None:
    answer = halo(*words)
    assert answer.code == 2
    assert "Commands:" in answer.out + answer.err
    assert "halo: error" not in answer.err


def test_sandbox_tiers_are_those_of_the_configuration() -> None:
    tiers: object = SandboxTier
    assert RunConfig.model_fields["sandbox"].annotation == tiers


# Help


def default_of(config: Any, path: str) -> object:
    for part in path.split("."):
        config = config.options.get(part) if isinstance(config, DriverSpec) else getattr(config, part)
    return getattr(config, "name", config)


@pytest.mark.parametrize("command", ["run", "audit"])
def test_help_shows_the_defaults_of_the_configuration(command: str) -> None:
    config = read_config({"verifier": [{"name": "gcc"}]})
    paths = {kind.name: kind.key for kind in KINDS.values() if not kind.many}
    paths |= {setting.name: setting.path for setting in SETTINGS}
    options = {option.name: option for option in get_command(app).commands[command].params}  # type: ignore[attr-defined]
    shown = {name: options[name].help for name in paths if name in options}
    assert len(shown) >= 2
    for name, text in shown.items():
        default = default_of(config, paths[name])
        assert text.partition("  [default: ")[2] == ("" if default in (None, "") else f"{default}]"), name
        assert options[name].default is None


def test_rendered_help_shows_defaults(halo: Halo) -> None:
    shown = " ".join(halo("run", "--help").out.split())
    assert "Trainer driver. [default: sft]" in shown
    assert "Cycles to run; 0: only measure the model. [default: 5] [x>=0]" in shown


def test_new_kind_of_driver_gets_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(name="stopper", help="Stopper driver.", default="never", option_flag="stop-opt", short="-E")
    monkeypatch.setitem(KINDS, kind.name, kind)
    command = typer.Typer(rich_markup_mode=None)

    @command.command()
    @takes_config
    def show(raw: dict[str, Any]) -> None:
        print(raw)

    answer = CliRunner().invoke(command, ["--stopper", "late", "-E", "after=3"])
    assert answer.output == "{'stopper': {'name': 'late', 'after': '3'}}\n"
    assert "Stopper driver.  [default: never]" in CliRunner().invoke(command, ["--help"]).output
