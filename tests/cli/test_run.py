"""`halo run`: output, errors and hints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


def driver(name: str) -> str:
    return f"{DRIVERS}:{name}"


def test_run_from_start_to_end(run_prompts: Halo) -> None:
    answer = run_prompts()
    assert answer.code == 0, answer.err
    assert "held-out speaks" in answer.out
    assert "halo generate" in answer.out
    files = {path.name for path in Path("run").iterdir()}
    assert files >= {"run.yaml", "plugins.json", "machine.json", "ledger.db", "cycles"}
    assert not files & {"ledger.db-wal", "ledger.db-shm"}, "everything is in ledger.db"


def test_repeated_command_prints_the_same_after_a_note(run_prompts: Halo) -> None:
    first, second = (
        [line for line in run_prompts().out.splitlines() if not line.startswith("sandbox ")] for _ in range(2)
    )
    assert second[0].startswith("finished all 2 cycles were done before")
    assert second[1:] == [line for line in first if not re.match(r"sample  |outlook  | +\| ", line)]


def test_json_is_the_only_output(run_prompts: Halo) -> None:
    events = [json.loads(line) for line in run_prompts("--json").out.splitlines()]
    assert [event["event"] for event in events] == ["run_start", "cycle", "cycle", "cycle", "run_end"]


def test_quiet(run_prompts: Halo) -> None:
    assert "cycle" not in run_prompts("--quiet").out.replace("cycles/", "")


def test_first_line_announces_the_demo(halo: Halo, fakes: list[str]) -> None:
    answer = halo("run", *fakes)
    assert answer.code == 0, answer.err
    first = answer.out.splitlines()[0]
    assert first.startswith("demo     neither model nor prompts given: using the demo of verifier 'Words'")
    assert "8 prompts, 4 held out, and a tiny model" in first
    assert Path("runs/Words-Flat-1/run.yaml").is_file()
    assert "no prompts given: using" in halo("run", *fakes, "--model", "m").out.splitlines()[0]
    assert Path("runs/Words-Flat-2/run.yaml").is_file()


# Invalid input: one line with the error, a hint, a non-zero exit code, and nothing lost


@pytest.mark.parametrize(
    ("flags", "message", "remedy"),
    [
        (["--verifier", "nope"], "no verifier named 'nope' is installed", "known"),
        (
            ["--verifier", "lean"],
            "no verifier named 'lean'",
            "pip install halo-verifier-lean",
        ),
        (["--lr-policy", "exponental"], "no lr policy named 'exponental'", "did you mean 'exponential'?"),
        (["--selector", "rafft"], "no selector named 'rafft'", "did you mean 'raft'?"),
        (["--plugin", "nope"], "no plugin named 'nope'", "known: doctor, gate"),
        (["--no-plugin", "nope"], "--no-plugin 'nope' is not listed", ""),
        (["--plugin", "./nope.py"], "plugin file 'nope.py' cannot be read: No such file", ""),
        (["-V", "mod=strict"], "has no option 'mod'", "did you mean 'mode'?"),
        (["-V", "mode=loose"], "mode: input should be 'plain' or 'strict' (got 'loose')", ""),
        (["-L", "base_lr=fast"], "base_lr: expected a number", ""),
        (["-L", "base_lr"], "-L 'base_lr' is not of the form key=value", ""),
        (["-S", "keep_top=0"], "selector 'raft': keep_top: input should be greater than 0 (got '0')", ""),
        (["-S", "treshold=1"], "selector 'raft' has no option 'treshold'", "did you mean 'threshold'?"),
        (["--set", "cylces=3"], "unknown key 'cylces'", "did you mean 'cycles'?"),
        (["--set", "data.limt=3"], "unknown key 'data.limt'", "did you mean 'limit'?"),
        (["--set", "workers=many"], "workers: expected a whole number", ""),
        (["--set", "workers=0"], "workers: input should be greater than or equal to 1", ""),
        (["--set", "sandbox=maximal"], "sandbox: input should be 'auto', 'strong'", ""),
        (["--set", "seed=-1"], "seed: ", ""),
        (["-V", "missing_tool=yes"], "no C compiler: 'gcc' is not on PATH", "apt-get install gcc"),
        (["-V", "needs_reference=yes"], "has no tests", "reference"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: No such file or directory", ""),
        (["--config", "nowhere.yaml"], "nowhere.yaml: No such file or directory", ""),
        (["--heldout", "nowhere.jsonl"], "nowhere.jsonl: No such file or directory", ""),
        (
            ["--lr-policy", driver("NotANumber")],
            "hook 'lr_for_cycle' returned nan for cycle 1",
            "what it returns",
        ),
        (["--lr-policy", driver("Silent")], "hook 'lr_for_cycle' returned None", "check what it returns"),
        (["--lr-policy", driver("Words")], "is not a LRPolicy", "subclass"),
        (
            ["--verifier", driver("Speechless")],
            "returned NoneType, not a Verdict",
            "fix the verifier",
        ),
        (["--verifier", driver("Broken")], "raised RuntimeError: the verifier crashed", "fix the verifier"),
        (["--verifier", driver("Hopeless")], "none of 72 completions was selected", "no lower threshold"),
        (["--trainer", driver("Idle")], "cycle 1 did not change the weights", "learning rate"),
    ],
    ids=lambda value: " ".join(value).replace(str(DRIVERS), "") if isinstance(value, list) else "",
)
def test_invalid_input(run_prompts: Halo, flags: list[str], message: str, remedy: str) -> None:
    answer = run_prompts(*flags)
    assert message in answer.complaint()
    if remedy:
        assert remedy in answer.remedy()


def test_failing_driver_is_named_with_its_source(run_prompts: Halo) -> None:
    assert (
        f"answered by lr_policy 'NotANumber' ({DRIVERS} sha256:"
        in run_prompts("--lr-policy", driver("NotANumber")).err
    )
    assert (
        f"verifier 'Broken' ({DRIVERS} sha256:"
        in run_prompts("--verifier", driver("Broken"), "-o", "other").err
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no prompts"),
        ('{"prompt": "x"}\nnonsense\n', ":2: not JSON"),
        ('{"prompt": "x"}\n\n{"promt": "y"}\n', ":3: give either 'prompt'"),
        ('{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}\n', ":2: id '1' is already used"),
        ('{"prompt": "x"}\n', "a single prompt cannot be split"),
        ('{"prompt": "x", "verifier": "sql"}\n{"prompt": "y"}\n', "names verifier 'sql'"),
    ],
)
def test_invalid_prompts(run_prompts: Halo, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    assert message in run_prompts("--data", path).complaint()
    assert not Path("run").exists(), "a run that did not start leaves nothing behind"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cycles: 1\ncycles: 2\n", "run.yaml:2:1: key 'cycles' is given twice"),
        ("verifier: [gcc\n", "run.yaml:2:1: "),
        ("", "run.yaml is empty"),
        ("plugins: [{k: 1}]\n", "plugins.0: a driver needs a name"),
        ("plugins:\n", "plugins: "),
        ("plugins: 3\n", "plugins.0: "),
        ("selector:\n", "selector: "),
    ],
)
@pytest.mark.parametrize(
    "flags", [(), ("-S", "cap=1"), ("--plugin-opt", "shape.k=v")], ids=["plain", "-S", "plugin-opt"]
)
def test_invalid_file_is_a_one_line_error_with_any_flags(
    run_prompts: Halo, tmp_path: Path, text: str, message: str, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    complaint = run_prompts("--config", path, *flags).complaint()
    assert flags or message in complaint


def test_no_verifier(halo: Halo) -> None:
    answer = halo("run")
    assert "no verifier was named" in answer.complaint()
    assert "--verifier gcc" in answer.remedy()


def test_verifier_options_without_a_verifier(halo: Halo) -> None:
    assert "no verifier was named" in halo("run", "-V", "standard=c11").complaint()


def test_prompts_without_a_model(halo: Halo, fakes: list[str], prompts: Path) -> None:
    answer = halo("run", *fakes, "--data", prompts)
    assert "prompts were given but no model" in answer.complaint()
    assert "--model" in answer.remedy()


def test_no_demo(halo: Halo, fakes: list[str]) -> None:
    answer = halo("run", *fakes[2:], "--verifier", driver("Undemonstrable"))
    assert "ships no demo" in answer.complaint()
    assert "--data" in answer.remedy()


def test_unwritable_output(run_prompts: Halo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for place, remedy in (
        (tmp_path / "file", "--output"),
        (tmp_path / "file" / "run", "--output"),
        (Path("/proc/run"), "choose a place where files can be created"),
    ):
        answer = run_prompts("-o", place)
        assert str(place) in answer.complaint()
        assert remedy in answer.remedy()
    assert (tmp_path / "file").read_text() == "precious"


def test_output_with_a_run_of_another_configuration(run_prompts: Halo) -> None:
    run_prompts()
    before = Path("run/run.yaml").read_text()
    answer = run_prompts("--seed", 1)
    assert "contains a run of another configuration: seed: was 0, is 1" in answer.complaint()
    assert "halo resume run" in answer.remedy()
    assert Path("run/run.yaml").read_text() == before


def test_output_with_other_files(run_prompts: Halo) -> None:
    Path("run").mkdir()
    Path("run/thesis.tex").write_text("precious")
    assert "is not empty and contains no run" in run_prompts().complaint()
    assert Path("run/thesis.tex").read_text() == "precious"


HOOK = """
from halo_core import hookimpl
@hookimpl(wrapper=True)
def reward(samples):
    rewards = yield
    return {}
"""


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("rewards[1:]", "hook 'reward' returned 71 results for 72 samples"),
        ("[float('nan')] * len(rewards)", "hook 'reward' returned nan for a completion of prompt"),
        ("None", "hook 'reward' returned None"),
        ("['x'] * len(rewards)", "hook 'reward' returned 'x' at position 0"),
        ("sum(rewards)", "hook 'reward' returned float instead of a list"),
    ],
)
def test_failing_plugin_is_named_and_loses_nothing(
    run_prompts: Halo, tmp_path: Path, returns: str, message: str
) -> None:
    path = tmp_path / "shape.py"
    path.write_text(HOOK.format(returns))
    answer = run_prompts("--plugin", path)
    assert message in answer.complaint()
    assert f"plugin 'shape' ({path} sha256:" in answer.complaint()
    assert answer.remedy()
    with closing(Ledger(Path("run"))) as ledger:
        assert ledger.batches(1, "train", ledger.prompts("train")), "the verified samples are stored"
        assert len(ledger.reports()) == 1


def test_misspelt_hook(run_prompts: Halo, tmp_path: Path) -> None:
    path = tmp_path / "shape.py"
    path.write_text(HOOK.format("rewards").replace("def reward", "def rewards"))
    answer = run_prompts("--plugin", path)
    assert "implements 'rewards', which is not a hook" in answer.complaint()
    assert answer.remedy() == "did you mean 'reward'?"


def test_debug_shows_the_traceback(run_prompts: Halo, tmp_path: Path) -> None:
    path = tmp_path / "shape.py"
    path.write_text(HOOK.format("1 / 0"))
    with pytest.raises(ZeroDivisionError):
        run_prompts("--plugin", path, "--debug")
    from halo_core.errors import PluginError

    with pytest.raises(PluginError):
        run_prompts("--verifier", "nope", "--debug")


def test_bug_in_halo_asks_for_a_report(run_prompts: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("halo_core.loop.run_cycles", fail)
    answer = run_prompts()
    assert answer.code == 1
    assert answer.err.splitlines() == [
        "halo: error: KeyError: 'oops'",
        "halo: hint: this is a bug in halo: please report it, with the output of the same command and --debug",
    ]


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(28, "No space left on device", "x/events"), "free some space"),
        (OSError(28, "No space left on device"), "check the disk"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "check the disk"),
        (ConnectionRefusedError(111, "Connection refused"), "this is a bug in halo"),
    ],
)
def test_failed_disk_operation_is_not_a_bug_in_halo(
    run_prompts: Halo, monkeypatch: pytest.MonkeyPatch, error: Exception, hint: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("halo_core.loop.run_cycles", fail)
    answer = run_prompts()
    assert (answer.code, len(answer.err.splitlines())) == (1, 2)
    assert hint in answer.err
