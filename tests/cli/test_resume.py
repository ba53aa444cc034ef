"""Going on with other plugins or tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


def test_a_plugin_that_was_edited_is_noticed(halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "judges" / "judge.py"  # the demo says that its model is beside it
    path.parent.mkdir()
    path.write_text(DRIVERS.read_text())
    flags = [*fakes[2:], "--verifier", f"{path}:Words", "-n", 1, "-o", "run"]
    assert halo("run", *flags).code == 0
    path.write_text(DRIVERS.read_text() + "\n# mended\n")
    answer = halo("resume", "run")
    assert "verifier 'Words' was sha256:" in answer.complaint()
    assert "halo resume run --changed" in answer.remedy()
    assert halo("run", *flags).code != 0
    assert halo("resume", "run", "--changed").code == 0
    assert halo("resume", "run").code == 0, "and then that is what the run goes on with"
    assert any(kind == "changed" for _, kind, _ in Ledger(Path("run")).events())


def test_a_tool_that_was_upgraded_is_noticed(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE verifiers SET fingerprint = 'Words, tool 1.0'")
    assert "verifier 'Words' had Words, tool 1.0 and has Words(" in halo("resume", "run").complaint()
    assert halo("resume", "run", "--changed").code == 0
