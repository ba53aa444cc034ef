"""Why a cycle has nothing to train on, from the verdicts of its completions, and what to change first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from halo_core.metrics import is_unfinished
from halo_core.types import Sample, Stage, Status

_SHOWN = 0.1
"""Share of the completions from which an obstacle is named."""
_SOLVED = 0.9
"""Share of passing completions from which the prompts are solved."""
_LONG = 60
"""Characters of a diagnostic that are shown."""


def why_unselected(samples: Sequence[Sample], threshold: float | None = None) -> tuple[str, str]:
    """Return the obstacles that the verdicts of rewarded `samples` show, most basic first, and the remedy of the first.

    `threshold` is the selector's, if it has one. Both texts are one line without a full stop.
    """
    if not samples:
        return "no verdict is pass or fail", "check the verifier first (halo audit)"
    found = [
        *_below(samples, threshold),
        *_cut_short(samples, threshold),
        *_invalid(samples),
        *_solved(samples, threshold),
        *_furthest(samples),
    ]
    remedies = [remedy for _, remedy in found if remedy]
    return "; ".join(text for text, _ in found if text), remedies[0]


def _below(samples: Sequence[Sample], threshold: float | None) -> list[tuple[str, str]]:
    best = max(sample.reward or 0.0 for sample in samples)
    text = f"the best reward was {best:g}"
    if threshold is not None and best < threshold:
        text += f", below the threshold of {threshold:g}"
    return [(text, "")]


def _cut_short(samples: Sequence[Sample], threshold: float | None) -> list[tuple[str, str]]:
    cut = [sample for sample in samples if sample.completion.finish_reason == "length"]
    if len(cut) < _SHOWN * len(samples):
        return []
    thinking = sum(map(is_unfinished, cut))
    good = sum(threshold is not None and (sample.reward or 0.0) >= threshold for sample in cut)
    text = f"{_share(len(cut), samples)} were cut short by max_new_tokens"
    text += f", {_share(thinking, samples)} within their reasoning" if thinking else ""
    text += f", {good} of them with a sufficient reward" if good else ""
    remedy = "raise max_new_tokens first"
    if 2 * thinking > len(cut):
        remedy += ", or switch thinking off (--set model.chat_template_kwargs.enable_thinking=false)"
    elif all(sample.completion.finish_reason == "length" for sample in samples):
        remedy += "; if the model never ends by itself, name texts to stop at (-G stop=TEXT)"
    return [(text, remedy)]


def _invalid(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    invalid = [sample for sample in samples if sample.verdict.stage is Stage.INVALID]
    if len(invalid) < _SHOWN * len(samples):
        return []
    details = Counter(line for s in invalid if (line := s.verdict.detail.strip().partition("\n")[0]))
    text = f"{_share(len(invalid), samples)} do not get past the first stage"
    if details:
        frequent = details.most_common(1)[0][0]
        text += f", most often for {frequent[:_LONG] + ('...' if len(frequent) > _LONG else '')!r}"
    most = 2 * len(invalid) > len(samples)
    return [(text, "name the form of the answer in the prompts or with -G system=TEXT" if most else "")]


def _solved(samples: Sequence[Sample], threshold: float | None) -> list[tuple[str, str]]:
    """All but a few completions pass and would do; a selector leaves out solved prompts."""
    passed = sum(sample.verdict.status is Status.PASS for sample in samples)
    if passed < _SOLVED * len(samples) or (
        threshold is not None and max(sample.reward or 0.0 for sample in samples) < threshold
    ):
        return []
    return [(f"{_share(passed, samples)} pass", "use harder prompts, or leave selector.solved_at unset")]


def _furthest(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    stages = Counter(sample.verdict.stage for sample in samples)
    last = max(stages, key=lambda stage: stage.rank)
    text = (
        ""
        if last is Stage.INVALID
        else f"the furthest stage was {last.value!r}, of {_share(stages[last], samples)}"
    )
    return [(text, "start from a stronger model (halo sft), use easier prompts, or sample more")]


def _share(number: int, samples: Sequence[Sample]) -> str:
    return f"{number / len(samples):.0%}"
