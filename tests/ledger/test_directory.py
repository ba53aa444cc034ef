"""The lock on a run directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
