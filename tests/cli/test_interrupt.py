"""Ctrl-C and closed pipes, in processes of their own."""

from __future__ import annotations

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


def count_samples(directory: Path) -> int:
    if not (directory / "run.yaml").is_file():
        return 0
    with closing(Ledger(directory)) as ledger, ledger.reading() as db:
        return int(db.execute("SELECT count(*) FROM completions").fetchone()[0])


WATCH = """
from pathlib import Path
from halo_core import hookimpl

@hookimpl(wrapper=True)
def verify(run, prompts, completions):
    Path({!r}).touch()
    return (yield)
"""


def wait_until(child: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_at_a_safe_point_and_prints_the_resume_command(
    halo: Halo, fakes: list[str], prompts: Path, tmp_path: Path, number: int
) -> None:
    flags = [*fakes, "--data", prompts, "--model", "m", "-n", 1, "-G", "batch=4"]
    directory = tmp_path / "run"
    child = process("run", *flags, "-G", "seconds=0.02", "-o", directory)
    wait_until(child, lambda: count_samples(directory))  # the first batch is on disk
    os.kill(child.pid, number)
    _, err = child.communicate(timeout=200)
    assert child.returncode == 130, err
    assert "stopping at the next safe point" in err
    assert f"resume with: halo resume {directory}" in err
    assert "Traceback" not in err
    assert halo("resume", directory).code == 0
    assert halo("run", *flags, "-G", "seconds=0.02", "-o", tmp_path / "whole").code == 0
    assert [part for part in compare(Ledger(tmp_path / "whole"), Ledger(directory)) if not part.same] == []


def test_ctrl_c_stops_at_a_safe_point_if_it_closed_the_pipe_of_the_output(
    fakes: list[str], prompts: Path, tmp_path: Path
) -> None:
    """As in `halo run 2>&1 | tee log`: Ctrl-C ends tee, too."""
    directory = tmp_path / "run"
    flags = ["--data", prompts, "--model", "m", "-n", 1, "-G", "batch=4", "-G", "seconds=0.02"]
    child = process("run", *fakes, *flags, "-o", directory)
    wait_until(child, lambda: count_samples(directory))
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    child.stderr.close()
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(timeout=200) == 130


def test_ctrl_c_does_not_wait_for_the_samples_that_are_not_verified_yet(
    fakes: list[str], prompts: Path, tmp_path: Path
) -> None:
    slow = ["-V", "seconds=2", "--set", "workers=1"]  # minutes for one batch
    directory = tmp_path / "run"
    child = process(
        "run", *fakes, "--data", prompts, "--model", "m", "-G", "batch=150", *slow, "-o", directory
    )
    assert child.stdout is not None
    assert child.stdout.readline() == f"run      {directory}\n"
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=200)
    assert child.returncode == 130, err
    assert "Traceback" not in err


def test_second_ctrl_c_stops_at_once(fakes: list[str], prompts: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    (tmp_path / "watch.py").write_text(WATCH.format(str(started)))
    slow = ["-G", "batch=2", "-V", "seconds=600", "--set", "workers=1", "-p", tmp_path / "watch.py"]
    directory = tmp_path / "run"
    child = process("run", *fakes, "--data", prompts, "--model", "m", *slow, "-o", directory)
    assert child.stdout is not None
    assert child.stdout.readline() == f"run      {directory}\n"
    wait_until(child, started.exists)
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.3)
    assert child.poll() is None, "verifying one sample takes 10 minutes"
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=200)
    assert child.returncode == 130
    assert f"resume with: halo resume {directory}" in err
    assert "Traceback" not in err


def test_ctrl_c_before_the_run_starts(run_prompts: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(config: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("halo_core.model.actor.Actor", load)
    answer = run_prompts()
    assert answer.code == 130
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("moment", range(1, 8))
def test_ctrl_c_while_halo_is_imported_prints_no_traceback(moment: int) -> None:
    """The import of the command line is interrupted at its `moment`-th tenth."""
    code = (
        "import os, signal, sys\n"
        "from halo_core.__main__ import main\n"
        "names = []\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        names.append(name)\n"
        f"        if len(names) == {moment * 10}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['halo', '--help']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode in (-signal.SIGINT, 130)
    assert done.stderr == ""


def test_ctrl_c_ends_the_process_without_tearing_it_down() -> None:
    """Freeing torch's modules takes more than a second. What is registered to be closed at the end still is."""
    code = (
        "import atexit, os, sys, halo_core.cli\n"
        "from halo_core.__main__ import main\n"
        "class Module:\n"
        "    def __del__(self, write=os.write):\n"
        "        write(1, b'torn down\\n')\n"
        "sys.held = Module()\n"
        "atexit.register(print, 'closed')\n"
        "def stop():\n"
        "    print('stopped')\n"
        "    sys.exit(int(sys.argv[1]))\n"
        "halo_core.cli.main = stop\n"
        "main()"
    )
    for status, wanted in (("130", "stopped\nclosed\n"), ("1", "stopped\nclosed\ntorn down\n")):
        done = subprocess.run([sys.executable, "-c", code, status], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (int(status), wanted)


def test_closed_pipe_prints_no_traceback() -> None:
    child = process("plugins")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert "Traceback" not in child.stderr.read()
    child.stderr.close()
    assert child.wait(200) != 0
