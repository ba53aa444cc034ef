"""Rates with intervals. Prompts are resampled, not completions: samples of one prompt are not independent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from halo_core.seeds import derive_seed
from halo_core.types import Rates, Sample, Stage, Status

RESAMPLES = 2000


def rates(samples: Sequence[Sample], *, seed: int) -> Rates:
    """Summarise `samples`; see `Rates`. `seed` makes the intervals repeatable."""
    judged = [s for s in samples if s.verdict.status in (Status.PASS, Status.FAIL)]
    statuses = Counter(s.verdict.status for s in samples)
    stages = Counter(s.verdict.stage for s in judged)
    texts = {(s.prompt.id, s.completion.text) for s in samples}
    total = len(samples) or 1
    return Rates(
        samples=len(judged),
        valid=_share(judged, is_valid),
        passed=_share(judged, is_pass),
        valid_interval=interval(_counts(judged, is_valid), seed=seed),
        passed_interval=interval(_counts(judged, is_pass), seed=seed),
        stages={stage.value: stages[stage] for stage in Stage if stages[stage]},
        errors=statuses[Status.ERROR],
        inconclusive=statuses[Status.INCONCLUSIVE],
        truncated=sum(s.completion.finish_reason == "length" for s in samples) / total,
        distinct=len(texts) / total,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """How much a rate changed between two sets of samples of the same prompts, in shares (0.12 = 12 points)."""

    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    """95% paired bootstrap interval of the difference, prompts resampled."""

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


def change(
    before: Sequence[Sample], after: Sequence[Sample], what: Callable[[Sample], bool], *, seed: int
) -> Change:
    """Compare the share of samples for which `what` holds, pairing by prompt."""
    first, second = _counts(_judged(before), what), _counts(_judged(after), what)
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return Change(0.0, 0.0, 0.0, (0.0, 0.0))
    a = np.array([first[key] for key in shared], dtype=float)
    b = np.array([second[key] for key in shared], dtype=float)
    differences = np.concatenate([_pooled(b, d) - _pooled(a, d) for d in _draws(len(shared), seed)])
    everyone = np.arange(len(shared))[None]
    share_a, share_b = float(_pooled(a, everyone)[0]), float(_pooled(b, everyone)[0])
    low, high = np.quantile(differences, [0.025, 0.975])
    return Change(share_a, share_b, share_b - share_a, (float(low), float(high)))


def interval(counts: Mapping[str, tuple[int, int]], *, seed: int) -> tuple[float, float]:
    """Return the 95% bootstrap interval of a share, from (hits, samples) by prompt."""
    if not counts:
        return (0.0, 0.0)
    table = np.array([counts[key] for key in sorted(counts)], dtype=float)
    shares = np.concatenate([_pooled(table, draws) for draws in _draws(len(table), seed)])
    low, high = np.quantile(shares, [0.025, 0.975])
    return (float(low), float(high))


def is_valid(sample: Sample) -> bool:
    """Whether the completion got past the first rung."""
    return sample.verdict.valid


def is_pass(sample: Sample) -> bool:
    """Whether the verdict is pass."""
    return sample.verdict.status is Status.PASS


def _judged(samples: Sequence[Sample]) -> list[Sample]:
    return [s for s in samples if s.verdict.status in (Status.PASS, Status.FAIL)]


def _share(samples: Sequence[Sample], what: Callable[[Sample], bool]) -> float:
    return sum(map(what, samples)) / len(samples) if samples else 0.0


def _counts(samples: Sequence[Sample], what: Callable[[Sample], bool]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for sample in samples:
        hits, total = counts.get(sample.prompt.id, (0, 0))
        counts[sample.prompt.id] = (hits + what(sample), total + 1)
    return counts


def _draws(prompts: int, seed: int) -> Iterator[np.ndarray]:
    """Yield resampled prompt indices, (draws, prompts) at a time, `RESAMPLES` draws in all."""
    generator = np.random.default_rng(derive_seed(seed, "bootstrap"))
    chunk = max(1, min(RESAMPLES, 1_000_000 // prompts))
    for start in range(0, RESAMPLES, chunk):
        yield generator.integers(0, prompts, size=(min(chunk, RESAMPLES - start), prompts))


def _pooled(table: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Share of hits in each draw; `table` is (prompts, 2) of hits and samples, `draws` (draws, prompts)."""
    share: np.ndarray = table[:, 0][draws].sum(axis=1) / table[:, 1][draws].sum(axis=1)
    return share
