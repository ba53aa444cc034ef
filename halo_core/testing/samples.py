"""Samples with given rewards or weights, for tests of selectors and trainers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

_BYTES = range(1, 257)
"""Token ids of `tiny_actor` that stand for a byte; 0 ends a completion."""


def make_samples(rewards: Mapping[str, Sequence[float]], *, seed: int = 0) -> list[Sample]:
    """Return one sample for each reward, by prompt id, with weight 1.

    Completions have distinct random token ids of 3 to 16 tokens that `tiny_actor` knows, the end token included, and
    log-probabilities, which no model computed. A reward of 1 has a verdict of pass, any other one of fail.
    """
    rng = random.Random(seed)
    samples = []
    for prompt_id, values in rewards.items():
        prompt = Prompt(prompt_id, f"task {prompt_id}")
        context = tuple(rng.choices(_BYTES, k=rng.randint(2, 9)))
        for index, reward in enumerate(values):
            ids = (*rng.choices(_BYTES, k=rng.randint(2, 15)), 0)
            logprobs = tuple(-rng.random() - 0.1 for _ in ids)
            completion = Completion(prompt_id, index, f"answer {ids}", context, ids, logprobs=logprobs)
            samples.append(Sample(prompt, completion, _verdict(reward), reward))
    return samples


def _verdict(reward: float) -> Verdict:
    if reward == 1.0:
        return Verdict(Status.PASS, Stage.CORRECT, 1.0)
    return Verdict(Status.FAIL, Stage.WRONG)
