from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": n, "prompt": f"task {n}"}) + "\n" for n in range(20)))
    return path


@pytest.fixture
def run(halo: Halo, fakes: list[str], prompts: Path) -> Halo:
    """`halo run` with fakes for everything, small; more flags go over that."""

    def call(*flags: object) -> Any:
        small = ["--data", prompts, "--model", "m", "-n", 2, "--samples", 4, "-o", "run"]
        others = fakes[2:] if "--verifier" in flags else fakes  # verifiers would add up
        return halo("run", *others, *small, *flags)

    return call


def driver(name: str) -> str:
    return f"{DRIVERS}:{name}"


def test_a_run_from_start_to_end(run: Halo) -> None:
    answer = run()
    assert answer.code == 0, answer.err
    assert "held-out speaks" in answer.out
    assert "halo generate" in answer.out
    files = {path.name for path in Path("run").iterdir()}
    assert files >= {"run.yaml", "plugins.json", "machine.json", "ledger.db", "cycles"}
    assert not files & {"ledger.db-wal", "ledger.db-shm"}, "all of it is in the one file"


def test_the_same_command_again_shows_the_same(run: Halo) -> None:
    assert run().out == run().out


def test_json_is_all_that_is_on_standard_output(run: Halo) -> None:
    events = [json.loads(line) for line in run("--json").out.splitlines()]
    assert [event["event"] for event in events] == ["run_start", "cycle", "cycle", "cycle", "run_end"]


def test_quiet(run: Halo) -> None:
    assert "cycle" not in run("--quiet").out.replace("cycles/", "")


def test_the_first_line_says_when_the_demo_is_used(halo: Halo, fakes: list[str]) -> None:
    answer = halo("run", *fakes)
    assert answer.code == 0, answer.err
    first = answer.out.splitlines()[0]
    assert first.startswith("demo     neither model nor prompts given: using the demo of verifier 'Words'")
    assert "8 prompts, 4 held out, and a tiny model" in first
    assert Path("runs/Words-Flat-1/run.yaml").is_file()
    assert "no prompts given: using" in halo("run", *fakes, "--model", "m").out.splitlines()[0]
    assert Path("runs/Words-Flat-2/run.yaml").is_file()


# Bad input: a line that says what is wrong, a remedy, a code that is not 0, and nothing lost


@pytest.mark.parametrize(
    ("flags", "says", "remedy"),
    [
        (["--verifier", "nope"], "no verifier named 'nope' is installed", "known"),
        (
            ["--verifier", "lean"],
            "no verifier named 'lean'",
            "pip install halo-verifier-lean",
        ),
        (["--lr-policy", "exponental"], "no lr_policy named 'exponental'", "did you mean 'exponential'?"),
        (["--selector", "rafft"], "no selector named 'rafft'", "did you mean 'raft'?"),
        (["--plugin", "nope"], "no plugin named 'nope'", "known: doctor, gate"),
        (["--no-plugin", "nope"], "--no-plugin 'nope' is not listed", ""),
        (["--plugin", "./nope.py"], "plugin file 'nope.py' cannot be read: No such file", ""),
        (["-V", "mod=strict"], "has no option 'mod'", "did you mean 'mode'?"),
        (["-V", "mode=loose"], "mode: input should be 'plain' or 'strict' (got 'loose')", ""),
        (["-L", "base_lr=fast"], "base_lr: input should be a valid number", ""),
        (["-L", "base_lr"], "-L 'base_lr' is not of the form key=value", ""),
        (["-S", "keep_top=0"], "selector 'raft': keep_top: input should be greater than 0 (got '0')", ""),
        (["-S", "treshold=1"], "selector 'raft' has no option 'treshold'", "did you mean 'threshold'?"),
        (["--set", "cylces=3"], "unknown key 'cylces'", "did you mean 'cycles'?"),
        (["--set", "data.limt=3"], "unknown key 'data.limt'", "did you mean 'limit'?"),
        (["--cycles", "many"], "cycles: input should be a valid integer", ""),
        (["--cycles", "0"], "cycles: input should be greater than or equal to 1", ""),
        (["--sandbox", "maximal"], "sandbox: input should be 'auto', 'strong'", ""),
        (["--seed", "-1"], "seed: ", ""),
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
        (["--verifier", driver("Hopeless")], "none of 72 completions was selected", "lower the threshold"),
        (["--trainer", driver("Idle")], "cycle 1 did not change the weights", "learning rate"),
    ],
    ids=lambda value: " ".join(value).replace(str(DRIVERS), "") if isinstance(value, list) else "",
)
def test_bad_input(run: Halo, flags: list[str], says: str, remedy: str) -> None:
    answer = run(*flags)
    assert says in answer.complaint()
    if remedy:
        assert remedy in answer.remedy()


def test_who_gave_a_wrong_answer_is_named_with_where_it_comes_from(run: Halo) -> None:
    assert (
        f"answered by lr_policy 'NotANumber' ({DRIVERS} sha256:"
        in run("--lr-policy", driver("NotANumber")).err
    )
    assert f"verifier 'Broken' ({DRIVERS} sha256:" in run("--verifier", driver("Broken"), "-o", "other").err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "contains no prompts"),
        ('{"prompt": "x"}\nnonsense\n', ":2: not JSON"),
        ('{"prompt": "x"}\n\n{"promt": "y"}\n', ":3: give either 'prompt'"),
        ('{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}\n', ":2: id '1' is already used"),
        ('{"prompt": "x"}\n', "a single prompt cannot be split"),
        ('{"prompt": "x", "verifier": "sql"}\n{"prompt": "y"}\n', "names verifier 'sql'"),
    ],
)
def test_bad_prompts(run: Halo, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    assert says in run("--data", path).complaint()
    assert not Path("run").exists(), "nothing is left of what never began"


@pytest.mark.parametrize(
    ("text", "says"),
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
def test_a_bad_file_is_one_line_whatever_flags_go_over_it(
    run: Halo, tmp_path: Path, text: str, says: str, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    complaint = run("--config", path, *flags).complaint()
    assert flags or says in complaint


def test_no_verifier(halo: Halo) -> None:
    answer = halo("run")
    assert "no verifier was named" in answer.complaint()
    assert "--verifier gcc" in answer.remedy()


def test_options_of_a_verifier_that_was_not_named(halo: Halo) -> None:
    assert "no verifier was named" in halo("run", "-V", "standard=c11").complaint()


def test_prompts_without_a_model(halo: Halo, fakes: list[str], prompts: Path) -> None:
    answer = halo("run", *fakes, "--data", prompts)
    assert "prompts were given but no model" in answer.complaint()
    assert "--model" in answer.remedy()


def test_no_demo(halo: Halo, fakes: list[str]) -> None:
    answer = halo("run", *fakes[2:], "--verifier", driver("Undemonstrable"))
    assert "ships no demo" in answer.complaint()
    assert "--data" in answer.remedy()


def test_a_place_that_cannot_be_written(run: Halo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        answer = run("-o", place)
        assert str(place) in answer.complaint()
        assert "--output" in answer.remedy()
    assert (tmp_path / "file").read_text() == "precious"


def test_a_place_that_holds_another_run(run: Halo) -> None:
    run()
    before = Path("run/run.yaml").read_text()
    answer = run("--seed", 1)
    assert "contains a run of another configuration: seed: was 0, is 1" in answer.complaint()
    assert "halo resume run" in answer.remedy()
    assert Path("run/run.yaml").read_text() == before


def test_a_place_that_holds_something_else(run: Halo) -> None:
    Path("run").mkdir()
    Path("run/thesis.tex").write_text("precious")
    assert "is not empty and holds no run" in run().complaint()
    assert Path("run/thesis.tex").read_text() == "precious"


HOOK = """
from halo_core import hookimpl
@hookimpl(wrapper=True)
def reward(samples):
    rewards = yield
    return {}
"""


@pytest.mark.parametrize(
    ("returns", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("rewards[1:]", "hook 'reward' returned 71 results for 72 samples"),
        ("[float('nan')] * len(rewards)", "hook 'reward' returned nan for a completion of prompt"),
        ("None", "hook 'reward' returned None"),
        ("['x'] * len(rewards)", "hook 'reward' returned 'x' at position 0"),
        ("sum(rewards)", "hook 'reward' returned float instead of a list"),
    ],
)
def test_a_plugin_that_misbehaves_is_named_and_loses_nothing(
    run: Halo, tmp_path: Path, returns: str, says: str
) -> None:
    path = tmp_path / "shape.py"
    path.write_text(HOOK.format(returns))
    answer = run("--plugin", path)
    assert says in answer.complaint()
    assert f"plugin 'shape' ({path} sha256:" in answer.complaint()
    assert answer.remedy()
    with closing(Ledger(Path("run"))) as ledger:
        assert ledger.batches(1, "train", ledger.prompts("train")), "what was sampled and verified is kept"
        assert len(ledger.reports()) == 1


def test_a_misspelt_hook(run: Halo, tmp_path: Path) -> None:
    path = tmp_path / "shape.py"
    path.write_text(HOOK.format("rewards").replace("def reward", "def rewards"))
    answer = run("--plugin", path)
    assert "implements 'rewards', which is not a hook" in answer.complaint()
    assert answer.remedy() == "did you mean 'reward'?"


def test_debug_shows_the_traceback(run: Halo, tmp_path: Path) -> None:
    path = tmp_path / "shape.py"
    path.write_text(HOOK.format("1 / 0"))
    with pytest.raises(ZeroDivisionError):
        run("--plugin", path, "--debug")
    from halo_core.errors import PluginError

    with pytest.raises(PluginError):
        run("--verifier", "nope", "--debug")


def test_a_fault_of_halos_own_asks_to_be_reported(run: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("halo_core.loop.run_cycles", fail)
    answer = run()
    assert answer.code == 1
    assert answer.err.splitlines() == [
        "halo: error: KeyError: 'oops'",
        "halo: hint: this is a bug in halo: please report it, with the output of the same command and --debug",
    ]


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(28, "No space left on device", "x/events"), "see to the disk"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "see to the disk"),
        (ConnectionRefusedError(111, "Connection refused"), "this is a bug in halo"),
    ],
)
def test_a_disk_that_refuses_is_no_fault_of_halo(
    run: Halo, monkeypatch: pytest.MonkeyPatch, error: Exception, hint: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("halo_core.loop.run_cycles", fail)
    answer = run()
    assert (answer.code, len(answer.err.splitlines())) == (1, 2)
    assert hint in answer.err


# Flags, file and --set


def resolved(halo: Halo, fakes: list[str], *flags: object) -> dict[str, Any]:
    import yaml

    answer = halo("config", "show", *fakes, *flags)
    assert answer.code == 0, answer.err
    return yaml.safe_load(answer.out)


def test_a_file_then_settings_then_flags(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
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
def test_each_flag_reaches_its_place(
    halo: Halo, fakes: list[str], flags: list[str], path: tuple[Any, ...], value: Any
) -> None:
    model = [] if "--model" in flags else ["--model", "m"]
    got: Any = resolved(halo, fakes, *model, *flags)
    for part in path:
        got = got[part]
    assert got == value


def test_plugins_by_file_with_options_and_left_out(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    code = "from halo_core.drivers import driver\n@driver\nclass Shape:\n    'Shapes.'\n    k: float = 1.0\n"
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
    for spelt in ("One", one):
        assert resolved(halo, fakes, *both, "--no-plugin", spelt)["plugins"] == [{"name": two, "k": 1.0}]


def test_several_verifiers(halo: Halo, fakes: list[str]) -> None:
    got = resolved(halo, fakes, "--verifier", driver("Hopeless"), "-V", "Words.mode=strict", "--model", "m")
    assert [spec["name"] for spec in got["verifier"]] == [driver("Words"), driver("Hopeless")]
    answer = halo("config", "show", *fakes, "--verifier", driver("Hopeless"), "-V", "mode=strict")
    assert "name one; listed: Words, Hopeless" in answer.complaint()


def test_what_is_shown_can_be_run(halo: Halo, fakes: list[str], prompts: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown.yaml"
    flags = [*fakes, "--data", prompts, "--model", "m", "-L", "base_lr=0.3", "-n", 1]
    shown.write_text(halo("config", "show", *flags).out)
    assert halo("config", "show", "--config", shown).out == shown.read_text()
    assert halo("run", "--config", shown, "-o", "a").code == 0
    assert halo("run", *flags, "-o", "a").code == 0, "the same run"


def test_validate_says_what_a_run_would_do(halo: Halo, fakes: list[str], prompts: Path) -> None:
    answer = halo("config", "validate", *fakes, "--data", prompts, "--model", "m", "-n", 3)
    assert answer.out.startswith("ok: 3 cycles of 18 prompts x 8 samples, 2 held-out prompts x 8")
    assert "2 held-out prompts are too few" in answer.out
    assert not list(Path.cwd().iterdir())
    prompts.write_text("nonsense\n")
    assert ":1: not JSON" in halo("config", "validate", *fakes, "--data", prompts, "--model", "m").complaint()


# Going on


def test_resume_goes_on_with_what_was_stopped(run: Halo, halo: Halo, tmp_path: Path) -> None:
    plugin = tmp_path / "stop.py"
    plugin.write_text(
        "from halo_core import hookimpl\n@hookimpl\ndef on_cycle_end(run, report):\n"
        "    if report.cycle == 1 and not (run.directory / 'stopped').exists():\n"
        "        (run.directory / 'stopped').touch()\n        run.interrupt()\n"
    )
    answer = run("--plugin", plugin)
    assert answer.code == 130
    assert "resume with: halo resume run" in answer.err
    answer = halo("resume", "run")
    assert answer.code == 0, answer.err
    assert [report.cycle for report in Ledger(Path("run")).reports()] == [0, 1, 2]


def test_resume_of_nothing(halo: Halo) -> None:
    answer = halo("resume", "nowhere")
    assert "nowhere holds no run" in answer.complaint()
    assert answer.remedy()
    assert not Path("nowhere").exists()


def test_resume_of_a_damaged_run(run: Halo, halo: Halo) -> None:
    run()
    Path("run/run.yaml").write_text("- x\n")
    assert "run.yaml is damaged" in halo("resume", "run").complaint()


def test_a_run_in_use_is_left_alone(run: Halo, halo: Halo) -> None:
    import fcntl

    run()
    with Path("run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use by another process" in halo("resume", "run").complaint()


# Signals, in a process of its own

PROCESS = """
import sys
import halo_core.model.actor
from halo_core.testing import FakeActor
halo_core.model.actor.Actor = lambda config: FakeActor()
from halo_core.cli import main
main()
"""


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **{**pipes, **options})


def samples_in(place: Path) -> int:
    if not (place / "run.yaml").is_file():
        return 0
    with closing(Ledger(place)) as ledger, ledger.reading() as db:
        return int(db.execute("SELECT count(*) FROM completions").fetchone()[0])


def begun(child: subprocess.Popen[str], place: Path) -> None:
    """Wait until the first batch is on disk."""
    deadline = time.monotonic() + 30
    while not samples_in(place):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_at_a_safe_point_and_says_how_to_go_on(
    halo: Halo, fakes: list[str], prompts: Path, tmp_path: Path, number: int
) -> None:
    flags = [*fakes, "--data", prompts, "--model", "m", "-n", 1, "-G", "batch=4"]
    place = tmp_path / "run"
    child = process("run", *flags, "-G", "seconds=0.02", "-o", place)
    begun(child, place)
    os.kill(child.pid, number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert "stopping at the next safe point" in err
    assert f"resume with: halo resume {place}" in err
    assert "Traceback" not in err
    assert halo("resume", place).code == 0
    assert halo("run", *flags, "-G", "seconds=0.02", "-o", tmp_path / "whole").code == 0
    assert [part for part in compare(Ledger(tmp_path / "whole"), Ledger(place)) if not part.same] == []


def test_a_second_ctrl_c_stops_at_once(fakes: list[str], prompts: Path, tmp_path: Path) -> None:
    slow = ["-G", "batch=2", "-V", "seconds=1", "--set", "workers=1"]
    place = tmp_path / "run"
    child = process("run", *fakes, "--data", prompts, "--model", "m", *slow, "-o", place)
    assert child.stdout is not None
    assert child.stdout.readline() == f"run      {place}\n"
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.3)
    assert child.poll() is None, "what was sampled is still to be judged, which takes 10 s"
    begin = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert time.monotonic() - begin < 4
    assert child.returncode == 130
    assert f"resume with: halo resume {place}" in err
    assert "Traceback" not in err


def test_ctrl_c_before_the_run_has_begun(run: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(config: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("halo_core.model.actor.Actor", load)
    answer = run()
    assert answer.code == 130
    assert "Traceback" not in answer.err


def test_a_closed_pipe_is_no_error() -> None:
    child = process("plugins")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert "Traceback" not in child.stderr.read()
    child.stderr.close()
    assert child.wait(30) != 0
