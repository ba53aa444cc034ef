"""Detection of a second answer beside the first: a completion that gives two different answers has none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from halo_verifier_jsonschema import strict
from halo_verifier_jsonschema.reading import Reader
from halo_verifier_jsonschema.strict import NotStrictError, Numbers

_BRACKET = re.compile(r"[\[{]")
_CALL_MARK = re.compile(
    r"""["'](?:arguments|parameters|args|function|function_call|tool|tool_name|recipient|tool_calls?)["']\s*:"""
    r"""|["']name["']\s*:\s*["']|</?tool_call>|<(?:function|invoke|tool)\b"""
)
_BROKEN_OBJECT = re.compile(
    r"""(?:\{|\\u007b)\s*(?:["'“”][^"'“”\n]*["'“”]\s*:|[A-Za-z_]\w*\s*:\s*(?:[-\d"'\[{]|true\b|false\b|null\b))"""
)
_MEMBER = re.compile(r"""["'“](?P<key>[^"'“”\n]*)["'”]\s*:\s*(?P<value>\S.*?)[\s,}]*$""")
_LINK = re.compile(
    r"(?:[\s,;:/|.()`*–—]|(?:or|and|then|but|also|no|wait|rather|maybe|perhaps|possibly|actually|alternatively|else|either"
    r"|instead|correction|hmm|sorry)\b)*+",
    re.IGNORECASE,
)
"""Text between an answer and another one that directly follows it."""
_AFTER = re.compile(
    r"[ \t`*]*(?:\Z|[\n,;|!?]|[.)][ \t]*(?:\n|\Z)|(?:or|and|but|maybe|instead)\b)", re.IGNORECASE
)
"""Text after a scalar that is an answer, rather than a part of a sentence or a calculation."""
_TOO_DEEP = "\0"
"""Stands for every value that is nested too deeply to be compared. No answer contains one."""
_AROUND_LINE = " \t\r*`_.,;:()>#"


def contradicts(value: Any, rest: str, *, is_call: bool, numbers: Numbers) -> bool:
    """Return whether `rest`, the text after the answer `value`, gives another answer.

    For tool calls (`is_call`), each further call is another answer. For other values it is another object or array
    (a part of the answer may be quoted), or any other value that directly follows, or after a scalar, that is alone on
    a line.
    """
    if not rest.strip():
        return False
    if is_call and _CALL_MARK.search(rest):
        return True
    reader = Reader(rest, strict.decoder(numbers))
    try:
        if is_call:
            return any(map(_has_call, _containers(rest, reader)))
        others = [*_following(rest, reader)]
        if isinstance(value, dict | list):
            others += [other for other in _containers(rest, reader) if _is_alike(value, other)]
        else:
            others += _lines(rest, strict.decoder(numbers))
            others = [other for other in others if not isinstance(other, list) or _is_alike(value, other)]
    except NotStrictError:
        return True
    if (
        reader.is_exhausted
        or _has_broken_object(rest)
        or _has_other_member(value, rest, strict.decoder(numbers))
    ):
        return True
    return bool(others) and not {*map(_identity, others)} <= {*map(_identity, _parts(value))}


def differs_from_start(content: str, prose: str) -> bool:
    """Return whether `prose` starts with an object or array on lines of its own that differs from that of `content`."""
    start = len(prose) - len(prose.lstrip())
    if not prose.startswith(("{", "["), start) or not (found := Reader(prose).read(start)):
        return False
    first, end = found
    if prose[end:].partition("\n")[0].strip():
        return False
    try:
        other = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return type(first) is type(other) and _identity(first) != _identity(other)


def has_other_call(contents: Sequence[str], prose: str) -> bool:
    """Return whether `prose` contains a tool call that the texts `contents` do not contain."""
    others = [call for value in _containers(prose, Reader(prose)) for call in _parts(value) if _is_call(call)]
    if not others:
        return False
    made: set[str] = set()
    for content in contents:
        found = Reader(content).read(len(content) - len(content.lstrip()))
        made.update(map(_identity, _parts(found[0]) if found else ()))
    return not {*map(_identity, others)} <= made


def _containers(text: str, reader: Reader) -> Iterator[Any]:
    """Yield the objects and arrays within `text`."""
    position = 0
    while match := _BRACKET.search(text, position):
        found = reader.read(match.start())
        position = found[1] if found else match.end()
        if found:
            yield found[0]


def _following(text: str, reader: Reader) -> Iterator[Any]:
    """Yield the value at the start of `text`, after the words that may join two answers."""
    link = _LINK.match(text)
    found = reader.read(link.end()) if link else None
    if found and (isinstance(found[0], dict | list) or _AFTER.match(text, found[1])):
        yield found[0]


def _lines(text: str, decoder: json.JSONDecoder) -> Iterator[Any]:
    """Yield the values that are alone on a line."""
    for line in text.split("\n"):
        stripped = line.strip(_AROUND_LINE).removeprefix("- ").strip()
        found = Reader(stripped, decoder).read(0) if stripped else None
        if found and found[1] == len(stripped):
            yield found[0]


def _has_broken_object(text: str) -> bool:
    """Return whether a line starts like an object that is not JSON."""
    for line in text.split("\n"):
        stripped = line.lstrip(_AROUND_LINE)
        if _BROKEN_OBJECT.match(stripped) and not Reader(stripped).read(0):
            return True
    return False


def _has_other_member(value: Any, text: str, decoder: json.JSONDecoder) -> bool:
    """Return whether a line is a member such as "a": 2, whose key in the object `value` has another value."""
    if not isinstance(value, dict):
        return False
    for line in text.split("\n"):
        member = _MEMBER.fullmatch(line.strip(_AROUND_LINE).removeprefix("- "))
        if member is None or member["key"] not in value:
            continue
        found = Reader(member["value"], decoder).read(0)
        if not found or _identity(found[0]) != _identity(value[member["key"]]):
            return True
    return False


def _is_alike(value: Any, other: Any) -> bool:
    """Return whether `other` could be meant as an answer in place of `value`."""
    return isinstance(value, list) or isinstance(other, dict) or any(isinstance(item, dict) for item in other)


def _has_call(value: Any) -> bool:
    return any(map(_is_call, _parts(value)))


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and (
        ("name" in value and not value.keys().isdisjoint({"arguments", "parameters"}))
        or not value.keys().isdisjoint({"function", "tool_calls"})
    )


def _parts(value: Any) -> Iterator[Any]:
    """Yield `value` and everything in it."""
    pending = [value]
    while pending:
        part = pending.pop()
        yield part
        if isinstance(part, dict | list):
            pending.extend(part.values() if isinstance(part, dict) else part)


def _identity(value: Any) -> str:
    try:
        return strict.canonical(value)
    except RecursionError:
        return _TOO_DEEP
