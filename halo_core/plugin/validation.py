"""Validation of the values that plugins return: each function describes the first flaw, or returns an empty string.

`flaw_of_each`, `flaw_of_rewards`, `flaw_of_verdicts` and `flaw_of_selection` are for the answers of hooks, the others
for single values.

A flaw that passes unnoticed reaches the ledger and all metrics. A run validates millions of values, at less than a
microsecond each.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

NUMBER = (int, float)
_LIMIT = 1 << 63
"""Integers in the ledger are below this."""
_EXPECTED = {
    "status": "a Status",
    "stage": "a Stage",
    "score": "a number from 0 to 1",
    "warnings": "a count",
    "detail": "a str",
    "cpu_seconds": "a finite number",
    "wall_seconds": "a finite number",
    "sandbox": "a str",
    "integrity": "a str",
    "prompt_id": "a str",
    "index": "an int, from 0",
    "text": "a str",
    "prompt_token_ids": "a tuple of ints, from 0 and below 2**32",
    "token_ids": "a tuple of ints, from 0 and below 2**32",
    "finish_reason": "'stop' or 'length'",
    "logprobs": "None or a tuple of finite numbers, one for each of token_ids",
    "loss_mask": "None or a tuple of bools, one for each of token_ids",
    "signals": "a mapping of names to finite numbers",
}


def flaw_of_verdict(verdict: Verdict) -> str:
    """Describe the first field of `verdict` that is unusable; return an empty string if all are usable."""
    v = verdict
    return _describe(
        v,
        "status" if not isinstance(v.status, Status)
        else "stage" if not isinstance(v.stage, Stage)
        else "score" if not (isinstance(v.score, NUMBER) and 0 <= v.score <= 1)
        else "warnings" if not (isinstance(v.warnings, int) and 0 <= v.warnings < _LIMIT)
        else "detail" if not isinstance(v.detail, str)
        else "cpu_seconds" if not (isinstance(v.cpu_seconds, NUMBER) and isfinite(v.cpu_seconds))
        else "wall_seconds" if not (isinstance(v.wall_seconds, NUMBER) and isfinite(v.wall_seconds))
        else "sandbox" if not isinstance(v.sandbox, str)
        else "integrity" if not isinstance(v.integrity, str)
        else "signals" if not (v.signals == {} or _are_signals(v.signals))
        else "",
    )  # fmt: skip


def flaw_of_completion(completion: Completion, earlier: Completion | None = None) -> str:
    """Describe the first field of `completion` that is unusable; return an empty string if all are usable.

    `earlier` is a usable completion, often with the same prompt token ids, which are then not checked again.
    """
    c, known = completion, earlier and earlier.prompt_token_ids
    return _describe(
        c,
        "prompt_id" if not isinstance(c.prompt_id, str)
        else "index" if not (isinstance(c.index, int) and 0 <= c.index < _LIMIT)
        else "text" if not isinstance(c.text, str)
        else "prompt_token_ids" if c.prompt_token_ids is not known and not _are_ids(c.prompt_token_ids)
        else "token_ids" if not _are_ids(c.token_ids)
        else "finish_reason" if c.finish_reason not in ("stop", "length")
        else "logprobs" if not (c.logprobs is None or _are_floats(c.logprobs, len(c.token_ids)))
        else "loss_mask" if not (c.loss_mask is None or _are_bools(c.loss_mask, len(c.token_ids)))
        else "",
    )  # fmt: skip


def with_stored_precision(completion: Completion) -> Completion:
    """Round log-probabilities to float32, as the ledger does, so that a resumed run computes with equal values."""
    if completion.logprobs is None:
        return completion
    rounded = tuple(array("f", completion.logprobs))
    return completion if rounded == completion.logprobs else replace(completion, logprobs=rounded)


def flaw_of_each(values: Any, kind: Any, count: int | None = None, of: str = "") -> str:
    """Describe why `values` is not a list of `kind`, with `count` elements (None: any number), one for each `of`."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return f"{type(values).__name__} instead of a list"
    if count is not None and len(values) != count:
        return f"{len(values)} results for {count} {of}"
    for index, value in enumerate(values):
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"{value!r} at position {index}"
    return ""


def flaw_of_batch(batch: Any, prompts: Mapping[str, Prompt]) -> str:
    """Describe the first flaw of a batch of completions of `prompts`, which are given by id."""
    if flaw := flaw_of_each(batch, Completion):
        return flaw
    earlier = None
    for completion in batch:
        if flaw := flaw_of_completion(completion, earlier):
            return f"a completion with {flaw}"
        if completion.prompt_id not in prompts:
            return f"a completion for {completion.prompt_id!r}, which was not requested"
        earlier = completion
    return ""


def flaw_of_verdicts(verdicts: Any, count: int) -> str:
    """Describe the first flaw of the verdicts on `count` completions."""
    if flaw := flaw_of_each(verdicts, Verdict, count, "completions"):
        return flaw
    flaw = next(filter(None, map(flaw_of_verdict, verdicts)), "")
    return f"a verdict with {flaw}" if flaw else ""


def flaw_of_rewards(rewards: Any, samples: Sequence[Sample]) -> str:
    """Describe the first flaw of the rewards of `samples`."""
    if flaw := flaw_of_each(rewards, (*NUMBER, type(None)), len(samples), "samples"):
        return flaw
    for sample, value in zip(samples, rewards, strict=True):
        if value is not None and not isfinite(value):
            return f"{value} for a completion of prompt {sample.prompt.id!r}"
    return ""


def flaw_of_selection(chosen: Any, samples: Sequence[Sample]) -> str:
    """Describe the first flaw of a selection from `samples`: the ledger must be able to record each choice."""
    if flaw := flaw_of_each(chosen, Sample):
        return flaw
    given = {(sample.prompt.id, sample.completion.index): sample.completion for sample in samples}
    left = dict(given)
    for sample in chosen:
        weight = sample.weight
        if not isinstance(weight, NUMBER) or isinstance(weight, bool) or not isfinite(weight):
            return f"a weight of {weight!r} for prompt {sample.prompt.id!r}"
        key, completion = (sample.prompt.id, sample.completion.index), sample.completion
        found = left.pop(key, None)
        if found is completion or found == completion:
            continue
        why = "changed" if found else "twice" if key in given else "which was not among the samples given"
        return f"completion {key[1]} of prompt {key[0]!r}, {why}"
    return ""


def _are_ids(ids: object) -> bool:
    try:
        return isinstance(ids, tuple) and array("I", ids) is not None  # raises unless all are in range
    except (TypeError, OverflowError):
        return False


def _are_floats(values: object, count: int) -> bool:
    try:
        return isinstance(values, tuple) and len(values) == count and all(map(isfinite, array("f", values)))
    except (TypeError, OverflowError):
        return False


def _are_bools(values: object, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(type(value) is bool for value in values)


def _are_signals(signals: object) -> bool:
    return isinstance(signals, Mapping) and all(
        isinstance(name, str)
        and isinstance(value, NUMBER)
        and not isinstance(value, bool)
        and isfinite(value)
        for name, value in signals.items()
    )


def _describe(value: object, field: str) -> str:
    if not field:
        return ""
    found = " ".join(repr(getattr(value, field)).split())
    return f"{field} {found:.80}; it must be {_EXPECTED[field]}"
