"""The rounds in which a cycle's training prompts are sampled.

Which prompts a round samples depends on the samples of the rounds before and on the seed alone, so that a resumed cycle
continues with the same rounds. Later rounds sample the prompts that failed before. Rates over all samples would
therefore be biased; those of the first round, which samples every prompt equally, are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from halo_core.config.rounds import Rounds
from halo_core.metrics import is_pass
from halo_core.seeds import derive_seed
from halo_core.types import Prompt, Sample, SamplingRequest


def round_request(
    rounds: Rounds, request: SamplingRequest, number: int, samples: Sequence[Sample]
) -> SamplingRequest | None:
    """Return the request of round `number`, counted from 0, after `samples`; None if the cycle has no such round.

    `request` is that of the cycle: its number of completions is the budget.
    """
    if number == 0:
        return request if rounds.size is None else replace(request, samples_per_prompt=rounds.size)
    if rounds.size is None:
        return None
    seed = derive_seed(request.seed, "round", number)
    budget = len(request.prompts) * request.samples_per_prompt
    prompts = _needy(rounds, request.prompts, samples, budget, seed)
    return replace(request, prompts=prompts, samples_per_prompt=rounds.size, seed=seed) if prompts else None


def _needy(
    rounds: Rounds, prompts: Sequence[Prompt], samples: Sequence[Sample], budget: int, seed: int
) -> tuple[Prompt, ...]:
    """Return the prompts of a round, in the order of the data."""
    size = rounds.size or 1
    sampled = Counter(sample.prompt.id for sample in samples)
    answers = {(s.prompt.id, " ".join(s.completion.text.split())) for s in samples if is_pass(s)}
    passes = Counter(name for name, _ in answers)
    affordable = (budget - len(samples)) // size
    if rounds.tokens is not None and samples:
        used = sum(sample.completion.written for sample in samples)
        mean = max(1.0, used / len(samples))
        affordable = min(affordable, int((rounds.tokens - used) / (mean * size)))
    candidates = [
        prompt
        for prompt in prompts
        if passes[prompt.id] < rounds.enough and sampled[prompt.id] + size <= rounds.most
    ]
    candidates.sort(key=lambda p: (passes[p.id], sampled[p.id], derive_seed(seed, p.id)))
    taken = {prompt.id for prompt in candidates[: max(0, affordable)]}
    return tuple(prompt for prompt in prompts if prompt.id in taken)


def first_round(rounds: Rounds, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of the first round: all of them if the cycle has only one."""
    return [sample for sample in samples if rounds.size is None or sample.completion.index < rounds.size]


def sizes(rounds: Rounds, samples: Sequence[Sample]) -> tuple[int, ...]:
    """Return how many completions are the first, second, ... `size` of their prompt; empty without rounds."""
    if rounds.size is None or not samples:
        return ()
    counts = Counter(sample.completion.index // rounds.size for sample in samples)
    return tuple(counts[number] for number in range(max(counts) + 1))
