"""The evaluation of a model: everything measured on the held-out prompts of a run before its first cycle.

An evaluation is the measurement with which every run starts. Nothing here samples: a run of 0 cycles has done so, and
its ledger holds the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from halo_core.diagnosis.readiness import Selection
from halo_core.errors import DataError, RunError
from halo_core.ledger.ledger import Ledger
from halo_core.metrics import (
    counts,
    interval,
    is_pass,
    is_valid,
    paired_difference,
    pass_at,
    pass_at_of,
    prompt_interval,
    samples_difference,
    solved,
)
from halo_core.run.choosing import choose
from halo_core.run.dispatch import Drivers
from halo_core.types import EvalMetrics, PairedDifference, Sample

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95% interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptResult:
    """The results of one prompt."""

    prompt: str
    passes: int
    samples: int
    """Completions with a verdict of pass or fail."""
    pass_at: Mapping[int, Estimate]
    """By k; intervals of the prompt's own completions (`metrics.prompt_interval`)."""
    truncated: int
    stages: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The evaluation of one model."""

    directory: Path
    model: str
    adapter: str | None
    verifier: str
    tries: int
    """Completions sampled for each prompt."""
    metrics: EvalMetrics
    pass_at: Mapping[int, Estimate]
    """By k; 95% bootstrap intervals, prompts resampled."""
    lengths: Mapping[str, float]
    """Tokens of a completion: mean, median, 90% (the length that nine of ten do not exceed), longest."""
    max_new_tokens: int | None
    tokens: int
    """Tokens that the model wrote."""
    seconds: float
    """Wall seconds of sampling and verifying, which overlap."""
    prompts: tuple[PromptResult, ...]

    @property
    def tokens_per_second(self) -> float:
        """Tokens written in a second of sampling and verifying."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return all fields as values of JSON."""
        return {**asdict(self), "directory": str(self.directory), "tokens_per_second": self.tokens_per_second}


def evaluation(ledger: Ledger) -> Evaluation:
    """Return the evaluation that a run holds. Raises a `RunError` if it has not measured any prompt yet."""
    reports, samples = ledger.reports(), measured(ledger)
    if not reports or reports[0].heldout is None or not samples:
        raise RunError(f"{ledger.directory} has not measured the model before training")
    config = ledger.config()
    passes = counts(samples, is_pass)
    lengths = [sample.completion.written for sample in samples]
    return Evaluation(
        directory=ledger.directory,
        model=str(config["model"]["name"]),
        adapter=config["model"].get("adapter"),
        verifier=", ".join(ledger.fingerprints()),
        tries=int(config["heldout"]["samples_per_prompt"]),
        metrics=reports[0].heldout,
        pass_at={
            k: Estimate(value, interval(solved(passes, k), seed=int(config["seed"])))
            for k, value in pass_at(list(passes.values())).items()
        },
        lengths=_lengths(lengths),
        max_new_tokens=(config["heldout"].get("generator") or config["generator"]).get("max_new_tokens"),
        tokens=sum(lengths),
        seconds=ledger.seconds(0).get("heldout", 0.0),
        prompts=tuple(_prompt_results([prompt.id for prompt in ledger.prompts("heldout")], samples)),
    )


def measured(ledger: Ledger) -> list[Sample]:
    """Return the samples of the held-out prompts before training."""
    batches = ledger.batches(0, "heldout", ledger.prompts("heldout"))
    return [sample for batch in batches for sample in batch]


def expected_selection(drivers: Drivers, samples: Sequence[Sample], *, seed: int) -> Selection | None:
    """Return the size of the selection that the drivers of cycle 1 would make of `samples`, without any plugin.

    None if a driver raises an exception, which the cycle will report.
    """
    try:
        _, chosen = choose(drivers, samples, cycle=1, seed=seed)
        return Selection(len(chosen), len({sample.prompt.id for sample in chosen}))
    except Exception:
        return None


def other_prompts(one: Path, other: Path) -> DataError:
    """Return the error for two evaluations that cannot be compared."""
    return DataError(
        f"{one} and {other} have different prompts and cannot be compared",
        hint="evaluate both on the same prompts: --data",
    )


def differences(before: Ledger, after: Ledger) -> dict[str, PairedDifference]:
    """Return the differences of two evaluations, `after` minus `before`, paired by prompt: valid, pass@1, pass@k.

    The largest k that both have is taken. Raises a `DataError` if the evaluations have other prompts.
    """
    if before.prompts("heldout") != after.prompts("heldout"):
        raise other_prompts(before.directory, after.directory)
    seed = int(after.config()["seed"])
    old, new = measured(before), measured(after)
    passes = [counts(samples, is_pass) for samples in (old, new)]
    found = {"valid": samples_difference(old, new, is_valid, seed=seed)}
    ks = [pass_at(list(each.values())) for each in passes]
    for k in sorted({1, max(set(ks[0]) & set(ks[1]), default=1)}):
        found[f"pass@{k}"] = paired_difference(*(solved(each, k) for each in passes), seed=seed)
    return found


def _lengths(lengths: Sequence[int]) -> dict[str, float]:
    deciles = quantiles(lengths, n=10, method="inclusive") if len(lengths) > 1 else [float(lengths[0])] * 9
    return {
        "mean": sum(lengths) / len(lengths),
        "median": deciles[4],
        "90%": deciles[8],
        "longest": max(lengths),
    }


def _prompt_results(names: Sequence[str], samples: Sequence[Sample]) -> list[PromptResult]:
    passes = counts(samples, is_pass)
    by_prompt: dict[str, list[Sample]] = {name: [] for name in names}
    for sample in samples:
        by_prompt[sample.prompt.id].append(sample)
    results = []
    for name, own in by_prompt.items():
        row = passes.get(name, (0, 0))
        stages = Counter(sample.verdict.stage.value for sample in own if sample.verdict.conclusive)
        results.append(
            PromptResult(
                prompt=name,
                passes=row[0],
                samples=row[1],
                pass_at={k: Estimate(pass_at_of(row, k), prompt_interval(row, k)) for k in pass_at([row])},
                truncated=sum(sample.completion.finish_reason == "length" for sample in own),
                stages=dict(stages),
            )
        )
    return results
