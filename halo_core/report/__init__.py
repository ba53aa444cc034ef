"""The report of a run: one HTML file that needs no network, for screens of any size, light, dark or paper.

Every figure in it comes from the run's directory, so it can be written again at any time.
"""

from __future__ import annotations

from pathlib import Path

from halo_core import files
from halo_core.ledger.ledger import Ledger

__all__ = ["write_report"]


def write_report(ledger: Ledger, output: Path | None = None) -> Path:
    """Write the report of a run to `output`, or to report.html in its directory; return where it is.

    Raises a `RunError` when the run cannot be read or the file cannot be written.
    """
    from halo_core.report.page import render

    target = output or ledger.directory / "report.html"
    files.write(target, render(ledger))
    return target
