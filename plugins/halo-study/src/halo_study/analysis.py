"""From results to conclusions: the figures of each arm, the comparisons, and what was fixed in advance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from halo_core.config.layers import differences
from halo_study.jobs import chosen, count, means, own
from halo_study.outcomes import OUTCOMES, curves, value_of
from halo_study.results import SHARES, RunResult
from halo_study.statistics import Estimate, Verdict, contrast, estimate, verdicts
from halo_study.study import Comparison, Study, with_numbers

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
    outcomes: Mapping[str, tuple[float, float]]
    """By name: the mean and the standard deviation over the seeds."""
    curve: np.ndarray
    """(cycles + 1, 3): mean held-out pass rate over the seeds, with the ends of its 95% interval."""

    def by_cycle(self, column: str, cycles: int) -> list[str]:
        """Return the mean of a column over the seeds in each of `cycles`, with half the width of its 95% interval."""
        scale = 100 if column in SHARES else 1
        rows = zip(*(scale * run.columns[column] for run in self.runs.values()), strict=True)
        texts = [_mean_text(np.array(row)) for row in rows]
        return texts + [""] * (cycles - len(texts))


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
    fixed: Study
    """The study before its first run."""
    arms: Sequence[ArmSummary]
    """Arms with at least one reported run, in the order of the study."""
    compared: Sequence[Compared]
    """Comparisons named beforehand, corrected together; those that have at least two seeds."""
    later: Sequence[Compared]
    """Comparisons added after the first run; corrected on their own."""
    missing: Sequence[Comparison]
    """Comparisons named beforehand that have fewer than two seeds so far, or were removed; corrected for, too."""
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
        return with_progress(self, self.study.conclusion.strip()) or answer(self)


def analyse(study: Study, results: Sequence[RunResult], fixed: Study | None = None) -> Analysis:
    """Analyse the results of a study. `fixed`: the study before its first run; None: the same."""
    results, before = own(study, results), fixed or study
    settings = chosen(study, results)
    arms = [_summary(study, name, settings[name], results) for name in study.arms if name in settings]
    arms = [arm for arm in arms if arm.runs]
    by_name = {arm.name: arm.runs for arm in arms}
    measured = [(each, _measured(each, by_name)) for each in study.comparisons]
    ready = [
        (each, found) for each, found in measured if found and found.seeds > 1 and np.isfinite(found.value)
    ]
    known = {_identity(each) for each in before.comparisons}
    named = [row for row in ready if _identity(row[0]) in known]
    shown_now = {_identity(each) for each, _ in named}
    missing = [each for each in before.comparisons if _identity(each) not in shown_now]
    return Analysis(
        study=study,
        fixed=before,
        arms=arms,
        compared=_concluded(study, named, missing=len(missing)),
        later=_concluded(study, [row for row in ready if row not in named]),
        missing=missing,
        choices=[
            Choice(arm, settings.get(arm), means(study, arm, results))
            for arm in study.arms
            if study.is_tuned(arm)
        ],
        changes=_changes(study, before),
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
        parts.append(f"no difference is shown for {who}, and {_possible(hidden)} remains possible")
    text = "; ".join(parts)
    return with_progress(analysis, f"{text[:1].upper()}{text[1:]}.")


def with_progress(analysis: Analysis, text: str) -> str:
    """Return `text` with the number of finished runs, if some are missing."""
    if not text or analysis.done >= analysis.total:
        return text
    return f"{text} This is from {analysis.done} of {analysis.total} runs."


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


def _possible(rows: Sequence[Compared]) -> str:
    """Return the largest differences that the intervals still contain, by unit."""
    found: dict[str, list[float]] = {}
    for row in rows:
        kind = "points" if OUTCOMES[row.comparison.outcome].share else row.comparison.outcome
        scale = 100 if kind == "points" else 1
        found.setdefault(kind, []).extend(scale * end for end in row.estimate.interval())
    return " and ".join(
        f"anything from {_end(min(ends), kind)} to {_end(max(ends), kind)} {kind}"
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


def _end(value: float, kind: str) -> str:
    return f"{value:+.1f}" if kind == "points" else f"{value:+.{PRECISION}g}"


def _summary(study: Study, name: str, value: float | None, results: Sequence[RunResult]) -> ArmSummary:
    reported = (run for run in results if run.arm == name and run.seed in study.seeds)
    runs = {run.seed: run for run in sorted(reported, key=lambda run: run.seed)}
    outcomes = {}
    for outcome in study.outcomes if runs else ():
        values = np.array([value_of(run, outcome) for run in runs.values()])
        outcomes[outcome] = (
            float(values.mean()),
            float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        )
    return ArmSummary(name, value, runs, outcomes, _curve(list(runs.values())) if runs else np.zeros((0, 3)))


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
    for arm, weight in zip((comparison.against, *(comparison.minus or ())), (-1.0, -1.0, 1.0), strict=False):
        if arm:
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


def _identity(comparison: Comparison) -> tuple[object, ...]:
    return comparison.arm, comparison.against, comparison.minus, comparison.outcome


def _words(comparison: Comparison) -> str:
    """Return what a comparison compares, in words."""
    its = comparison
    label = f"{its.arm} and {its.against or 0} ({its.outcome})"
    return f"{label}, minus {its.minus[0]} and {its.minus[1]}" if its.minus else label


def _changes(study: Study, fixed: Study) -> list[str]:
    """List what differs between the study and its copy from before the first run."""
    keys = {"base", "seeds", "tune", "smallest_effect"}
    found = differences(
        *(with_numbers(each.model_dump(mode="json", include=keys)) for each in (fixed, study))
    )
    for name, arm in study.arms.items():
        if name not in fixed.arms:
            found.append(f"arm {name!r} was added")
        else:
            both = ({name: with_numbers(each.model_dump(mode="json"))} for each in (fixed.arms[name], arm))
            found += [f"arm {change}" for change in differences(*both)]
    found += [f"arm {name!r} was removed" for name in fixed.arms if name not in study.arms]
    before = {_identity(each): each for each in fixed.comparisons}
    now = {_identity(each): each for each in study.comparisons}
    for key, each in now.items():
        if key not in before:
            found.append(f"the comparison of {_words(each)} was added")
        elif each.smallest_effect != before[key].smallest_effect:
            sizes = f"was {fixed.smallest(before[key]):g}, is {study.smallest(each):g}"
            found.append(f"the smallest effect of the comparison of {_words(each)} {sizes}")
    found += [
        f"the comparison of {_words(each)} was removed" for key, each in before.items() if key not in now
    ]
    return found
