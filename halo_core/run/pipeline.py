"""Sampling and verification side by side.

The main thread samples batch k + 1 while worker threads verify batch k, which takes CPU time in other processes.
Batches reach the ledger in the order in which they were sampled, whatever order they are verified in, and only a few
are in flight, so that neither memory nor the work lost by a kill grows with the request.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile

from halo_core.errors import Interrupted, PluginError
from halo_core.model.contexts import ignore_tokens
from halo_core.plugin.manager import Hooks
from halo_core.progress import Advance
from halo_core.run.state import Run
from halo_core.run.tokenizing import tokenized
from halo_core.tables import count
from halo_core.types import Completion, Sample, SamplingRequest, Status
from halo_core.verification.errors import ErrorBudget

_FIRST_ROUND = (
    "the rates and rewards of training samples are those of the first round, which samples every prompt equally; later "
    "rounds sample what failed before"
)
_MAX_INCONCLUSIVE = 0.05
"""Share of inconclusive verdicts above which the user is warned that the metrics cover only some completions."""


def sample_and_verify(run: Run, hooks: Hooks, request: SamplingRequest) -> list[Sample]:
    """Sample and verify `request`, round by round, starting after the batches that the ledger already has.

    Raises a `VerifierError` if too many verdicts are errors, a `PluginError` if the generator leaves
    completions out, and `Interrupted`, with every finished batch on disk, after Ctrl-C.
    """
    stored = deque(_stored(run, request))
    budget = ErrorBudget(run.config.max_error_rate, [s.verdict for batch in stored for s in batch])
    samples: list[Sample] = []
    complete, number = True, 0
    while part := run.round_request(request, number, samples):
        own: list[list[Sample]] = []
        while stored and sum(map(len, own)) < _size(part):
            own.append(stored.popleft())
        complete = sum(map(len, own)) == _size(part)
        samples += _round(run, hooks, part, number, own, Counter(s.prompt.id for s in samples), budget)
        number += 1
    if not complete:  # otherwise it was checked when its last batch was stored
        budget.close()
        _warn_of_inconclusive(run, request, samples)
    if number > 1:
        run.log_once("rounds", _FIRST_ROUND)
    return samples


def _round(
    run: Run,
    hooks: Hooks,
    request: SamplingRequest,
    number: int,
    batches: Sequence[Sequence[Sample]],
    before: Mapping[str, int],
    budget: ErrorBudget,
) -> list[Sample]:
    """Sample and verify a round after its `batches` that are stored; `before`: completions of earlier rounds."""
    samples = [sample for batch in batches for sample in batch]
    if len(samples) == _size(request):
        _check_complete(samples, request, before)
        return samples
    prompts = {prompt.id: prompt for prompt in request.prompts}
    waiting: deque[Future[list[Sample]]] = deque()
    with (
        run.progress.stage(_name(request, number), _size(request), "samples") as advance,
        # several, so that the stragglers of one batch do not idle the cores
        ThreadPoolExecutor(max(run.workers.in_flight // 2, 1)) as threads,
    ):
        meter = _Meter(advance, run.workers.status)
        meter.finish(len(samples))
        run.sampling_progress = meter.update

        def store() -> None:
            batch = waiting[0].result()  # stays first if it fails: no later batch may be stored before it
            waiting.popleft()
            run.ledger.append(request.cycle, request.split, batch)
            run.flush_timer()
            samples.extend(batch)
            budget.add([sample.verdict for sample in batch])

        def verify(completions: Sequence[Completion]) -> list[Sample]:
            tasks = [prompts[completion.prompt_id] for completion in completions]
            verdicts = hooks.verify(run=run, prompts=tasks, completions=completions)
            return [Sample(*row) for row in zip(tasks, completions, verdicts, strict=True)]

        try:
            for batch in hooks.generate(run=run, request=replace(request, done=len(batches))):
                meter.finish(len(batch))
                waiting.append(threads.submit(verify, _renumbered(tokenized(run, prompts, batch), before)))
                while waiting and (waiting[0].done() or len(waiting) > run.workers.in_flight):
                    store()
                run.check_interrupt()
            while waiting:
                store()
        except Interrupted:
            while waiting and waiting[0].done() and not waiting[0].exception():
                store()
            raise
        finally:
            run.sampling_progress = ignore_tokens
            for future in waiting:
                future.cancel()
    _check_complete(samples, request, before)
    return samples


def _size(request: SamplingRequest) -> int:
    return len(request.prompts) * request.samples_per_prompt


def _renumbered(completions: Sequence[Completion], before: Mapping[str, int]) -> Sequence[Completion]:
    """Let the numbers of a round's completions follow those of the rounds before."""
    if not before:
        return completions
    return [replace(each, index=each.index + before[each.prompt_id]) for each in completions]


class _Meter:
    """Turns the progress within batches, in parts of completions, into that of a request."""

    def __init__(self, advance: Advance, status: Callable[[], str]) -> None:
        self._advance, self._status = advance, status
        self._start = time.monotonic()
        self._shown = 0.0
        self._tokens = self._batch_tokens = 0

    def update(self, samples: float, tokens: int) -> None:
        """Show that `samples` completions, maybe in part, and `tokens` tokens of the current batch are sampled."""
        self._batch_tokens = tokens
        self._advance(samples - self._shown, note=self._note())
        self._shown = samples

    def finish(self, samples: int) -> None:
        """Show that a batch of `samples` completions is sampled."""
        self._tokens, self._batch_tokens = self._tokens + self._batch_tokens, 0
        self._advance(samples - self._shown, note=self._note())
        self._shown = 0.0

    def _note(self) -> str:
        tokens = self._tokens + self._batch_tokens
        rate = tokens / max(time.monotonic() - self._start, 1e-3)
        parts = [f"{tokens} tokens", f"{rate:.0f}/s"] if tokens else []
        return ", ".join(filter(None, [*parts, self._status()]))


def _stored(run: Run, request: SamplingRequest) -> list[list[Sample]]:
    """Return the stored batches. If their errors had stopped the run, drop them from the first error on."""
    run.ledger.open_request(request.cycle, request.split, run.request_hash(request))
    batches = run.ledger.batches(request.cycle, request.split, request.prompts)
    verdicts = [sample.verdict for batch in batches for sample in batch]
    if ErrorBudget(run.config.max_error_rate, verdicts).exceeded:
        batches = list(takewhile(lambda batch: not any(map(_is_error, batch)), batches))
        run.ledger.truncate(request.cycle, request.split, len(batches))
    return batches


def _is_error(sample: Sample) -> bool:
    return sample.verdict.status is Status.ERROR


def _check_complete(samples: Sequence[Sample], request: SamplingRequest, before: Mapping[str, int]) -> None:
    numbers: dict[str, list[int]] = {prompt.id: [] for prompt in request.prompts}
    for sample in samples:
        numbers[sample.prompt.id].append(sample.completion.index - before.get(sample.prompt.id, 0))
    wanted = list(range(request.samples_per_prompt))
    wrong = [prompt for prompt, given in numbers.items() if sorted(given) != wanted]
    if wrong:
        raise PluginError(
            f"the generator gave prompt {wrong[0]!r} completions numbered {sorted(numbers[wrong[0]])} "
            f"instead of 0 to {wanted[-1]} (of {count(len(numbers), 'prompt')}, {len(wrong)} affected)",
            hint="fix the generator, then start a new run with another --output",
        )


def _warn_of_inconclusive(run: Run, request: SamplingRequest, samples: Sequence[Sample]) -> None:
    """Warn about many inconclusive verdicts: slow completions are not a random subset."""
    inconclusive = sum(sample.verdict.status is Status.INCONCLUSIVE for sample in samples)
    if inconclusive > _MAX_INCONCLUSIVE * len(samples):
        run.log(
            "verify",
            f"{_name(request)}: {inconclusive} of {len(samples)} verdicts are inconclusive; the metrics cover the "
            "rest, which is a biased sample: lower workers or raise the verifier's timeout",
        )


def _name(request: SamplingRequest, number: int = 0) -> str:
    stage = "sample" if request.split == "train" else "held-out"
    return f"cycle {request.cycle} {stage}" + (f", round {number + 1}" if number else "")
