"""Mixing: a cycle also trains on samples that earlier cycles selected, or on fine-tuning pairs.

Training on new data alone narrows a model; accumulating the old data prevents that (Gerstgrasser et al. 2024,
arXiv 2404.01413). The default cap of 10 completions of a prompt is that of ReST-EM (arXiv 2312.06585).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from halo_core.config.mix import Mix
from halo_core.seeds import derive_seed
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

if TYPE_CHECKING:
    from halo_core.model.contexts import Actor

Key = tuple[str, tuple[int, ...]]


def mixed(chosen: Sequence[Sample], earlier: Sequence[Sample], mix: Mix, *, seed: int) -> list[Sample]:
    """Return the samples to train on: all of `chosen`, and those of `earlier` (oldest first) that `mix` adds.

    If a completion was selected several times, its latest selection counts. `chosen` is never cut: limiting it is
    up to the selector, which knows the rewards.
    """
    own = {_key(sample) for sample in chosen}
    old: dict[Key, Sample] = {}  # newest first
    for sample in reversed(earlier):
        if _key(sample) not in own:
            old.setdefault(_key(sample), sample)
    if mix.mode == "accumulate":
        taken = Counter(prompt for prompt, _ in own)
        kept = []
        for sample in old.values():
            if taken[sample.prompt.id] < mix.cap:
                taken[sample.prompt.id] += 1
                kept.append(sample)
        return [*chosen, *kept]
    if mix.mode == "replay":
        wanted = min(len(old), round(len(chosen) * mix.share / (1 - mix.share)))
        oldest_first = list(reversed(old.values()))
        return [*chosen, *random.Random(derive_seed(seed, "replay")).sample(oldest_first, wanted)]
    return list(chosen)


def pairs_as_samples(actor: Actor, path: str) -> list[Sample]:
    """Read fine-tuning pairs and encode them as a generator would; see `pretraining.read_pairs`.

    They count as correct, with a reward of 1, so that a trainer finds a reward in every sample.
    """
    from pathlib import Path

    from halo_core.model.pretraining import encode_pair, read_pairs

    verdict = Verdict(Status.PASS, Stage.CORRECT, 1.0)
    samples = []
    for number, pair in enumerate(read_pairs(Path(path))):
        context, ids = encode_pair(actor, pair)
        completion = Completion(f"pair-{number}", 0, pair.completion, context, ids)
        samples.append(
            Sample(Prompt(completion.prompt_id, pair.prompt, pair.messages), completion, verdict, 1.0)
        )
    return samples


def _key(sample: Sample) -> Key:
    return sample.prompt.id, sample.completion.token_ids
