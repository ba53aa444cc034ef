"""`halo samples`: what a run sampled, with what its verifier said, in the terminal."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.filters import takes_filter

if TYPE_CHECKING:
    from rich.console import RenderableType

    from halo_core.ledger.browse import Filter, Found

_NARROW = 100
"""Below so many columns a sample's parts are shown one below the other."""


@takes_filter
def samples(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    filter: Any,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most so many.")] = 10,
    lines: Annotated[int, typer.Option(min=1, help="Lines shown of each text.")] = 24,
) -> None:
    """Show samples of a run: prompt, completion and diagnostics side by side."""
    from rich.console import Console

    from halo_core.ledger import open_run
    from halo_core.ledger.browse import find

    ledger = open_run(directory)
    console = Console(highlight=False)
    found = list(islice(find(ledger, filter, limit=limit + 1), limit + 1))
    _check_some(found, ledger, filter)
    for each in found[:limit]:
        console.print(_title(each), style="bold", markup=False)
        console.print(_body(each, console.width, lines))
    if len(found) > limit:
        typer.echo(f"and more: --limit {10 * limit}, or narrow it down (halo samples --help)")


def _check_some(found: list[Found], ledger: Any, filter: Filter) -> None:
    from halo_core.errors import DataError, did_you_mean

    if found:
        return
    names = [prompt.id for split in ("train", "heldout") for prompt in ledger.prompts(split)]
    if filter.prompt is not None and filter.prompt not in names:
        raise DataError(
            f"{ledger.directory} has no prompt {filter.prompt!r}", hint=did_you_mean(filter.prompt, names)
        )
    raise DataError(
        f"{ledger.directory} has no such samples", hint="leave a filter out; --cycle counts from 0"
    )


def _title(found: Found) -> str:
    sample, verdict = found.sample, found.sample.verdict
    parts = [f"cycle {found.cycle} {found.split}", f"{sample.prompt.id} #{sample.completion.index}"]
    parts += [f"{verdict.status}, {verdict.stage}"]
    parts += [f"score {verdict.score:.3g}"] if 0 < verdict.score < 1 else []
    parts += [f"reward {sample.reward:g}"] if sample.reward is not None else []
    parts += [f"trained on, weight {sample.weight:g}"] if sample.weight else []
    parts += ["cut short"] if sample.completion.finish_reason == "length" else []
    return "  |  ".join(parts)


def _body(found: Found, width: int, lines: int) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    from halo_core.ledger.browse import prompt_text

    sample = found.sample
    shown = {
        "prompt": prompt_text(sample.prompt),
        "completion": sample.completion.text,
        "diagnostics": sample.verdict.detail or "none",
    }
    wide = width >= _NARROW
    panels = [
        Panel(Text(_cut(text, lines)), title=title, width=(width - 2) // 3 if wide else None)
        for title, text in shown.items()
    ]
    return Columns(panels, padding=(0, 1)) if wide else Group(*panels)


def _cut(text: str, lines: int) -> str:
    """Shorten `text`, and take out what would move the terminal's cursor."""
    kept = text.expandtabs(4).splitlines()
    more = [f"... {len(kept) - lines} lines more"] if len(kept) > lines else []
    shown = "\n".join([*kept[:lines], *more])
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in shown)
