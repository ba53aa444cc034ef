"""Rows for other programs: every sample, pairs for supervised fine-tuning, preference pairs."""

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
    """Yield all stored values of each sample, flat, with the same keys in each row.

    Held-out samples come last: they have no reward, and `datasets` infers a column's type from the first rows.
    """
    form = _PromptForm(ledger, chat=True)
    splits: tuple[Split, ...] = (filter.split,) if filter.split else ("train", "heldout")
    for split in splits:
        for found in find(ledger, replace(filter, split=split)):
            yield _everything(found, form)


def sft_rows(ledger: Ledger, filter: Filter, *, chat: bool = False, truncated: bool = False) -> Iterator[Row]:
    """Yield the prompt and completion of samples that passed, or of those matching a status, stage or `Filter.chosen`.

    Each pair appears once. With `chat`, or if any prompt of the run is a chat, prompts and completions are lists of
    messages. With `Filter.chosen`, samples of negative weight are left out: training moved away from them.
    Held-out samples are left out unless `Filter.split` selects them, completions that the token limit cut
    short unless `truncated` is set.
    """
    if not (filter.chosen or filter.status or filter.stage):
        filter = replace(filter, status=Status.PASS.value)
    form = _PromptForm(ledger, chat=chat)
    seen: set[tuple[str, str]] = set()
    for found in find(ledger, replace(filter, split=filter.split or "train")):
        key = (found.sample.prompt.id, found.sample.completion.text)
        is_example = found.sample.weight > 0 or not filter.chosen
        if key not in seen and is_example and (truncated or _finished(found.sample)):
            seen.add(key)
            prompt = form.prompt(found.sample.prompt, found.cycle, found.split)
            yield {"prompt": prompt, "completion": form.completion(found.sample)}


def dpo_rows(
    ledger: Ledger, filter: Filter, *, pairs: int = 1, chat: bool = False, truncated: bool = False
) -> Iterator[Row]:
    """Yield up to `pairs` preference pairs, a better and a worse completion, for each prompt and cycle.

    The completion with the higher reward is better; among held-out samples, which have no reward, a pass is better
    than a fail. The best is paired with the worst, the second best with the second worst; no completion is used twice
    in a cycle. `chat`, `truncated` and held-out samples are as in `sft_rows`. Each pair appears once.
    """
    form = _PromptForm(ledger, chat=chat)
    seen: set[tuple[str, str, str]] = set()
    for cycle, split, group in _groups(ledger, replace(filter, split=filter.split or "train")):
        rewarded = [
            sample for sample in group if sample.reward is not None
        ]  # the others were excluded, if there are any
        usable = [sample for sample in rewarded or group if truncated or _finished(sample)]
        ranked = sorted(_distinct(usable), key=lambda sample: -_worth(sample))
        for better, worse in list(zip(ranked, reversed(ranked), strict=True))[:pairs]:
            if _worth(better) <= _worth(worse):
                break
            key = (better.prompt.id, better.completion.text, worse.completion.text)
            if key not in seen:
                seen.add(key)
                yield {
                    "prompt": form.prompt(better.prompt, cycle, split),
                    "chosen": form.completion(better),
                    "rejected": form.completion(worse),
                }


class _PromptForm:
    """The form of the run's prompts, text or chat, with the system prompt of the generator that sampled."""

    def __init__(self, ledger: Ledger, *, chat: bool) -> None:
        self._config = ledger.config()
        prompts = [*ledger.prompts("train"), *ledger.prompts("heldout")]
        self._chat = chat or any(prompt.messages for prompt in prompts)  # a column has a single type

    def prompt(self, prompt: Prompt, cycle: int, split: str) -> Any:
        text = self._system(cycle, split)
        if not self._chat:
            return clean(f"{text}\n\n{prompt.text}" if text else prompt.text)
        messages = prompt.messages or ({"role": "user", "content": prompt.text},)
        system = [{"role": "system", "content": text}] if text else []
        return [{key: clean(text) for key, text in message.items()} for message in (*system, *messages)]

    def _system(self, cycle: int, split: str) -> str:
        generator = self._config.get("generator", {})
        if split == "heldout":
            return str((self._config["heldout"].get("generator") or generator).get("system") or "")
        by_cycle = ((self._config.get("per_cycle") or {}).get("generator") or {}).get("system")
        return str((by_cycle[min(cycle, len(by_cycle)) - 1] if by_cycle else generator.get("system")) or "")

    def completion(self, sample: Sample) -> Any:
        text = clean(sample.completion.text)
        return [{"role": "assistant", "content": text}] if self._chat else text


def clean(text: str) -> str:
    """Replace lone surrogates, which are not Unicode and which Parquet and JSON readers reject."""
    return _SURROGATES.sub("\ufffd", text)


_SURROGATES = re.compile("[\ud800-\udfff]")


def _everything(found: Found, form: _PromptForm) -> Row:
    sample, verdict, completion = found.sample, found.sample.verdict, found.sample.completion
    return {
        "cycle": found.cycle,
        "split": found.split,
        "prompt_id": clean(sample.prompt.id),
        "index": completion.index,
        "messages": form.prompt(sample.prompt, found.cycle, found.split),
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


def _groups(ledger: Ledger, filter: Filter) -> Iterator[tuple[int, str, list[Sample]]]:
    """Yield cycle, split and the conclusive samples of each prompt in each cycle, holding one request in memory."""
    by_prompt: dict[str, list[Sample]] = {}
    current: tuple[int, str] = (0, "")
    for found in find(ledger, filter):
        if not found.sample.verdict.conclusive:
            continue
        if current != (found.cycle, found.split):
            yield from ((*current, group) for group in by_prompt.values())
            by_prompt, current = {}, (found.cycle, found.split)
        by_prompt.setdefault(found.sample.prompt.id, []).append(found.sample)
    yield from ((*current, group) for group in by_prompt.values())


def _finished(sample: Sample) -> bool:
    return sample.completion.finish_reason == "stop"


def _distinct(samples: list[Sample]) -> list[Sample]:
    return list({sample.completion.text: sample for sample in reversed(samples)}.values())


def _worth(sample: Sample) -> float:
    return float(sample.verdict.status is Status.PASS) if sample.reward is None else sample.reward
