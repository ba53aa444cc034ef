"""Text for people: tables, and short learning rates."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

GAP = 2
"""Spaces between two columns."""


def table(rows: Sequence[Sequence[str]], *, left: int, ranks: Sequence[int] = ()) -> str:
    """Align `rows` in columns: the first `left` columns to the left, the others to the right.

    On a terminal, columns that do not fit are left out if `ranks` has a number for each column: the lower it is, the
    longer the column stays.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = fitting(widths, ranks, terminal_width()) if ranks else range(len(widths))
    lines = (
        (" " * GAP).join(
            row[column].ljust(widths[column]) if column < left else row[column].rjust(widths[column])
            for column in shown
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def fitting(widths: Sequence[int], ranks: Sequence[int], room: int | None) -> list[int]:
    """Return the columns that fit side by side into `room` characters, in order; None: all columns.

    The columns are taken by their rank, lowest first, up to the first that does not fit; at least one is.
    """
    if room is None:
        return list(range(len(widths)))
    by_rank = sorted(range(len(widths)), key=lambda column: ranks[column])
    used = -GAP
    for number, column in enumerate(by_rank):
        used += GAP + widths[column]
        if used > room:
            return sorted(by_rank[: max(1, number)])
    return sorted(by_rank)


def terminal_width() -> int | None:
    """Return the number of columns of the terminal that standard output writes to; None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 step", "2 steps"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """Return a number of bytes in short form: 812 bytes, 35 MB, 1.6 GB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.{1 if number < 10 * unit else 0}f} {name}"
    return count(number, "byte")


def spell(lr: float) -> str:
    """Format a learning rate with three digits in short form: 5e-5, 2.5e-5, 1.71e-5."""
    mantissa, exponent = f"{lr:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
