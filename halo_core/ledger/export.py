"""Rows for others to train on or look at: every sample, pairs for supervised fine-tuning, preference pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from halo_core.ledger.browse import Filter, Found, find
from halo_core.ledger.ledger import Ledger
from halo_core.types import Prompt, Sample, Split, Status

Row = dict[str, Any]


def sample_rows(ledger: Ledger, filter: Filter) -> Iterator[Row]:
    """Yield everything that is known of each sample, flat, with the same keys in each row.

    Held-out samples come last. They have no reward, and `datasets` takes a column's type from the first rows.
    """
    asked = _Asked(ledger, chat=True)
    splits: tuple[Split, ...] = (filter.split,) if filter.split else ("train", "heldout")
    for split in splits:
        for found in find(ledger, replace(filter, split=split)):
            yield _everything(found, asked)


def sft_rows(ledger: Ledger, filter: Filter, *, chat: bool = False) -> Iterator[Row]:
    """Yield what passed, or with `Filter.chosen` what was trained on, as prompt and completion, each pair once.

    With `chat`, and wherever a prompt of the run is a chat, all have the conversational form: lists of messages
    for both. Held-out samples are left out unless `Filter.split` asks for them.
    """
    if not (filter.chosen or filter.status or filter.stage):
        filter = replace(filter, status=Status.PASS.value)
    asked = _Asked(ledger, chat=chat)
    seen: set[tuple[str, str]] = set()
    for found in find(ledger, replace(filter, split=filter.split or "train")):
        key = (found.sample.prompt.id, found.sample.completion.text)
        if key not in seen:
            seen.add(key)
            yield {"prompt": asked.of(found.sample.prompt), "completion": asked.answer(found.sample)}


def dpo_rows(ledger: Ledger, filter: Filter, *, pairs: int = 1, chat: bool = False) -> Iterator[Row]:
    """Yield preferences: for each prompt and cycle up to `pairs` times a better and a worse completion.

    Better is a higher reward; of held-out samples, which get none, a pass is better than a fail. The best is
    paired with the worst, the second best with the second worst, no completion being used twice in a cycle.
    `chat` and held-out samples are as in `sft_rows`; what is preferred to what is said once.
    """
    asked = _Asked(ledger, chat=chat)
    seen: set[tuple[str, str, str]] = set()
    for group in _groups(ledger, replace(filter, split=filter.split or "train")):
        ranked = sorted(_distinct(group), key=lambda sample: -_worth(sample))
        for better, worse in list(zip(ranked, reversed(ranked), strict=True))[:pairs]:
            if _worth(better) <= _worth(worse):
                break
            key = (better.prompt.id, better.completion.text, worse.completion.text)
            if key not in seen:
                seen.add(key)
                yield {
                    "prompt": asked.of(better.prompt),
                    "chosen": asked.answer(better),
                    "rejected": asked.answer(worse),
                }


class _Asked:
    """How the run put its prompts to the model: as text or as chats, after the generator's system prompt."""

    def __init__(self, ledger: Ledger, *, chat: bool) -> None:
        self._system = str(ledger.config().get("generator", {}).get("system") or "")
        prompts = [*ledger.prompts("train"), *ledger.prompts("heldout")]
        self._chat = chat or any(prompt.messages for prompt in prompts)  # a column has one type

    def of(self, prompt: Prompt) -> Any:
        if not self._chat:
            return clean(f"{self._system}\n\n{prompt.text}" if self._system else prompt.text)
        given = prompt.messages or ({"role": "user", "content": prompt.text},)
        before = [{"role": "system", "content": self._system}] if self._system else []
        return [{key: clean(text) for key, text in message.items()} for message in (*before, *given)]

    def answer(self, sample: Sample) -> Any:
        text = clean(sample.completion.text)
        return [{"role": "assistant", "content": text}] if self._chat else text


def clean(text: str) -> str:
    """Replace lone surrogates: they are no Unicode, and neither Parquet nor what reads JSON takes them."""
    return _SURROGATES.sub("\ufffd", text)


_SURROGATES = re.compile("[\ud800-\udfff]")


def _everything(found: Found, asked: _Asked) -> Row:
    sample, verdict, completion = found.sample, found.sample.verdict, found.sample.completion
    return {
        "cycle": found.cycle,
        "split": found.split,
        "prompt_id": clean(sample.prompt.id),
        "index": completion.index,
        "messages": asked.of(sample.prompt),
        "completion": clean(completion.text),
        "status": str(verdict.status),
        "stage": str(verdict.stage),
        "score": verdict.score,
        "warnings": verdict.warnings,
        "detail": clean(verdict.detail),
        "cpu_seconds": verdict.cpu_seconds,
        "wall_seconds": verdict.wall_seconds,
        "sandbox": verdict.sandbox,
        "integrity": verdict.integrity,
        "signals": json.dumps(dict(verdict.signals)),
        "reward": sample.reward,
        "weight": sample.weight,
        "finish_reason": completion.finish_reason,
        "logprobs": None if completion.logprobs is None else list(completion.logprobs),
        "loss_mask": None if completion.loss_mask is None else list(completion.loss_mask),
        "prompt_token_ids": list(completion.prompt_token_ids),
        "token_ids": list(completion.token_ids),
    }


def _groups(ledger: Ledger, filter: Filter) -> Iterator[list[Sample]]:
    """Yield the samples of one prompt in one cycle together, a round at a time."""
    rounds: dict[str, list[Sample]] = {}
    at: tuple[int, str] | None = None
    for found in find(ledger, filter):
        if not found.sample.verdict.conclusive:
            continue
        if at != (found.cycle, found.split):
            yield from rounds.values()
            rounds, at = {}, (found.cycle, found.split)
        rounds.setdefault(found.sample.prompt.id, []).append(found.sample)
    yield from rounds.values()


def _distinct(samples: list[Sample]) -> list[Sample]:
    return list({sample.completion.text: sample for sample in reversed(samples)}.values())


def _worth(sample: Sample) -> float:
    return float(sample.verdict.status is Status.PASS) if sample.reward is None else sample.reward
