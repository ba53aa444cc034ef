"""`halo samples`: what a run sampled, with what its verifier said, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.filters import Directory, takes_filter
from halo_core.cli.output import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from halo_core.ledger.browse import Found

_NARROW = 100
"""Below so many columns a sample's parts are shown one below the other."""
_MOST = 1_000_000
"""Samples that are shown at once, whatever is asked for: nobody reads more."""


@takes_filter
def samples(
    directory: Directory,
    filter: Any,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show at most so many.")
    ] = 10,
    lines: Annotated[int, typer.Option(min=1, metavar="N", help="Lines shown of each text.")] = 24,
) -> None:
    """Show samples of a run: prompt, completion and diagnostics side by side."""
    from rich.console import Console

    from halo_core.cli.filters import nothing_found
    from halo_core.ledger.browse import find
    from halo_core.ledger.ledger import open_run

    ledger = open_run(directory)
    console = Console(highlight=False)
    limit, shown = min(limit, _MOST), 0
    for each in find(ledger, filter, limit=limit + 1):
        if shown == limit:
            typer.echo(f"and more: --limit {10 * limit}, or narrow it down (halo samples --help)")
            return
        console.print(_title(each), style="bold", markup=False)
        console.print(_body(each, console, lines))
        shown += 1
    if not shown:
        raise nothing_found(ledger, filter)


def _title(found: Found) -> str:
    sample, verdict = found.sample, found.sample.verdict
    parts = [
        f"cycle {found.cycle} {found.split}",
        f"{printable(sample.prompt.id)} #{sample.completion.index}",
    ]
    parts += [f"{verdict.status}, {verdict.stage}"]
    parts += [f"score {verdict.score:.3g}"] if 0 < verdict.score < 1 else []
    parts += [f"reward {sample.reward:g}"] if sample.reward is not None else []
    parts += [f"trained on, weight {sample.weight:g}"] if sample.weight else []
    parts += ["cut short"] if sample.completion.finish_reason == "length" else []
    return "  |  ".join(parts)


def _body(found: Found, console: Console, lines: int) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel

    from halo_core.ledger.browse import prompt_text

    sample = found.sample
    shown = {
        "prompt": prompt_text(sample.prompt),
        "completion": sample.completion.text,
        "diagnostics": sample.verdict.detail or "none",
    }
    wide = console.width >= _NARROW
    width = (console.width - 2) // 3 if wide else console.width
    panels = [
        Panel(_cut(text, console, width - 4, lines), title=title, width=width)
        for title, text in shown.items()
    ]
    return Columns(panels, padding=(0, 1)) if wide else Group(*panels)


def _cut(text: str, console: Console, width: int, lines: int) -> RenderableType:
    """Fold `text` to `width` columns, shorten it, and take out what would move the terminal's cursor."""
    from rich.text import Text

    plain = printable("\n".join(text.expandtabs(4).splitlines()))
    rows = Text(plain, overflow="fold").wrap(console, max(1, width))
    more = [Text(f"... {len(rows) - lines} lines more", style="dim")] if len(rows) > lines else []
    return Text("\n").join([*rows[:lines], *more])
