"""The report of a run: one HTML file that needs no network, for screens of any size, light or dark, and for print.

Every number in it comes from the run directory, so it can be rewritten at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core import files
from halo_core.ledger.ledger import Ledger
from halo_core.types import Completion, Prompt

if TYPE_CHECKING:
    from halo_core.report.page import Explains

__all__ = ["write_report"]


def write_report(
    ledger: Ledger,
    output: Path | None = None,
    *,
    extract: Callable[[Prompt, Completion], str] | None = None,
    reasons: Explains | None = None,
) -> Path:
    """Write the report of a run to `output`, by default report.html in the run directory; return its path.

    `extract` returns the part of a completion that its verifier verified, or an empty string. `reasons` explains the
    rewards and the selection of the samples that are shown.
    Raises a `RunError` if the run cannot be read or the file cannot be written.
    """
    from halo_core.report.page import render

    target = output or ledger.directory / "report.html"
    files.write(target, render(ledger, extract, reasons))
    return target
