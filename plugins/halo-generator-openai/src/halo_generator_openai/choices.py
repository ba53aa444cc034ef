"""The completions in an answer of the OpenAI API, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from halo_core import PluginError

_ENDED = {"stop": "stop", "eos": "stop", "tool_calls": "stop", "length": "length", "content_filter": "length"}
"""halo's reason for each of the API; a filtered completion is incomplete, like one that was cut short."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion of an answer."""

    text: str
    thought: str
    """The reasoning, from a server that separates it from the answer; else empty."""
    finish_reason: Literal["stop", "length"]
    token_ids: tuple[int, ...] = ()
    """Empty if the server returns none."""
    logprobs: tuple[float, ...] | None = None
    """Log p of each of `token_ids`; None if the server returns none."""


def read_choices(answer: Mapping[str, Any], count: int, *, where: str) -> list[Choice]:
    """Return the `count` completions of `answer`, by their index.

    `where` names the server. Raises a `PluginError` for another number of completions and for anything malformed.
    """
    found = answer.get("choices")
    if not isinstance(found, list):
        raise PluginError(f"{where}: the answer has no list of choices", hint="is this an OpenAI API?")
    if len(found) != count:
        raise PluginError(
            f"{where}: the answer has {len(found)} of {count} completions",
            hint="not every server samples several at once: set completions_per_request to 1",
        )
    try:
        ordered = sorted(found, key=lambda choice: choice.get("index", 0))
        return [_choice(choice, where) for choice in ordered]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PluginError(f"{where}: a completion in the answer is malformed: {error!r}") from error


def _choice(choice: Mapping[str, Any], where: str) -> Choice:
    message = choice.get("message") or {}
    text = message.get("content", choice.get("text"))
    reason = choice.get("finish_reason")
    if reason not in _ENDED:
        raise PluginError(
            f"{where}: a completion ended for the reason {reason!r}",
            hint="stop and length are complete answers; look at the log of the server",
        )
    ids = tuple(int(token) for token in choice.get("token_ids") or ())
    return Choice(
        text=str(text or ""),
        thought=str(message.get("reasoning_content") or message.get("reasoning") or ""),
        finish_reason="stop" if _ENDED[reason] == "stop" else "length",
        token_ids=ids,
        logprobs=_logprobs(choice.get("logprobs"), len(ids)),
    )


def _logprobs(found: Mapping[str, Any] | None, count: int) -> tuple[float, ...] | None:
    """Return the log-probabilities of `count` tokens, of a completion or of a chat message; None without token ids."""
    if not found or not count:
        return None
    values = found.get("token_logprobs")
    if values is None:
        values = [token["logprob"] for token in found.get("content") or ()]
    if len(values) != count:
        raise ValueError(f"{len(values)} log-probabilities for {count} tokens")
    return tuple(float(value) for value in values)
