"""Conversion of values to the columns of ledger rows, and back."""

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
"""The columns of `verdicts` that hold a `Verdict`, in the order of its fields."""


def pack_tokens(ids: Sequence[int]) -> bytes:
    """Pack token ids in the smallest width that fits the largest: the width in bytes, then the ids."""
    largest = max(ids, default=0)
    code = "B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "I" if largest < 1 << 32 else "q"
    packed = array(code, ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return bytes((packed.itemsize,)) + packed.tobytes()


def unpack_tokens(blob: bytes) -> tuple[int, ...]:
    """Unpack the result of `pack_tokens`."""
    packed = array(_CODES[blob[0]], blob[1:])
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)


def pack_floats(values: Sequence[float] | None) -> bytes | None:
    """Pack numbers as little-endian float32; None stays None."""
    if values is None:
        return None
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_floats(blob: bytes | None) -> tuple[float, ...] | None:
    """Unpack the result of `pack_floats`."""
    if blob is None:
        return None
    packed = array("f", blob)
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)


def pack_mask(mask: Sequence[bool] | None) -> bytes | None:
    """Pack a mask as one byte per token; None stays None."""
    return None if mask is None else bytes(mask)


def unpack_mask(blob: bytes | None) -> tuple[bool, ...] | None:
    """Unpack the result of `pack_mask`."""
    return None if blob is None else tuple(map(bool, blob))


def pack_text(text: str) -> str | bytes:
    """Return `text` in a form that SQLite can store: as bytes if it is not Unicode (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
    return text


def unpack_text(value: str | bytes) -> str:
    """Unpack the result of `pack_text`."""
    return value.decode(errors="surrogatepass") if isinstance(value, bytes) else value


def prompt_body(prompt: Prompt) -> str:
    """Return a prompt without its id, as JSON. Equal bodies mean equal tasks with equal checks."""
    body = {
        "text": prompt.text,
        "messages": [dict(message) for message in prompt.messages],
        "verifier": prompt.verifier,
        "reference": prompt.reference,
        "meta": prompt.meta,
    }
    return json.dumps(body, default=str)


def read_prompt(name: str, body: str) -> Prompt:
    """Return a prompt from its row."""
    row = json.loads(body)
    return Prompt(name, **(row | {"messages": tuple(row["messages"])}))


def prompt_hash(prompt: Prompt) -> bytes:
    """Return the hash of a prompt for the keys of its verdicts."""
    return hashlib.blake2b(f"{prompt.id}\0{prompt_body(prompt)}".encode(errors="surrogatepass")).digest()


def verdict_key(prompt: bytes, fingerprint: bytes, text: str) -> bytes:
    """Return the key of the verdict on `text`, 18 bytes; `prompt` and `fingerprint` are hashes.

    Keys of one prompt share their first four bytes. They are neighbours in the index, so a batch, which has few
    prompts, touches few of its pages.
    """
    content = text.encode(errors="surrogatepass")
    return prompt[:4] + hashlib.blake2b(prompt + fingerprint + content, digest_size=14).digest()


def verdict_row(verdict: Verdict) -> tuple[Any, ...]:
    """Return a verdict as the columns of `VERDICT`."""
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
    """Return a verdict from the columns of `VERDICT`. Raises a `KeyError` for an unknown status or stage."""
    status, stage, score, warnings, detail, cpu, wall, sandbox, integrity, signals = row
    decoded = {} if signals == "{}" else json.loads(signals)
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
        decoded,
    )


def equal_except_times(one: Verdict, other: Verdict) -> bool:
    """Return whether two verdicts are equal except for the times they took."""
    return one is other or _without_times(one) == _without_times(other)


def _without_times(verdict: Verdict) -> tuple[Any, ...]:
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
    """Return a sample from number, text, tokens, finish, logprobs, loss_mask and the columns of `VERDICT`."""
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
    """Return a report as JSON."""
    return json.dumps(asdict(report))


def read_report(text: str) -> CycleReport:
    """Return a report from JSON; fields that an earlier version did not write get defaults. Raises a `ValueError`."""
    return _REPORT.validate_json(text)


def read_stats(text: str) -> TrainStats:
    """Return the statistics of a training from JSON, like `read_report`."""
    return _STATS.validate_json(text)


_REPORT = TypeAdapter(CycleReport)
_STATS = TypeAdapter(TrainStats)
