"""A look at the model before it is trained: some verified samples, and whether RAFT can learn from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from halo_core.diagnosis.readiness import Selection, readiness
from halo_core.hookspecs import hookimpl
from halo_core.metrics import is_unfinished
from halo_core.types import Completion, CycleReport, Prompt, Sample, Stage, Status

if TYPE_CHECKING:
    from halo_core.run.state import Run

_LINES = 6
"""Maximum lines shown of a sample."""
_COLUMNS = 100
"""Maximum characters shown of a line."""


class Preview:
    """Prints a sample that passes, one of the most frequent failure, and the prospects, after cycle 0.

    Training starts only afterwards, so a wrong prompt, template or token limit shows in time to stop.
    """

    def __init__(
        self,
        extract: Callable[[Prompt, Completion], str],
        selection: Callable[[Sequence[Sample]], Selection | None] = lambda samples: None,
    ) -> None:
        self._extract = extract
        self._selection = selection
        """Returns the selection that a cycle would make of samples; None if it is not known."""

    @hookimpl(trylast=True)
    def on_cycle_end(self, run: Run, report: CycleReport) -> None:
        """Print the preview after the measurement of the untrained model."""
        if report.cycle or report.heldout is None or not run.heldout:
            return
        samples = [s for batch in run.ledger.batches(0, "heldout", run.heldout) for s in batch]
        for sample in _typical(samples):
            for line in self._lines(sample):
                run.progress.note(line)
        tries = run.config.heldout.samples_per_prompt
        for line in readiness(report.heldout, tries, self._selection(samples)):
            run.progress.note(f"outlook  {line}")

    def _lines(self, sample: Sample) -> Iterator[str]:
        verdict, completion = sample.verdict, sample.completion
        detail = verdict.detail.strip().partition("\n")[0]
        cut = ", cut short" if completion.finish_reason == "length" else ""
        cut += " within its reasoning" if is_unfinished(sample) else ""
        title = f"{sample.prompt.id} #{completion.index}: {verdict.status}, {verdict.stage}{cut}"
        yield f"sample   {_printable(f'{title}: {detail}' if detail else title)}"
        text = self._extract(sample.prompt, completion) or completion.text
        lines = [line for line in text.expandtabs(4).splitlines() if line.strip()]
        yield from (f"         | {_printable(line)}" for line in lines[:_LINES])
        if len(lines) > _LINES:
            yield f"         | ... {len(lines) - _LINES} more"


def _typical(samples: Sequence[Sample]) -> list[Sample]:
    """Return the first sample that passes, and the first one of the most frequent other outcome."""
    failed = Counter(_outcome(sample) for sample in samples if sample.verdict.status is not Status.PASS)
    frequent = max(failed, key=lambda outcome: failed[outcome], default=None)
    found: dict[tuple[Status, Stage], Sample] = {}
    for sample in samples:
        outcome = _outcome(sample)
        if sample.verdict.status is Status.PASS or outcome == frequent:
            found.setdefault(outcome, sample)
    return sorted(found.values(), key=lambda sample: sample.verdict.status is not Status.PASS)


def _outcome(sample: Sample) -> tuple[Status, Stage]:
    return sample.verdict.status, sample.verdict.stage


def _printable(text: str) -> str:
    """Return a line without control characters, shortened."""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 3]}..."
