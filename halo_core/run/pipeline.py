"""Generation and verification side by side: while batch k is judged, batch k + 1 is being sampled.

Batches are recorded in the order in which they were sampled, whatever order they are judged in, and only
a few are in flight, so that neither memory nor the work lost by a kill grows with the round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile

from halo_core.errors import PluginError, VerifierError
from halo_core.plugin.manager import Hooks
from halo_core.run.state import Run
from halo_core.types import Completion, Round, Sample, Status

IN_FLIGHT = 4
"""Batches that may wait for their verdicts before sampling pauses."""
_JUDGES = 2
"""Batches judged at once, so that the stragglers of one do not idle the cores."""
_UNDECIDED = 0.05
"""Share of inconclusive verdicts past which the rates are said to be of some of the completions only."""
_ENOUGH = 16
"""Errors before their share is believed while the round goes on."""


def verified(run: Run, hooks: Hooks, round: Round) -> list[Sample]:
    """Sample and verify `round`, going on after what the ledger already holds of it.

    Raises a `VerifierError` when too many verdicts are errors, a `PluginError` when the generator leaves
    completions out, and `Interrupted`, with every finished batch on disk, when the user asked to stop.
    """
    batches = _trusted(run, round)
    samples = [sample for batch in batches for sample in batch]
    errors = _ErrorRate(run.config.max_error_rate, samples)
    total = len(round.prompts) * round.samples_per_prompt
    if len(samples) == total:
        _check_complete(samples, round)
        return samples
    prompts = {prompt.id: prompt for prompt in round.prompts}
    waiting: deque[Future[list[Sample]]] = deque()
    with run.progress.stage(_name(round), total, "samples") as advance, ThreadPoolExecutor(_JUDGES) as judges:
        advance(len(samples))

        def settle() -> None:
            batch = waiting.popleft().result()
            run.ledger.append(round.cycle, round.split, batch)
            run.lap()
            samples.extend(batch)
            advance(len(batch))
            errors.check(batch)

        def judge(completions: Sequence[Completion]) -> list[Sample]:
            tasks = [prompts[completion.prompt_id] for completion in completions]
            verdicts = hooks.verify(run=run, prompts=tasks, completions=completions)
            return [Sample(*row) for row in zip(tasks, completions, verdicts, strict=True)]

        try:
            for completions in hooks.generate(run=run, round=replace(round, done=len(batches))):
                waiting.append(judges.submit(judge, completions))
                while waiting and (waiting[0].done() or len(waiting) > IN_FLIGHT):
                    settle()
                if run.interrupted:
                    break
            while waiting:
                settle()
        finally:
            for future in waiting:
                future.cancel()
    run.check_interrupt()
    errors.check(last=True)
    _check_complete(samples, round)
    _say_undecided(run, round, samples)
    return samples


def _say_undecided(run: Run, round: Round, samples: Sequence[Sample]) -> None:
    """Say when the verifier could not tell of too many completions: what is slow to judge is none at random."""
    late = sum(sample.verdict.status is Status.INCONCLUSIVE for sample in samples)
    if late > _UNDECIDED * len(samples):
        run.say(
            "verify",
            f"{_name(round)}: {late} of {len(samples)} verdicts are inconclusive; the rates are of the rest, which "
            "is no fair sample: lower workers or raise the verifier's timeout",
        )


def _name(round: Round) -> str:
    stage = "sample" if round.split == "train" else "held-out"
    return f"cycle {round.cycle} {stage}"


def _trusted(run: Run, round: Round) -> list[list[Sample]]:
    """Return the batches on disk, less those that stopped the run for their errors: they are done again."""
    run.ledger.open_round(round.cycle, round.split, run.recipe(round))
    batches = run.ledger.batches(round.cycle, round.split, round.prompts)
    if _ErrorRate(run.config.max_error_rate, [sample for batch in batches for sample in batch]).too_high:
        batches = list(takewhile(lambda batch: not any(map(_is_error, batch)), batches))
        run.ledger.keep(round.cycle, round.split, len(batches))
    return batches


class _ErrorRate:
    """Stops a round in which too many verdicts are errors."""

    def __init__(self, limit: float, samples: Sequence[Sample]) -> None:
        self._limit = limit
        self._seen = 0
        self._errors: list[Sample] = []
        self._add(samples)

    @property
    def too_high(self) -> bool:
        return len(self._errors) > self._limit * self._seen

    def check(self, batch: Sequence[Sample] = (), *, last: bool = False) -> None:
        self._add(batch)
        if self.too_high and (last or len(self._errors) >= _ENOUGH):
            raise VerifierError(
                f"{len(self._errors)} of {self._seen} verdicts are errors, more than max_error_rate "
                f"{self._limit:g}; the last: {self._errors[-1].verdict.detail or 'no detail'}",
                hint="mend the verifier or its tools (halo plugins check); the run can then be resumed",
            )

    def _add(self, samples: Sequence[Sample]) -> None:
        self._seen += len(samples)
        self._errors += filter(_is_error, samples)


def _is_error(sample: Sample) -> bool:
    return sample.verdict.status is Status.ERROR


def _check_complete(samples: Sequence[Sample], round: Round) -> None:
    numbers: dict[str, list[int]] = {prompt.id: [] for prompt in round.prompts}
    for sample in samples:
        numbers[sample.completion.prompt_id].append(sample.completion.index)
    wanted = list(range(round.samples_per_prompt))
    wrong = [prompt for prompt, given in numbers.items() if sorted(given) != wanted]
    if wrong:
        raise PluginError(
            f"the generator gave prompt {wrong[0]!r} completions numbered {sorted(numbers[wrong[0]])} "
            f"instead of 0 to {wanted[-1]} ({len(wrong)} of {len(numbers)} prompts are off)",
            hint="mend the generator, then begin the run anew with another --output",
        )
