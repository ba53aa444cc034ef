"""How a chat server is asked to continue the assistant's last message, and a check that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from halo_core import ModelError

CONTINUE: Mapping[str, bool] = {"continue_final_message": True, "add_generation_prompt": False}
"""Fields of a request with which vLLM and SGLang leave the assistant's last message open."""
_END: Mapping[str, bool] = {"continue_final_message": False, "add_generation_prompt": True}
_MESSAGES = (
    {"role": "user", "content": "Count from one to nine."},
    {"role": "assistant", "content": "One, two, three,"},
)
_HINT = (
    "use api=completions, or if the server continues the assistant's last message without being asked, as Ollama and "
    "llama.cpp do, set continue_fields=false"
)


def check_continues(
    ask: Callable[[dict[str, Any]], Mapping[str, Any]], body: Mapping[str, Any], where: str
) -> None:
    """Raise a `ModelError` unless a server leaves the assistant's last message open when it is asked to.

    `ask` sends a request and returns the answer; `body` has the fields that all requests share. An open message has
    fewer tokens than one that is ended and followed by the start of another, so two counts prove it.
    """
    asked = {**body, "messages": list(_MESSAGES), "max_tokens": 1}
    try:
        left_open = _prompt_tokens(ask(asked | dict(CONTINUE)))
    except ModelError as error:
        raise ModelError(f"{where} does not continue an assistant's message: {error}", hint=_HINT) from error
    try:
        ended = _prompt_tokens(ask(asked | dict(_END)))
    except ModelError:
        return  # many a chat template rejects that, so the fields have an effect
    if left_open is None or ended is None:
        raise ModelError(
            f"{where} counts no prompt tokens, so halo cannot check that it continues an assistant's message",
            hint=_HINT,
        )
    if left_open >= ended:
        raise ModelError(
            f"{where} ignores continue_final_message: it would start a new message after the prefill",
            hint=_HINT,
        )


def _prompt_tokens(answer: Mapping[str, Any]) -> int | None:
    usage = answer.get("usage")
    found = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return found if isinstance(found, int) else None
