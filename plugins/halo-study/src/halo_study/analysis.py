"""From results to conclusions: the figures of each arm, the comparisons, and what was fixed in advance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halo_core.config.layers import differences
from halo_study.jobs import chosen, count, means
from halo_study.outcomes import OUTCOMES, curves, value_of
from halo_study.results import SHARES, RunResult
from halo_study.statistics import Estimate, Verdict, contrast, difference, estimate, verdicts
from halo_study.study import Comparison, Study

PRECISION = 3
"""Digits of a number that is not a share."""


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """The reported runs of one arm."""

    name: str
    value: float | None
    """The tuned setting."""
    runs: Mapping[int, RunResult]
    """By seed."""
    outcomes: Mapping[str, tuple[Estimate, float]]
    """By name: the mean with its interval, and the standard deviation between seeds."""
    curve: np.ndarray
    """(cycles + 1, 3): mean held-out pass rate over the seeds, with the ends of its 95% interval."""

    def by_cycle(self, column: str) -> list[str]:
        """Return the mean of a column over the seeds in each cycle, with half the width of its 95% interval."""
        scale = 100 if column in SHARES else 1
        rows = zip(*(scale * run.columns[column] for run in self.runs.values()), strict=True)
        return [_mean_text(np.array(row)) for row in rows]

    @property
    def failed(self) -> int:
        """Runs whose training failed."""
        return sum(bool(run.error) for run in self.runs.values())


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison with its conclusion."""

    comparison: Comparison
    verdict: Verdict

    @property
    def label(self) -> str:
        """The two arms in words."""
        its = self.comparison
        label = f"{its.arm} against {its.against}" if its.against else its.arm
        return f"{label}, minus {its.minus[0]} against {its.minus[1]}" if its.minus else label

    @property
    def estimate(self) -> Estimate:
        """The difference."""
        return self.verdict.estimate


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of an arm's tuned setting."""

    arm: str
    value: float | None
    """None: some of its runs are missing."""
    means: Mapping[float, float]
    """The mean outcome of each value that was tried."""

    @property
    def at_edge(self) -> bool:
        """True if the best value is the lowest or the highest tried, so that a better one may be beyond it."""
        return self.value in (min(self.means), max(self.means)) if self.means and self.value else False


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that a report shows."""

    study: Study
    arms: Sequence[ArmSummary]
    """Arms with at least one reported run, in the order of the study."""
    compared: Sequence[Compared]
    """Comparisons named beforehand, corrected together; those that have at least two seeds."""
    later: Sequence[Compared]
    """Comparisons added after the first run; corrected on their own."""
    missing: Sequence[Comparison]
    """Comparisons with fewer than two seeds so far."""
    choices: Sequence[Choice]
    changes: Sequence[str]
    """Differences between the study and its copy from before the first run."""
    done: int
    total: int
    seconds: float
    """Of all finished runs, those that choose settings included; what runs share is counted in each."""
    failed: Sequence[RunResult]
    reused: Mapping[str, int]
    """Name of another study -> number of its runs among the results."""

    @property
    def answer(self) -> str:
        """The conclusion that the study file states; without one, the differences in a sentence."""
        return self.study.conclusion.strip() or answer(self)


def analyse(study: Study, results: Sequence[RunResult], fixed: Mapping[str, Any] | None = None) -> Analysis:
    """Analyse the results of a study. `fixed`: the study before its first run."""
    settings = chosen(study, results)
    arms = [_summary(study, name, settings[name], results) for name in study.arms if name in settings]
    arms = [arm for arm in arms if arm.runs]
    by_name = {arm.name: arm.runs for arm in arms}
    before = set(map(_identity, _comparisons(fixed))) if fixed else None
    ready: list[tuple[Comparison, Estimate | None]] = []
    missing: list[tuple[Comparison, Estimate | None]] = []
    for comparison in study.comparisons:
        found = _measured(comparison, by_name)
        (missing if found is None or found.seeds < 2 else ready).append((comparison, found))
    named = [row for row in ready if before is None or _identity(row[0]) in before]
    return Analysis(
        study=study,
        arms=arms,
        compared=_concluded(study, named, missing=len(missing)),
        later=_concluded(study, [row for row in ready if row not in named]),
        missing=[comparison for comparison, _ in missing],
        choices=[
            Choice(arm, settings.get(arm), means(study, arm, results))
            for arm in study.arms
            if study.is_tuned(arm)
        ],
        changes=_changes(study, fixed) if fixed else [],
        done=len(results),
        total=count(study),
        seconds=sum(value_of(run, "seconds") for run in results),
        failed=[run for run in results if run.error],
        reused=Counter(run.source for run in results if run.source),
    )


def shown(value: float, outcome: str, *, sign: bool = False) -> str:
    """Format an outcome: shares in percent."""
    plus = "+" if sign else ""
    if np.isnan(value):
        return "-"
    if OUTCOMES[outcome].share:
        return f"{100 * value:{plus}.1f}" + ("" if sign else "%")
    return f"{value:{plus}.{PRECISION}g}"


def interval_text(found: Estimate, outcome: str) -> str:
    """Format the 95% interval of a difference: "[-2.1, +4.0]"."""
    low, high = found.interval()
    return f"[{shown(low, outcome, sign=True)}, {shown(high, outcome, sign=True)}]"


def unit(outcome: str) -> str:
    """Return the unit of a difference."""
    return "points" if OUTCOMES[outcome].share else ""


def answer(analysis: Analysis) -> str:
    """Return the answer to the study's question in a sentence, from the comparisons named beforehand."""
    if not analysis.compared:
        return f"Not answered yet: {analysis.done} of {analysis.total} runs are finished."
    parts = [_phrase(row) for row in analysis.compared if row.verdict.different or row.verdict.equivalent]
    hidden = [row for row in analysis.compared if not (row.verdict.different or row.verdict.equivalent)]
    if hidden:
        who = hidden[0].label if len(hidden) == 1 else f"{len(hidden)} comparisons"
        if parts:
            who = f"the other {who}" if len(hidden) > 1 else who
        parts.append(f"no difference is shown for {who}, and {_room(hidden)} remains possible")
    text = "; ".join(parts)
    text = f"{text[:1].upper()}{text[1:]}."
    if analysis.done < analysis.total:
        text += f" This is from {analysis.done} of {analysis.total} runs."
    return text


def _phrase(row: Compared) -> str:
    its, outcome = row.comparison, row.comparison.outcome
    value = f"{shown(row.estimate.value, outcome, sign=True)} {unit(outcome)}".strip()
    if its.minus:
        word = "differs" if row.verdict.different else "is equivalent to 0"
        return f"{row.label}, {word} ({outcome} {value}, 95% {interval_text(row.estimate, outcome)})"
    if not row.verdict.different:
        word = "is equivalent to" if its.against else "does not change"
    elif its.against:
        word = f"is {row.verdict.text.partition(',')[0]} than"
    else:
        word = "rises" if row.estimate.value > 0 else "falls"
    whom = f" {its.against}" if its.against else ""
    return f"{its.arm} {word}{whom} ({outcome} {value}, 95% {interval_text(row.estimate, outcome)})"


def _room(rows: Sequence[Compared]) -> str:
    """Return the largest differences that the intervals still contain, by unit."""
    found: dict[str, list[float]] = {}
    for row in rows:
        kind = "points" if OUTCOMES[row.comparison.outcome].share else row.comparison.outcome
        scale = 100 if kind == "points" else 1
        found.setdefault(kind, []).extend(scale * end for end in row.estimate.interval())
    return " and ".join(
        f"anything from {_number(min(ends), kind)} to {_number(max(ends), kind)} {kind}"
        for kind, ends in found.items()
    )


def _mean_text(values: np.ndarray) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    if len(values) == 1:
        return f"{values[0]:.{PRECISION}g}"
    found = estimate(values, None, 1, np.random.default_rng(0))
    return f"{found.value:.{PRECISION}g} ± {found.interval()[1] - found.value:.2g}"


def _number(value: float, kind: str) -> str:
    return f"{value:+.1f}" if kind == "points" else f"{value:+.{PRECISION}g}"


def _summary(study: Study, name: str, value: float | None, results: Sequence[RunResult]) -> ArmSummary:
    runs = {
        run.seed: run
        for run in results
        if run.arm == name and run.seed in study.seeds and (run.value or 0.0) == (value or 0.0)
    }
    runs = dict(sorted(runs.items()))
    outcomes, curve = {}, np.zeros((0, 3))
    if runs:
        for outcome in study.outcomes:
            values = np.array([value_of(run, outcome) for run in runs.values()])
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            outcomes[outcome] = (difference(runs, None, outcome), spread)
        curve = _curve(list(runs.values()))
    return ArmSummary(name, value, runs, outcomes, curve)


def _curve(runs: Sequence[RunResult]) -> np.ndarray:
    """Return the mean pass rate by cycle, with the ends of the 95% interval over seeds, on these prompts."""
    ones = np.ones((1, runs[0].passes.shape[1]))
    rates = np.stack([curves(run, ones)[0] for run in runs])
    rng = np.random.default_rng(0)
    rows = []
    for column in rates.T:
        low, high = estimate(column, None, 1, rng).interval() if len(runs) > 1 else (column[0], column[0])
        rows.append((column.mean(), max(0.0, low), min(1.0, high)))
    return np.array(rows)


def _measured(comparison: Comparison, runs: Mapping[str, Mapping[int, RunResult]]) -> Estimate | None:
    weights = {comparison.arm: 1.0}
    if comparison.against:
        weights[comparison.against] = -1.0
    for arm, weight in zip(comparison.minus or (), (-1.0, 1.0), strict=False):
        weights[arm] = weights.get(arm, 0.0) + weight
    if not runs.keys() >= weights.keys():
        return None
    return contrast([(weight, runs[arm]) for arm, weight in weights.items()], comparison.outcome)


def _concluded(
    study: Study, rows: Sequence[tuple[Comparison, Estimate | None]], *, missing: int = 0
) -> list[Compared]:
    found = [(comparison, measured) for comparison, measured in rows if measured is not None]
    smallest = [study.smallest(comparison) for comparison, _ in found]
    conclusions = verdicts([measured for _, measured in found], smallest, missing=missing)
    return [Compared(comparison, one) for (comparison, _), one in zip(found, conclusions, strict=True)]


def _with_numbers(value: Any) -> Any:
    """Return `value` with numbers in place of text such as 2e-3, which YAML reads as text and halo as a number."""
    if isinstance(value, Mapping):
        return {key: _with_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each) for each in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _comparisons(fixed: Mapping[str, Any]) -> list[Comparison]:
    return [Comparison.model_validate(row) for row in fixed.get("comparisons", [])]


def _identity(comparison: Comparison) -> tuple[str, str | None, str]:
    label = " - ".join(filter(None, (comparison.against, *(comparison.minus or ()))))
    return comparison.arm, label or None, comparison.outcome


def _changes(study: Study, fixed: Mapping[str, Any]) -> list[str]:
    """List what differs between the study and its copy from before the first run."""
    now = study.model_dump(mode="json")
    keys = ("base", "seeds", "tune", "smallest_effect")
    found = differences(*(_with_numbers({key: each.get(key) for key in keys}) for each in (fixed, now)))
    found += [f"arm {name!r} was added" for name in now["arms"] if name not in fixed["arms"]]
    found += [f"arm {name!r} was removed" for name in fixed["arms"] if name not in now["arms"]]
    known = {_identity(each) for each in _comparisons(fixed)}
    added = [each for each in study.comparisons if _identity(each) not in known]
    removed = known - {_identity(each) for each in study.comparisons}
    found += [
        f"the comparison of {each.arm} and {each.against or 0} ({each.outcome}) was added" for each in added
    ]
    found += [
        f"the comparison of {one} and {other or 0} ({what}) was removed"
        for one, other, what in sorted(removed, key=str)
    ]
    return found
