"""`halo samples`: show a run's samples with their verdicts in the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.filters import takes_filter
from halo_core.cli.output import print_json, printable
from halo_core.cli.signatures import AsJSON, RunDirectory

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from halo_core.ledger.browse import Found
    from halo_core.run.reasons import Reasons
    from halo_core.verification.verifiers import VerifierSet

_NARROW = 100
"""Below this many columns the parts of a sample are stacked."""
_MAXIMUM = 1_000_000
"""Maximum number of samples shown at once."""


@takes_filter
def samples(
    directory: RunDirectory,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="Maximum number of samples.")
    ] = 10,
    lines: Annotated[int, typer.Option(min=1, metavar="N", help="Maximum lines of each text.")] = 24,
    as_json: AsJSON = False,
    *,
    filter: Any,
) -> None:
    """Show samples of a run: prompt, completion and diagnostics."""
    from rich.console import Console

    from halo_core.cli.filters import no_match
    from halo_core.ledger.browse import find
    from halo_core.ledger.ledger import open_run
    from halo_core.run.reasons import Reasons
    from halo_core.verification.verifiers import VerifierSet

    ledger = open_run(directory)
    reasons = Reasons(ledger)
    verifiers = VerifierSet.of_run(ledger.config(), ledger.plugins())
    limit, shown = min(limit, _MAXIMUM), 0
    if as_json:
        rows = [_record(each, verifiers, reasons) for each in find(ledger, filter, limit=limit)]
        if not rows:
            raise no_match(ledger, filter)
        print_json(rows)
        return
    console = Console(highlight=False)
    for each in find(ledger, filter, limit=limit + 1):
        if shown == limit:
            typer.echo(f"there are more: use --limit {10 * limit} or a filter (halo samples --help)")
            return
        console.print(_title(each, reasons), style="bold", markup=False)
        extracted = verifiers.extracted(each.sample.prompt, each.sample.completion)
        console.print(_body(each, extracted, console, lines))
        shown += 1
    if not shown:
        raise no_match(ledger, filter)


def _record(found: Found, verifiers: VerifierSet, reasons: Reasons) -> dict[str, Any]:
    """Return a sample as values of JSON. `halo export` has the token ids, too."""
    from halo_core.ledger.browse import prompt_text

    sample, completion = found.sample, found.sample.completion
    return {
        "cycle": found.cycle,
        "split": found.split,
        "prompt_id": sample.prompt.id,
        "index": completion.index,
        "prompt": prompt_text(sample.prompt),
        "completion": completion.text,
        "verified_part": verifiers.extracted(sample.prompt, completion) or None,
        "tokens": completion.written,
        "finish_reason": completion.finish_reason,
        "verdict": asdict(sample.verdict),
        "reward": sample.reward,
        "reward_reason": reasons.of_reward(found) or None,
        "weight": sample.weight,
        "selection_reason": reasons.of_selection(found) or None,
    }


def _title(found: Found, reasons: Reasons) -> str:
    sample, verdict = found.sample, found.sample.verdict
    parts = [
        f"cycle {found.cycle} {found.split}",
        f"{printable(sample.prompt.id)} #{sample.completion.index}",
    ]
    parts += [f"{verdict.status}, {verdict.stage}"]
    parts += [f"score {verdict.score:.3g}"] if 0 < verdict.score < 1 else []
    parts += [f"{verdict.warnings} warning{'s' if verdict.warnings > 1 else ''}"] if verdict.warnings else []
    parts += [f"{name} {value:.3g}" for name, value in verdict.signals.items()]
    if sample.reward is not None:
        why = reasons.of_reward(found)
        parts += [f"reward {sample.reward:g}{f' ({why})' if why else ''}"]
    parts += [f"trained on, weight {sample.weight:g}"] if sample.weight else []
    if why := reasons.of_selection(found):
        parts += [f"not trained on: {why}"]
    if sample.completion.finish_reason == "length":
        from halo_core.metrics import is_unfinished

        parts += ["truncated within its reasoning" if is_unfinished(sample) else "truncated"]
    return "  |  ".join(parts)


def _body(found: Found, extracted: str, console: Console, lines: int) -> RenderableType:
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel

    from halo_core.ledger.browse import prompt_text

    sample = found.sample
    texts = {
        "prompt": prompt_text(sample.prompt),
        "completion": sample.completion.text,
        **({"verified part": extracted} if extracted else {}),
        "diagnostics": sample.verdict.detail or "none",
    }
    wide = console.width >= _NARROW
    columns = len(texts) if console.width >= _NARROW // 3 * len(texts) else 2
    width = (console.width - columns + 1) // columns if wide else console.width
    panels = [
        Panel(_shortened(text, console, width - 4, lines), title=title, width=width)
        for title, text in texts.items()
    ]
    return Columns(panels, padding=(0, 1)) if wide else Group(*panels)


def _shortened(text: str, console: Console, width: int, lines: int) -> RenderableType:
    """Fold `text` to `width` columns, keep `lines` lines, and replace terminal control characters."""
    from rich.text import Text

    from halo_core.tables import count

    plain = printable("\n".join(text.expandtabs(4).splitlines()))
    rows = Text(plain, overflow="fold").wrap(console, max(1, width))
    more = [Text(f"... {count(len(rows) - lines, 'more line')}", style="dim")] if len(rows) > lines else []
    return Text("\n").join([*rows[:lines], *more])
