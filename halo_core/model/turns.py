"""From a prompt to the context that the model completes, by the tokenizer's chat template.

Importing this module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.channels import MARKS
from halo_core.errors import DataError, ModelError, did_you_mean
from halo_core.thoughts import TAGS
from halo_core.types import Prompt

_OPENED = re.compile(rf"<(?:{'|'.join(TAGS)})>\s*\Z", re.IGNORECASE)
"""A thought that the end of a context begins."""
_CLOSED = re.compile(rf"</(?:{'|'.join(TAGS)})>\s*\Z", re.IGNORECASE)
_RESERVED = ("add_generation_prompt", "chat_template", "continue_final_message", "conversation", "tokenize")
"""Arguments of `apply_chat_template` that halo sets."""
_ANSWER = "\ue000"
"""Stands for an answer when a template is asked how it ends one: a character that no template writes."""


@dataclass(frozen=True, slots=True)
class Context:
    """The text that the model completes."""

    text: str
    """The whole context, with special tokens as text."""
    opening: str = ""
    """The beginning of the assistant's turn that `text` ends with: a thought that the template opens, the last message
    of a conversation that ends with the assistant's, and the prefill. It belongs to the completion's text."""
    thinks: bool = False
    """True if the template provides for a thought here."""


def messages_of(prompt: Prompt, system: str = "") -> list[dict[str, str]]:
    """Return the messages of a prompt, after a system message if `system` is given."""
    own = prompt.messages or ({"role": "user", "content": prompt.text},)
    first = [{"role": "system", "content": system}] if system else []
    return first + [dict(message) for message in own]


def plain_context(messages: Sequence[Mapping[str, str]], prefill: str = "") -> Context:
    """Return the context of a model without a chat template: the texts of the messages, and the prefill."""
    text = "\n\n".join(message["content"] for message in messages)
    begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else _opened(text)
    return Context(text + prefill, begun + prefill)


def chat_context(
    tokenizer: Any,
    messages: list[dict[str, str]],
    *,
    prompt_id: str,
    prefill: str = "",
    values: Mapping[str, Any] | None = None,
) -> Context:
    """Return the context up to the start of the assistant's turn, or up to the end of a turn that is its own.

    `values` are passed to the template. A conversation whose last message is the assistant's is continued: its turn
    stays open. Raises a `DataError` if the template rejects the messages.
    """
    from jinja2 import TemplateError

    begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    if messages[-1]["role"] == "assistant" and not begun.strip():
        raise DataError(
            f"prompt {prompt_id!r} ends in an empty message of the assistant",
            hint="remove the message: halo begins the assistant's turn itself",
        )
    end = {"continue_final_message": True} if begun else {"add_generation_prompt": True}
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, **end, **(values or {}))
    except TemplateError as error:
        raise DataError(
            f"the chat template of {tokenizer.name_or_path!r} rejects prompt {prompt_id!r}: {error}",
            hint="some templates accept no system message; put it into the prompt and leave `system` empty",
        ) from error
    except ValueError as error:
        if not begun:
            raise
        raise DataError(
            f"prompt {prompt_id!r} ends with a message of the assistant, which the chat template of "
            f"{tokenizer.name_or_path!r} changes, so that it cannot be continued",
            hint="end the conversation with a message of the user, and give the beginning of the answer as the "
            "generator's `prefill`",
        ) from error
    begun = begun if text.endswith(begun) else begun.strip()  # the template may trim messages
    opened = "" if begun else _opened(text)
    written = source(tokenizer)
    thinks = any(f"<{tag}>" in written for tag in TAGS) and not begun and not _CLOSED.search(text)
    return Context(text + prefill, (begun or opened) + prefill, thinks=thinks or bool(opened))


def _opened(text: str) -> str:
    """Return the opening tag of a thought at the end of `text`, or ""."""
    match = _OPENED.search(text)
    return match[0] if match else ""


def source(tokenizer: Any) -> str:
    """Return the Jinja source of the tokenizer's chat template; empty if it has none."""
    if not tokenizer.chat_template:
        return ""
    found: str = tokenizer.get_chat_template()
    return found


def check_values(tokenizer: Any, values: Mapping[str, Any], model: str) -> None:
    """Raise a `ModelError` for a value that the tokenizer's chat template does not use, or that halo sets itself."""
    if not values:
        return
    written = source(tokenizer)
    if not written:
        raise ModelError(
            f"{model!r} has no chat template, so model.chat_template_kwargs would do nothing",
            hint="remove the key, or give a template with model.chat_template",
        )
    names = sorted(set(re.findall(r"\b[A-Za-z_]\w*\b", written)))
    for key in values:
        if key in _RESERVED:
            raise ModelError(f"model.chat_template_kwargs: halo sets {key!r} itself", hint="remove it")
        if key not in names:
            raise ModelError(
                f"model.chat_template_kwargs: the chat template of {model!r} does not use {key!r}",
                hint=did_you_mean(key, names),
            )


def end_of_turn(tokenizer: Any, values: Mapping[str, Any] | None = None) -> int | None:
    """Return the id of the special token with which the chat template ends an answer; None if it writes none.

    It may be another token than the tokenizer's end token: Gemma's turns end with `<end_of_turn>`, and its texts with
    `<eos>`.
    """
    if not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, **(values or {}))
    except Exception:  # a template may reject such messages in any way
        return None
    _, found, rest = text.rpartition(_ANSWER)
    if not found:
        return None
    ids: list[int] = tokenizer(rest, add_special_tokens=False)["input_ids"]
    special = _special_ids(tokenizer)
    for number in ids:
        if number in special:
            return None if _divides_channels(tokenizer, number) else number
        if tokenizer.decode([number]).strip():
            return None  # the template ends the turn with text
    return None


def _divides_channels(tokenizer: Any, number: int) -> bool:
    """Return whether a token ends a message that others of the same answer follow, as the analysis of gpt-oss."""
    marks: list[str] = tokenizer.all_special_tokens
    token = tokenizer.convert_ids_to_tokens(number)
    return "<|channel|>" in marks and token in MARKS and token != tokenizer.eos_token


def _special_ids(tokenizer: Any) -> set[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
