"""Metrics with intervals. Prompts are resampled, not completions: samples of one prompt are not independent.

The bootstrap interval has no width for a single prompt, or if all prompts have the same result. The interval of a
pass rate is therefore at least as wide as for independent completions (`independent_error`). For a difference that
would be too wide: the held-out samples of two cycles share their random numbers, so their common part cancels. There
the variance of independent completions is averaged with the bootstrap's, with the weight of `FEW_PROMPTS` prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count, takewhile
from math import comb
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from halo_core.seeds import derive_seed
from halo_core.thoughts import read_answer
from halo_core.types import CycleReport, EvalMetrics, PairedDifference, Sample, Stage, Status

RESAMPLES = 2000
Z95 = NormalDist().inv_cdf(0.975)
"""Half the width of a 95% interval, in standard errors."""
FEW_PROMPTS = 8
"""Number of held-out prompts below which an interval means little: too few to estimate their spread."""
T = TypeVar("T")
Counts = Mapping[str, tuple[float, float]]
"""(hits, samples) by prompt; fractions are expected numbers."""


def eval_metrics(samples: Sequence[Sample], *, seed: int) -> EvalMetrics:
    """Return the metrics of `samples`. `seed` makes the intervals repeatable."""
    conclusive = _conclusive(samples)
    statuses = Counter(s.verdict.status for s in samples)
    stages = Counter(s.verdict.stage for s in conclusive)
    texts = {(s.prompt.id, s.completion.text) for s in samples}
    by_prompt = counts(samples, is_pass)
    passes = list(by_prompt.values())
    total = len(samples) or 1
    return EvalMetrics(
        samples=len(conclusive),
        valid=_share(conclusive, is_valid),
        passed=_share(conclusive, is_pass),
        valid_interval=interval(counts(samples, is_valid), seed=seed),
        passed_interval=interval(by_prompt, seed=seed),
        stages={stage.value: stages[stage] for stage in Stage if stages[stage]},
        errors=statuses[Status.ERROR],
        inconclusive=statuses[Status.INCONCLUSIVE],
        truncated=sum(s.completion.finish_reason == "length" for s in samples) / total,
        unfinished=sum(map(is_unfinished, samples)) / total,
        distinct=len(texts) / total,
        distinct_correct=distinct_correct(conclusive),
        entropy=entropy(samples),
        all_pass=_share(passes, lambda row: row[0] == row[1]),
        all_fail=_share(passes, lambda row: row[0] == 0),
        pass_at={str(k): value for k, value in pass_at(passes).items()},
        warned=_share(conclusive, lambda sample: sample.verdict.warnings > 0),
        prompts=len(passes),
    )


def is_unfinished(sample: Sample) -> bool:
    """Return whether the token limit cut a completion short within its reasoning."""
    cut = sample.completion.finish_reason == "length"
    return cut and bool(read_answer(sample.completion.text).unfinished)


def distinct_correct(samples: Sequence[Sample]) -> float:
    """Return the share of distinct (prompt, text) pairs among the samples that passed, ignoring white space."""
    right = [(s.prompt.id, " ".join(s.completion.text.split())) for s in samples if is_pass(s)]
    return len(set(right)) / len(right) if right else 0.0


def entropy(samples: Sequence[Sample]) -> float | None:
    """Return the mean of -log p over the sampled tokens, in nats; None if no log-probabilities were recorded."""
    known = [s.completion for s in samples if s.completion.logprobs is not None and s.completion.token_ids]
    tokens = sum(completion.written for completion in known)
    return -sum(completion.logprob or 0.0 for completion in known) / tokens if tokens else None


def pass_at(passes: Collection[tuple[float, float]]) -> dict[int, float]:
    """Return pass@k from (passes, completions) by prompt, for k = 1, 2, 4, ... up to the fewest completions.

    It is the mean over prompts of `pass_at_of`.
    """
    most = min((total for _, total in passes), default=0)
    ks = takewhile(lambda k: k <= most, (1 << n for n in count()))
    return {k: sum(pass_at_of(row, k) for row in passes) / len(passes) for k in ks}


def pass_at_of(passes: tuple[float, float], k: int) -> float:
    """Return pass@k of a prompt from (passes, completions): the probability that one of `k` completions passes.

    Unbiased: 1 - C(n - c, k) / C(n, k), with c of n completions passing (Chen et al. 2021, arXiv 2107.03374).
    """
    c, n = map(int, passes)
    return 1 - comb(n - c, k) / comb(n, k)


def solved(passes: Counts, k: int) -> Counts:
    """Return the expected (solved tries, tries) by prompt, a try being `k` completions that share no completion.

    The share of solved tries is pass@k. `interval` and `paired_difference` of the result are those of pass@k: prompts
    are resampled, and every prompt has the same number of tries.
    """
    tries = min((int(total) for _, total in passes.values()), default=0) // k
    return {name: (pass_at_of(row, k) * tries, tries) for name, row in passes.items()}


def prompt_interval(passes: tuple[float, float], k: int) -> tuple[float, float]:
    """Return the 95% interval of pass@k of one prompt from (passes, completions).

    1 - (1 - p)^k at the ends of the interval of p by Wilson (1927), whose coverage is good for few completions; wide
    enough to include the estimate.
    """
    hits, total = passes
    square = Z95**2
    middle = (hits + square / 2) / (total + square)
    half = Z95 / (total + square) * (hits * (1 - hits / total) + square / 4) ** 0.5
    low, high = (1 - (1 - min(max(p, 0.0), 1.0)) ** k for p in (middle - half, middle + half))
    estimate = pass_at_of(passes, k)
    return min(low, estimate), max(high, estimate)


def gini(counts: Sequence[int]) -> float:
    """Return the Gini coefficient of `counts`: 0 if all are equal, or if their sum is 0.

    G = 2 sum_i(i x_i) / (n sum(x)) - (n + 1) / n over x in ascending order, i from 1.
    """
    total, n = sum(counts), len(counts)
    if not total:
        return 0.0
    return 2 * sum(i * x for i, x in enumerate(sorted(counts), 1)) / (n * total) - (n + 1) / n


def samples_difference(
    before: Sequence[Sample], after: Sequence[Sample], predicate: Callable[[Sample], bool], *, seed: int
) -> PairedDifference:
    """Compare the shares of samples that fulfil `predicate`, paired by prompt."""
    return paired_difference(counts(before, predicate), counts(after, predicate), seed=seed)


def paired_difference(first: Counts, second: Counts, *, seed: int) -> PairedDifference:
    """Compare two shares, given as (hits, samples) by prompt. Only prompts in both count."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return PairedDifference(0.0, 0.0, 0.0, (0.0, 0.0))
    a = np.array([first[key] for key in shared], dtype=float)
    b = np.array([second[key] for key in shared], dtype=float)
    differences = np.concatenate([_pooled(b, d) - _pooled(a, d) for d in _draws(len(shared), seed)])
    all_prompts = np.arange(len(shared))[None]
    share_a, share_b = float(_pooled(a, all_prompts)[0]), float(_pooled(b, all_prompts)[0])
    (middle_a, error_a), (middle_b, error_b) = _independent(a), _independent(b)
    weights = len(shared) - 1, FEW_PROMPTS
    error = np.sqrt(np.average([differences.var(), error_a**2 + error_b**2], weights=weights))
    bounds = _widened(differences, middle_b - middle_a, float(error), least=-1.0)
    return PairedDifference(share_a, share_b, share_b - share_a, bounds)


def weights_cycle(history: Sequence[CycleReport], cycle: int) -> int:
    """Return the cycle that trained the weights which the model had after `cycle`: another one if it trained nothing.

    `history` has the reports of cycles 0 to at least `cycle`. 0: the model before any training.
    """
    while cycle and history[cycle].train is None:
        cycle = history[cycle].started_from
    return cycle


def best_cycle(history: Sequence[CycleReport]) -> int | None:
    """Return the first cycle with the highest held-out pass rate; None if none was measured."""
    known = [(report.heldout.passed, -report.cycle) for report in history if report.heldout]
    return -max(known)[1] if known else None


def interval(hits: Counts, *, seed: int) -> tuple[float, float]:
    """Return the 95% bootstrap interval of a share, from (hits, samples) by prompt."""
    if not hits:
        return (0.0, 0.0)
    table = np.array([hits[key] for key in sorted(hits)], dtype=float)
    shares = np.concatenate([_pooled(table, draws) for draws in _draws(len(table), seed)])
    return _widened(shares, *_independent(table.sum(axis=0, keepdims=True)), least=0.0)


def independent_error(hits: float, samples: float) -> float:
    """Return the standard error of hits / samples for independent samples; 1 without samples.

    One hit and one miss are added first (Agresti and Coull 1998, in the form of Agresti and Caffo 2000), so that a
    share of 0 or 1 has an error too.
    """
    return _independent(np.array([[hits, samples]], dtype=float))[1] if samples > 0 else 1.0


def caution(prompts: int) -> str:
    """Return a warning if `prompts` held-out prompts are too few for intervals; otherwise an empty string."""
    if not 0 < prompts < FEW_PROMPTS:
        return ""
    subject = "1 held-out prompt is" if prompts == 1 else f"{prompts} held-out prompts are"
    return f"{subject} too few for the 95% intervals to mean much; hold out {FEW_PROMPTS} or more"


def is_valid(sample: Sample) -> bool:
    """Return whether the completion got past the first stage."""
    return sample.verdict.valid


def is_pass(sample: Sample) -> bool:
    """Return whether the verdict is pass."""
    return sample.verdict.status is Status.PASS


def _conclusive(samples: Sequence[Sample]) -> list[Sample]:
    return [s for s in samples if s.verdict.conclusive]


def _share(items: Sequence[T], predicate: Callable[[T], bool]) -> float:
    return sum(map(predicate, items)) / len(items) if items else 0.0


def counts(samples: Sequence[Sample], predicate: Callable[[Sample], bool]) -> dict[str, tuple[int, int]]:
    """Return (samples that fulfil `predicate`, samples) by prompt, of the samples with a conclusive verdict."""
    found: dict[str, tuple[int, int]] = {}
    for sample in _conclusive(samples):
        hits, total = found.get(sample.prompt.id, (0, 0))
        found[sample.prompt.id] = (hits + predicate(sample), total + 1)
    return found


def _draws(prompts: int, seed: int) -> Iterator[np.ndarray]:
    """Yield arrays (draws, prompts) of resampled prompt indices, `RESAMPLES` draws in total."""
    generator = np.random.default_rng(derive_seed(seed, "bootstrap"))
    chunk = max(1, min(RESAMPLES, 1_000_000 // prompts))
    for start in range(0, RESAMPLES, chunk):
        yield generator.integers(0, prompts, size=(min(chunk, RESAMPLES - start), prompts))


def _pooled(table: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the share of hits in each draw; `table` is (prompts, 2): hits, samples; `draws` is (draws, prompts)."""
    share: np.ndarray = table[:, 0][draws].sum(axis=1) / table[:, 1][draws].sum(axis=1)
    return share


def _independent(table: np.ndarray) -> tuple[float, float]:
    """Return the pooled share with one hit and one miss added, and its standard error for independent completions.

    Each row of `table` (hits, samples) has its own probability of a hit. Pass one row per prompt for a difference, in
    which the spread between prompts cancels, and one row of sums for a single share.
    """
    hits, samples = table[:, 0] + 1 / len(table), table[:, 1] + 2 / len(table)
    total = samples.sum()
    variance = (hits * (1 - hits / samples)).sum() / total**2
    return float(hits.sum() / total), float(np.sqrt(variance))


def _widened(values: np.ndarray, middle: float, error: float, *, least: float) -> tuple[float, float]:
    """Return the 95% interval of bootstrapped `values`, at least `middle` +- `Z95` * `error`, within `least` and 1."""
    low, high = np.quantile(values, [0.025, 0.975])
    return max(least, min(float(low), middle - Z95 * error)), min(1.0, max(float(high), middle + Z95 * error))
