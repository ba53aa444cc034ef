"""The lock on a run directory."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from ledger_values import (
    started,
)

from halo_core.errors import RunError
from halo_core.ledger.ledger import Ledger


def test_a_run_that_did_not_start_leaves_nothing_behind(tmp_path: Path) -> None:
    new, old = Ledger(tmp_path / "new"), Ledger(tmp_path / "old")
    old.directory.mkdir()
    for ledger in (new, old):
        with pytest.raises(KeyError), ledger.locked():
            raise KeyError
    assert not new.directory.exists()
    assert old.directory.exists()
    with new.locked():
        started(new)
    assert new.exists


def test_one_process_locks_the_directory(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from halo_core.ledger.ledger import Ledger\n"
        f"with Ledger(Path({str(tmp_path)!r})).locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunError, match="is in use by another process") as caught,
            Ledger(tmp_path).locked(),
        ):
            pass
        assert caught.value.hint
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()
    with Ledger(tmp_path).locked():
        pass  # a killed process releases the lock
    with Ledger(tmp_path).locked():
        pass  # leaving the context releases it too


def test_a_lock_that_another_process_removed_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that did not start removes its lock, while another process waits for it."""
    path = tmp_path / ".lock"
    removed: list[Path] = []
    flock = fcntl.flock

    def lock_and_remove(file: IO[str], operation: int) -> None:
        flock(file, operation)
        if not removed:
            path.unlink()
            removed.append(path)

    monkeypatch.setattr("fcntl.flock", lock_and_remove)
    with Ledger(tmp_path).locked():
        assert removed
        with path.open("w") as other, pytest.raises(BlockingIOError):
            flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_adapters_are_removed_whole_and_other_directories_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    for name in ("001", "002", "best"):
        (tmp_path / "cycles" / name / "adapter").mkdir(parents=True)
        (tmp_path / "cycles" / name / "adapter/weights").touch()

    def killed(path: Path, **_: object) -> None:
        if path.exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.remove_adapters(keep={2})
    assert not (tmp_path / "cycles/001/adapter").exists(), "no half of it is left"
    ledger.remove_adapters(keep={2})
    assert sorted(path.parent.name for path in tmp_path.glob("cycles/*/adapter")) == ["002", "best"]
