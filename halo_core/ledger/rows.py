"""From halo's values to what a row of the ledger holds, and back."""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from halo_core.types import Completion, CycleReport, Prompt, Sample, Stage, Status, TrainStats, Verdict

_CODES = {array(code).itemsize: code for code in "BHIq"}
_STATUS = {status.value: status for status in Status}
_STAGE = {stage.value: stage for stage in Stage}

VERDICT = "status, stage, score, warnings, detail, cpu_seconds, wall_seconds, sandbox, integrity, signals"
"""Columns of `verdicts` that make up a `Verdict`, in the order of its fields."""


def pack_tokens(ids: Sequence[int]) -> bytes:
    """Write token ids as small as the largest of them allows: the width in bytes, then the ids."""
    largest = max(ids, default=0)
    code = "B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "I" if largest < 1 << 32 else "q"
    packed = array(code, ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return bytes((packed.itemsize,)) + packed.tobytes()


def unpack_tokens(blob: bytes) -> tuple[int, ...]:
    """Read what `pack_tokens` wrote."""
    packed = array(_CODES[blob[0]], blob[1:])
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)


def pack_floats(values: Sequence[float] | None) -> bytes | None:
    """Write numbers as little-endian float32; None as None."""
    if values is None:
        return None
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_floats(blob: bytes | None) -> tuple[float, ...] | None:
    """Read the result of `pack_floats`."""
    if blob is None:
        return None
    packed = array("f", blob)
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)


def pack_mask(mask: Sequence[bool] | None) -> bytes | None:
    """Write a mask as one byte for each token; None as None."""
    return None if mask is None else bytes(mask)


def unpack_mask(blob: bytes | None) -> tuple[bool, ...] | None:
    """Read the result of `pack_mask`."""
    return None if blob is None else tuple(map(bool, blob))


def pack_text(text: str) -> str | bytes:
    """Return `text` as SQLite can hold it: bytes where it is not Unicode (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
    return text


def unpack_text(value: str | bytes) -> str:
    """Read what `pack_text` wrote."""
    return value.decode(errors="surrogatepass") if isinstance(value, bytes) else value


def prompt_body(prompt: Prompt) -> str:
    """Write all of a prompt but its id, as JSON. Equal bodies are equal tasks with equal checks."""
    body = {
        "text": prompt.text,
        "messages": [dict(message) for message in prompt.messages],
        "verifier": prompt.verifier,
        "reference": prompt.reference,
        "meta": prompt.meta,
    }
    return json.dumps(body, default=str)


def read_prompt(name: str, body: str) -> Prompt:
    """Read a prompt from its row."""
    row = json.loads(body)
    return Prompt(name, **(row | {"messages": tuple(row["messages"])}))


def prompt_hash(prompt: Prompt) -> bytes:
    """Return what stands for a prompt in the keys of its verdicts."""
    return hashlib.blake2b(f"{prompt.id}\0{prompt_body(prompt)}".encode(errors="surrogatepass")).digest()


def verdict_key(prompt: bytes, fingerprint: bytes, text: str) -> bytes:
    """Return the 18 bytes under which the verdict on `text` is found; the first two are digests.

    Keys of one prompt have their first four bytes in common: they lie together in the index, so that a batch,
    which is of few prompts, touches few of its pages.
    """
    content = text.encode(errors="surrogatepass")
    return prompt[:4] + hashlib.blake2b(prompt + fingerprint + content, digest_size=14).digest()


def verdict_row(verdict: Verdict) -> tuple[Any, ...]:
    """Write a verdict as the columns of `VERDICT`."""
    return (
        verdict.status.value,
        verdict.stage.value,
        verdict.score,
        verdict.warnings,
        pack_text(verdict.detail),
        verdict.cpu_seconds,
        verdict.wall_seconds,
        verdict.sandbox,
        verdict.integrity,
        json.dumps(dict(verdict.signals)) if verdict.signals else "{}",
    )


def read_verdict(row: Sequence[Any]) -> Verdict:
    """Read a verdict from the columns of `VERDICT`. Raises a `KeyError` for a status or stage that is none."""
    status, stage, score, warnings, detail, cpu, wall, sandbox, integrity, signals = row
    named = {} if signals == "{}" else json.loads(signals)
    return Verdict(
        _STATUS[status],
        _STAGE[stage],
        score,
        warnings,
        unpack_text(detail),
        cpu,
        wall,
        sandbox,
        integrity,
        named,
    )


def equal_apart_from_time(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts differ in nothing but the time they took."""
    return one is other or _said(one) == _said(other)


def _said(verdict: Verdict) -> tuple[Any, ...]:
    v = verdict
    return v.status, v.stage, v.score, v.warnings, v.detail, v.sandbox, v.integrity, v.signals


def read_sample(
    row: Sequence[Any],
    prompt: Prompt,
    context: tuple[int, ...],
    *,
    reward: float | None = None,
    weight: float = 1.0,
) -> Sample:
    """Read a sample from number, text, tokens, finish, logprobs, loss_mask and the columns of `VERDICT`."""
    number, text, tokens, finish, logprobs, mask, *verdict = row
    completion = Completion(
        prompt.id,
        number,
        unpack_text(text),
        context,
        unpack_tokens(tokens),
        finish,
        unpack_floats(logprobs),
        unpack_mask(mask),
    )
    return Sample(prompt, completion, read_verdict(verdict), reward, weight)


def report_text(report: CycleReport) -> str:
    """Write a report as JSON."""
    return json.dumps(asdict(report))


def read_report(text: str) -> CycleReport:
    """Read a report; what an earlier halo did not measure has its default. Raises a `ValueError`."""
    return _REPORT.validate_json(text)


def read_stats(text: str) -> TrainStats:
    """Read what a training did, as `read_report` does."""
    return _STATS.validate_json(text)


_REPORT = TypeAdapter(CycleReport)
_STATS = TypeAdapter(TrainStats)
