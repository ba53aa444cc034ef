"""Channels of a completion: models such as gpt-oss mark which part of it is the answer, with special tokens.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>

A generator keeps these tokens in a completion's text, so that the answer is the text of the final channel. A tool call
is a message to a recipient, in the channel `commentary`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARKS = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>")
"""The special tokens that delimit messages. A tokenizer uses channels if it has `<|channel|>` and `<|message|>`."""
FINAL = "final"

_HEADER = re.compile(
    r"(?:<\|start\|>(?P<role>[^<\n]{0,200}))?<\|channel\|>\s*(?P<channel>[A-Za-z]+)(?P<rest>[^<\n]{0,200})"
    r"(?:<\|constrain\|>[^<\n]{0,200})?<\|message\|>"
)
_END = re.compile(r"<\|(?:end|call|return|start)\|>")
_RECIPIENT = re.compile(r"\bto=(\S+)")


class Message(NamedTuple):
    """One message of a completion."""

    channel: str
    recipient: str
    """The tool that is called, such as `functions.weather`; empty if there is none."""
    text: str
    ended: bool
    """True if an end mark, or another message, follows."""


def messages(text: str) -> list[Message]:
    """Return the messages of a completion in order; an empty list if it has no channels.

    A completion has channels if it starts with a message's header, or if a header in it begins with `<|start|>`, as
    after a message that the prompt began. The text before the first header is in no message.
    """
    if "<|channel|>" not in text:
        return []
    found: list[Message] = []
    place, begun = 0, False
    while match := _HEADER.search(text, place):
        begun = begun or match["role"] is not None or not (found or text[: match.start()].strip())
        end = _END.search(text, match.end())
        place = end.start() if end else len(text)
        recipient = _RECIPIENT.search(f"{match['role'] or ''} {match['rest']}")
        content = text[match.end() : place]
        found.append(Message(match["channel"], recipient[1] if recipient else "", content, end is not None))
    return found if begun else []


def final_text(text: str) -> str | None:
    """Return the text of the final channel; None if the completion has channels but no final one.

    Several final messages are joined by a line break. A completion without channels is returned unchanged.
    """
    found = messages(text)
    if not found:
        return text
    final = [message.text for message in found if message.channel == FINAL]
    return "\n".join(final) if final else None
