"""Generation and verification side by side: while batch k is judged, batch k + 1 is being sampled.

Batches are recorded in the order in which they were sampled, whatever order they are judged in, and only
a few are in flight, so that neither memory nor the work lost by a kill grows with the round.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from halo_core.errors import PluginError, VerifierError
from halo_core.hooks import Hooks
from halo_core.run import Run
from halo_core.types import Completion, Round, Sample, Status

IN_FLIGHT = 4
"""Batches that may wait for their verdicts before sampling pauses."""
_JUDGES = 2
"""Batches judged at once, so that the stragglers of one do not idle the cores."""
_ENOUGH = 16
"""Verdicts before a share of errors is believed."""


def verified(run: Run, hooks: Hooks, round: Round) -> list[Sample]:
    """Sample and verify `round`, going on after what the ledger already holds of it.

    Raises a `VerifierError` when too many verdicts are errors, a `PluginError` when the generator leaves
    completions out, and `Interrupted`, with every finished batch on disk, when the user asked to stop.
    """
    batches = run.ledger.batches(round.cycle, round.split, round.prompts)
    samples = [sample for batch in batches for sample in batch]
    errors = _ErrorRate(run.config.max_error_rate)
    total = len(round.prompts) * round.samples_per_prompt
    if len(samples) == total:
        return samples
    prompts = {prompt.id: prompt for prompt in round.prompts}
    waiting: deque[Future[list[Sample]]] = deque()
    with run.progress.stage(_name(round), total, "samples") as advance, ThreadPoolExecutor(_JUDGES) as judges:
        advance(len(samples))

        def settle() -> None:
            batch = waiting.popleft().result()
            run.ledger.append(round.cycle, round.split, batch)
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
    _check_complete(samples, round)
    return samples


def _name(round: Round) -> str:
    stage = "sample" if round.split == "train" else "held-out"
    return f"cycle {round.cycle} {stage}"


class _ErrorRate:
    """Stops a round in which too many verdicts are errors."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._seen = self._errors = 0

    def check(self, batch: Sequence[Sample]) -> None:
        broken = [sample for sample in batch if sample.verdict.status is Status.ERROR]
        self._seen += len(batch)
        self._errors += len(broken)
        if broken and self._seen >= _ENOUGH and self._errors > self._limit * self._seen:
            raise VerifierError(
                f"{self._errors} of {self._seen} verdicts are errors, more than max_error_rate {self._limit:g}; "
                f"the last: {broken[-1].verdict.detail or 'no detail'}",
                hint="mend the verifier or its tools (halo plugins check); the run can then be resumed",
            )


def _check_complete(samples: Sequence[Sample], round: Round) -> None:
    count = Counter(sample.completion.prompt_id for sample in samples)
    wrong = [prompt.id for prompt in round.prompts if count[prompt.id] != round.samples_per_prompt]
    if wrong:
        raise PluginError(
            f"the generator gave {count[wrong[0]]} completions for prompt {wrong[0]!r} "
            f"instead of {round.samples_per_prompt} ({len(wrong)} prompts are off)"
        )
