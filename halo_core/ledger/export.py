"""Rows for others to train on or look at: every sample, pairs for supervised fine-tuning, preference pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from halo_core.ledger.browse import Filter, Found, find
from halo_core.ledger.ledger import Ledger
from halo_core.types import Prompt, Sample, Status

Row = dict[str, Any]


def sample_rows(ledger: Ledger, filter: Filter) -> Iterator[Row]:
    """Yield everything that is known of each sample, flat, with the same keys in each row."""
    for found in find(ledger, filter):
        sample, verdict = found.sample, found.sample.verdict
        yield {
            "cycle": found.cycle,
            "split": found.split,
            "prompt_id": sample.prompt.id,
            "index": sample.completion.index,
            "messages": messages(sample.prompt),
            "completion": sample.completion.text,
            "status": str(verdict.status),
            "stage": str(verdict.stage),
            "score": verdict.score,
            "warnings": verdict.warnings,
            "detail": verdict.detail,
            "reward": sample.reward,
            "weight": sample.weight,
            "finish_reason": sample.completion.finish_reason,
            "logprob": sample.completion.logprob,
            "prompt_token_ids": list(sample.completion.prompt_token_ids),
            "token_ids": list(sample.completion.token_ids),
        }


def sft_rows(ledger: Ledger, filter: Filter) -> Iterator[Row]:
    """Yield what passed, or with `Filter.chosen` what was trained on, as prompt and completion, each pair once.

    A prompt that is a chat gives the conversational form: lists of messages for both.
    """
    if not filter.chosen and filter.status is None:
        filter = replace(filter, status=Status.PASS.value)
    seen: set[tuple[str, str]] = set()
    for found in find(ledger, filter):
        key = (found.sample.prompt.id, found.sample.completion.text)
        if key not in seen:
            seen.add(key)
            yield {"prompt": _asked(found.sample.prompt), "completion": _answer(found.sample)}


def dpo_rows(ledger: Ledger, filter: Filter, *, pairs: int = 1) -> Iterator[Row]:
    """Yield preferences: for each prompt and cycle up to `pairs` times a better and a worse completion.

    Better is a higher reward; of held-out samples, which get none, a pass is better than a fail. The best is
    paired with the worst, the second best with the second worst, no completion being used twice.
    """
    for group in _groups(ledger, filter):
        ranked = sorted(_distinct(group), key=lambda sample: -_worth(sample))
        for better, worse in list(zip(ranked, reversed(ranked), strict=True))[:pairs]:
            if _worth(better) <= _worth(worse):
                break
            yield {"prompt": _asked(better.prompt), "chosen": _answer(better), "rejected": _answer(worse)}


def messages(prompt: Prompt) -> list[dict[str, str]]:
    """Return a prompt as chat messages; plain text is what a user says."""
    if prompt.messages:
        return [dict(message) for message in prompt.messages]
    return [{"role": "user", "content": prompt.text}]


def _asked(prompt: Prompt) -> Any:
    return messages(prompt) if prompt.messages else prompt.text


def _answer(sample: Sample) -> Any:
    text = sample.completion.text
    return [{"role": "assistant", "content": text}] if sample.prompt.messages else text


def _groups(ledger: Ledger, filter: Filter) -> Iterator[list[Sample]]:
    """Yield the samples of one prompt in one cycle together, a round at a time."""
    rounds: dict[str, list[Sample]] = {}
    at: tuple[int, str] | None = None
    for found in _judged(ledger, filter):
        if at != (found.cycle, found.split):
            yield from rounds.values()
            rounds, at = {}, (found.cycle, found.split)
        rounds.setdefault(found.sample.prompt.id, []).append(found.sample)
    yield from rounds.values()


def _judged(ledger: Ledger, filter: Filter) -> Iterator[Found]:
    return (
        found for found in find(ledger, filter) if found.sample.verdict.status in (Status.PASS, Status.FAIL)
    )


def _distinct(samples: list[Sample]) -> list[Sample]:
    return list({sample.completion.text: sample for sample in reversed(samples)}.values())


def _worth(sample: Sample) -> float:
    return float(sample.verdict.status is Status.PASS) if sample.reward is None else sample.reward
