"""Answers as the corpus' authors write them: their JSON styles and their mistakes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from halo_verifier_jsonschema_demo.api import TOOLS
from halo_verifier_jsonschema_demo.tasks import Task

RATES = {"values": 0.22, "shape": 0.26, "syntax": 0.24}
"""Probability that an author gets a value wrong, breaks the schema, or breaks the JSON syntax."""

_TOOL_NAMES = [tool["function"]["name"] for tool in TOOLS]


def beginner_answer(task: Task, rng: random.Random) -> str:
    """Return a beginner's answer: each kind of mistake occurs at its own rate."""
    content: Any = deepcopy(list(task.calls) if task.calls else task.body)
    if rng.random() < RATES["values"]:
        content = _change_leaf(content, _other_value, rng)
    if rng.random() < RATES["shape"]:
        content = _break_shape(content, rng)
    text = write_answer(content, rng, calls=bool(task.calls))
    return break_syntax(text, rng) if rng.random() < RATES["syntax"] else text


def write_answer(content: Any, rng: random.Random, *, calls: bool) -> str:
    """Return calls or a body as JSON in one author's style: a random key order and one of several forms."""
    separators = rng.choice([(", ", ": "), (", ", ": "), (",", ":")])

    def dump(value: Any) -> str:
        return json.dumps(value, separators=separators)

    if not calls:
        return _fenced(dump(_shuffled(content, rng)), rng)
    plain = [{"name": name, "arguments": _shuffled(arguments, rng)} for name, arguments in content]
    rng.shuffle(plain)
    if rng.random() < 0.3:
        return "\n".join(f"<tool_call>{dump(call)}</tool_call>" for call in plain)
    return _fenced(dump(plain[0] if len(plain) == 1 and rng.random() < 0.8 else plain), rng)


def break_syntax(text: str, rng: random.Random) -> str:
    """Return `text` with one mistake, so that its final channel no longer holds strict JSON."""
    changes = [change for change in _SYNTAX_MISTAKES if change(text, random.Random(0)) != text]
    return rng.choice(changes)(text, rng)


def _fenced(text: str, rng: random.Random) -> str:
    return f"```json\n{text}\n```" if rng.random() < 0.25 else text


def _shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        if rng.random() < 0.5:
            rng.shuffle(items)
        return {key: _shuffled(item, rng) for key, item in items}
    return [_shuffled(item, rng) for item in value] if isinstance(value, list) else value


def _change_leaf(content: Any, change: Callable[[Any, random.Random], Any], rng: random.Random) -> Any:
    """Change one random leaf of `content` in place and return `content`."""
    container, key = rng.choice(_leaves(content))
    container[key] = change(container[key], rng)
    return content


def _leaves(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) for each number, string or flag inside `value`."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, tuple):
        return _leaves(value[1])
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in entries:
        found += _leaves(item) if isinstance(item, dict | list | tuple) else [(value, key)]
    return found


def _other_value(value: Any, rng: random.Random) -> Any:
    """Return a plausible wrong value of the same type, as from a misreading."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(1, value + rng.choice([-1, 1, 2, 10]))
    if re.fullmatch(r"[\d:-]+", value):
        return re.sub(r"\d(?=\D*$)", lambda m: str((int(m[0]) + rng.randint(1, 3)) % 10), value)
    return value.lower() if value != value.lower() else value.capitalize()


def _other_type(value: Any, _: random.Random) -> Any:
    """Return `value` as another, easily confused type."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else [value]


def _break_shape(content: Any, rng: random.Random) -> Any:
    """Return `content` with one mistake that breaks its schema or calls another tool."""
    kind = rng.randrange(4)
    if kind == 0:
        return _change_leaf(content, _other_type, rng)
    container = content[0][1] if isinstance(content, list) else content
    key = rng.choice(list(container))
    if kind == 1:
        del container[key]
    elif kind == 2:
        container[key + "s" if not key.endswith("s") else key[:-1]] = container.pop(key)
    elif isinstance(content, list):
        name = rng.choice([other for other in _TOOL_NAMES if other != content[0][0]])
        content[0] = (name, content[0][1])
    else:
        container["note"] = None
    return content


def _swap(pattern: str, replacement: str) -> Callable[[str, random.Random], str]:
    """Return a mistake that replaces one random match of `pattern`."""
    compiled = re.compile(pattern)

    def make(text: str, rng: random.Random) -> str:
        found = list(compiled.finditer(text))
        if not found:
            return text
        match = rng.choice(found)
        return text[: match.start()] + match.expand(replacement) + text[match.end() :]

    return make


_SYNTAX_MISTAKES: Sequence[Callable[[str, random.Random], str]] = (
    _swap(r"\}(?=[^}]*$)", ""),  # an unclosed brace
    _swap(r"\}(?=[^}]*$)", "}}"),
    _swap(r"([\w\"])\}", r"\1,}"),  # a trailing comma
    _swap(r'("|\w|\}), ?"', r'\1 "'),  # a missing comma
    _swap(r'"(\w+)":', r"\1:"),  # a key without quotes
    _swap(r'": ?"', '": '),  # a missing quote
    _swap(r"\btrue\b", "True"),  # Python
    _swap(r"^(?=[{\[])", "JSON: "),  # prose
)
