"""Contradictions in words: text after an answer that makes another call, changes a member or takes it back."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_MARKUP = re.compile(r"</?(?:tool|function|invoke|call|action|param|arg)[\w.-]*\b[^<>\n]*>", re.IGNORECASE)
_ACTION = re.compile(
    r"^[\s*_>`-]*(?:(?:next|second|another|final|correct)\s+)?(?:action|(?:tool|function)[ _]call|tool|function|call)"
    r"(?:\s+input)?[*_`]*\s*:\s*\S",
    re.IGNORECASE | re.MULTILINE,
)
_RECIPIENT = re.compile(r"\bto\s*=\s*functions\.")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_CORRECTION = re.compile(
    r"\b(?:actually|instead|rather|wait|sorry|oops|correction|should|scratch|mistake|meant|mean|second\s+thoughts?|better|must"
    r"|change|changed|replace|fix|again|no,)\b|^\s*no\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|without|instead\s+of|rather\s+than|unlike|neither|nor|no\s+need)\b|n['’]t\b",
    re.IGNORECASE,
)
_AGAIN = re.compile(
    r"\b(?:call|invoke|run|execute)\s+(?:it|this|that|them|the\s+(?:tool|function))\s+(?:again|twice|once\s+more)\b",
    re.IGNORECASE,
)
_OBJECT = (
    r"(?:that|this|it|the\s+above|(?:the|my|this|that)\s+(?:\w+\s+)?(?:call|json|answer|arguments?|object|output|value|result|response))"
    r"(?:\s+above)?"
)
_TAKEN_BACK = re.compile(
    r"[\s*_(>-]*(?:(?:wait|no|actually|sorry|oops|hm+|but|however|and|so|unfortunately|please|I\s+(?:think|believe|see)(?:\s+that)?)[\s,.!]+)*+"
    rf"(?:{_OBJECT}(?:['’]s|\s+(?:is|was|are|were))\s+(?:wrong|incorrect|invalid|false|a\s+mistake|an\s+error"
    r"|not\s+(?:right|correct|valid|(?:the|my)\s+(?:\w+\s+)?(?:call|answer)))"
    r"|(?:I|we)\s+(?:made|have\s+made)\s+an?\s+(?:\w+\s+)?(?:mistake|error)"
    r"|my\s+(?:mistake|bad)\b"
    rf"|(?:(?:ignore|disregard|cancel|discard|forget|scratch|retract)|(?:do\s+not|don['’]t)\s+(?:make|execute|run|use|send|do|call))\s+{_OBJECT})"
    r"(?=[\s*_)]*(?:[.,;:!?]|$)|\s+(?:because|since|and|but|so|call|one)\b)",
    re.IGNORECASE,
)
_LITERAL = (
    r"\"[^\"\n]*\"|'[^'\n]*'|`[^`\n]*`|[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w|\s*[*/+^(-])"
    r"|(?:true|false|null|none)\b"
)
_LITERALS = re.compile(rf"(?<![\w.]){_LITERAL}", re.IGNORECASE)
_STATED = r"[`'\"]?\s*(?:=|:=|==)\s*"
_CHANGED = (
    r"[`'\"]?\s*(?:\b(?:should|must|could|would|has\s+to|needs\s+to|ought\s+to)\s+)?"
    r"(?:=|:=|:|\b(?:is|as|to|of|be|being|equals?)\b)(?:\s*\b(?:set|equal|changed|actually|really|now|to|be|as)\b)*\s*"
)
_VERB = (
    r"\b(?:call|use|invoke|run|execute|try|make)(?:s|ed|ing)?\s+(?:the\s+|a\s+|an?other\s+)?(?:tool|function)?"
    r"\s*[`'\"]?"
)
_MAX_ARGUMENTS = 400
_MISSING = object()


def contradicts_in_words(value: Any, rest: str, *, names: Collection[str], is_call: bool) -> bool:
    """Return whether the prose `rest` takes back the answer `value`, or gives another one.

    `names` are the tools of the task. For tool calls (`is_call`), naming a tool with other arguments, or a call of
    another tool, is a further call.
    """
    members = _members(value, is_call=is_call)
    if is_call and _calls_again(value, rest, names, members):
        return True
    return any(_changes(sentence, members, names if is_call else ()) for sentence in _SENTENCE.split(rest))


def _calls_again(value: Any, rest: str, names: Collection[str], members: Mapping[str, list[Any]]) -> bool:
    if any(pattern.search(rest) for pattern in (_MARKUP, _ACTION, _RECIPIENT, _AGAIN)):
        return True
    called = {part["name"] for part in _parts(value) if isinstance(part.get("name"), str)}
    for name in names:
        if re.search(rf"<\s*{re.escape(name)}\b[^<>\n]*>", rest):
            return True
        for match in re.finditer(rf"(?<![\w.]){re.escape(name)}[`'\"]?\s*(?P<how>[({{]|[:=]\s*\{{)", rest):
            if match["how"] != "(" or _has_other_arguments(rest[match.end() :], members):
                return True
            if name not in called and not _is_negated(rest, match.start()):
                return True
        if name not in called:
            verbs = re.finditer(rf"{_VERB}{re.escape(name)}\b(?!\s*\()", rest, re.IGNORECASE)
            if any(not _is_negated(rest, match.start()) for match in verbs):
                return True
    return False


def _is_negated(text: str, place: int) -> bool:
    return _NEGATION.search(_SENTENCE.split(text[max(0, place - 100) : place])[-1]) is not None


def _has_other_arguments(text: str, members: Mapping[str, list[Any]]) -> bool:
    """Return whether the arguments at the start of `text`, up to the closing bracket, differ from `members`."""
    arguments = text[:_MAX_ARGUMENTS].partition(")")[0]
    known = [item for items in members.values() for item in items]
    for match in _LITERALS.finditer(arguments):
        key = re.search(r"([A-Za-z_]\w*)[`'\"]?\s*[=:]\s*$", arguments[: match.start()])
        given = members.get(key[1], []) if key else known
        same = next((item for item in given if _is_one_of(match[0], [item])), _MISSING)
        if same is _MISSING:
            return True
        if not key:
            known.remove(same)
    return False


def _changes(sentence: str, members: Mapping[str, list[Any]], names: Collection[str]) -> bool:
    """Return whether a sentence takes the answer back or gives a member another value."""
    if _TAKEN_BACK.match(sentence):
        return True
    corrects = _CORRECTION.search(sentence) is not None and not _NEGATION.search(sentence)
    link = _CHANGED if corrects else _STATED
    for key, items in members.items():
        pattern = rf"(?<![\w.\[]){re.escape(key)}{link}(?P<literal>{_LITERAL})"
        for match in re.finditer(pattern, sentence, re.IGNORECASE):
            if not _is_one_of(match["literal"], items):
                return True
    if corrects and any(re.search(rf"\b{re.escape(name)}\b", sentence) for name in names):
        known = [item for items in members.values() for item in items]
        return any(not _is_one_of(match[0], [*known, *names]) for match in _LITERALS.finditer(sentence))
    return False


def _is_one_of(literal: str, items: Collection[Any]) -> bool:
    """Return whether a literal is one of `items`. An object or array may be written in any way."""
    text = literal.strip("\"'`")
    for item in items:
        if isinstance(item, dict | list):
            return True
        written = item if isinstance(item, str) else json.dumps(item)
        if written.lower() == ("null" if text.lower() == "none" and item is None else text.lower()):
            return True
        if isinstance(item, int | float) and not isinstance(item, bool):
            try:
                if float(text) == float(item):
                    return True
            except (ValueError, OverflowError):
                continue
    return False


def _members(value: Any, *, is_call: bool) -> dict[str, list[Any]]:
    """Return the values of each argument of the calls in `value`, or of each key of an object."""
    objects = [value] if isinstance(value, dict) and not is_call else []
    if is_call:
        for part in _parts(value):
            for key in ("arguments", "parameters"):
                arguments = part.get(key)
                if isinstance(arguments, str):
                    try:
                        arguments = json.loads(arguments)
                    except (ValueError, RecursionError):
                        continue
                objects += [arguments] if isinstance(arguments, dict) else []
    found: dict[str, list[Any]] = {}
    for each in objects:
        for key, item in each.items():
            found.setdefault(key, []).append(item)
    return found


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            yield part
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
