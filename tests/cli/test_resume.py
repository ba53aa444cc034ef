"""`halo resume`, also with changed plugins or tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


def test_resume_finishes_a_stopped_run(run_prompts: Halo, halo: Halo, tmp_path: Path) -> None:
    plugin = tmp_path / "stop.py"
    plugin.write_text(
        "from halo_core import hookimpl\n@hookimpl\ndef on_cycle_end(run, report):\n"
        "    if report.cycle == 1 and not (run.directory / 'stopped').exists():\n"
        "        (run.directory / 'stopped').touch()\n        run.interrupt()\n"
    )
    answer = run_prompts("--plugin", plugin)
    assert answer.code == 130
    assert "resume with: halo resume run" in answer.err
    answer = halo("resume", "run")
    assert answer.code == 0, answer.err
    assert [report.cycle for report in Ledger(Path("run")).reports()] == [0, 1, 2]


def test_resume_without_a_run(halo: Halo) -> None:
    answer = halo("resume", "nowhere")
    assert "nowhere contains no run" in answer.complaint()
    assert answer.remedy()
    assert not Path("nowhere").exists()


def test_resume_of_a_damaged_run(run_prompts: Halo, halo: Halo) -> None:
    run_prompts()
    Path("run/run.yaml").write_text("- x\n")
    assert "run.yaml is damaged" in halo("resume", "run").complaint()


def test_run_in_use_cannot_be_resumed(run_prompts: Halo, halo: Halo) -> None:
    import fcntl

    run_prompts()
    with Path("run/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use by another process" in halo("resume", "run").complaint()


def test_edited_plugin_is_detected(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "verifiers" / "verifier.py"  # the demo expects its model beside the file
    path.parent.mkdir()
    path.write_text(DRIVERS.read_text())
    flags = [*fakes[2:], "--verifier", f"{path}:Words", "-n", 1, "-o", "run"]
    assert halo("run", *flags).code == 0
    path.write_text(DRIVERS.read_text() + "\n# edited\n")
    answer = halo("resume", "run")
    assert "verifier 'Words' was sha256:" in answer.complaint()
    assert "halo resume run --changed" in answer.remedy()
    assert halo("run", *flags).code != 0
    assert halo("resume", "run", "--changed").code == 0
    assert halo("resume", "run").code == 0, "the changed plugin is now the recorded one"
    assert any(kind == "changed" for _, kind, _ in Ledger(Path("run")).events())


def test_upgraded_tool_is_detected(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE verifiers SET fingerprint = 'Words, tool 1.0'")
    assert "verifier 'Words' had Words, tool 1.0 and has Words(" in halo("resume", "run").complaint()
    assert halo("resume", "run", "--changed").code == 0


def test_changed_prompts_are_noticed_and_the_stored_ones_used(run: Halo, halo: Halo) -> None:
    prompts = Path("prompts.jsonl")
    prompts.write_text("".join(f'{{"id": "p{n}", "prompt": "task {n}"}}\n' for n in range(20)))
    run("run", "-d", prompts, "-m", "m")
    assert "stored prompts" not in halo("resume", "run").out
    prompts.write_text(prompts.read_text() + '{"id": "new", "prompt": "another"}\n')
    again = run("run", "-d", prompts, "-m", "m")
    assert f"using the stored prompts: {prompts.resolve()} has changed since the run was started" in again.out
    prompts.unlink()
    assert "using the stored prompts: " in halo("resume", "run").out


def test_a_finished_run_reports_that_nothing_is_left_to_do(run: Halo, halo: Halo) -> None:
    first = run("run")
    assert "finished" not in first.out
    for again in (run("run"), halo("resume", "run")):
        assert "all 2 cycles were done before; for more: halo resume run --cycles 3" in again.out
    assert "done before" not in halo("resume", "run", "--cycles", 3).out


def test_resume_with_other_settings_that_do_not_change_the_result(run_prompts: Halo, halo: Halo) -> None:
    assert run_prompts().code == 0
    assert halo("resume", "run", "-n", 3, "--set", "workers=1", "--set", "cluster=local").code == 0
    refused = halo("resume", "run", "-n", 4, "--set", "selector.threshold=0.9")
    assert "selector.threshold cannot change within a run, whose result depends on it" in refused.complaint()
    assert "cluster, workers" in refused.remedy()


@pytest.mark.parametrize("command", [("run", "--verifier", "gcc"), ("resume", "run")])
def test_a_launcher_of_several_processes_is_refused_with_the_command(
    command: tuple[str, ...], halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr("sys.argv", ["halo", *command])
    answer = halo(*command)
    assert "a launcher has started halo 4 times" in answer.complaint()
    flags = {"run": "--cluster ray --cluster-opt trainers=4"}
    shown = flags.get(command[0], "--set cluster.name=ray --set cluster.trainers=4")
    assert answer.remedy() == f"start it once: halo {' '.join(command)} {shown}"
