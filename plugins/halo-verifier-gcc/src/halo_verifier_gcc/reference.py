"""What a prompt is judged by: its reference, read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError, did_you_mean
from halo_core.types import Prompt
from halo_verifier_gcc import forbidden

_TEXTS = ("solution", "generator", "harness")
_LISTS = ("inputs", "symbols", "forbid")
_KEYS = ("tests", "random_tests", *_TEXTS, *_LISTS)
_NAME = re.compile(r"([A-Za-z_]\w*)\s*(?:\(|$)")
_MOST_RANDOM = 1000
_HINT = 'expected {"tests": [{"stdin": "3 4", "stdout": "7"}, ...]}; the README has the other keys'


@dataclass(frozen=True, slots=True)
class Test:
    """One input and what should come of it."""

    __test__ = False  # pytest: this is not one of yours

    stdin: bytes
    stdout: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt's reference. Empty where the prompt's says nothing."""

    tests: tuple[Test, ...] = ()
    solution: str = ""
    """A program, or with a harness a function, that is known to be right."""
    inputs: tuple[bytes, ...] = ()
    """Inputs whose outputs the solution says."""
    generator: str = ""
    """A program that reads a seed and prints an input."""
    random_tests: int = 0
    """Inputs to have the generator make."""
    forbid: tuple[str, ...] = ()
    """Patterns that the code must not match."""
    harness: str = ""
    """A translation unit with a `main` that reads arguments, calls the function and prints results."""
    symbols: tuple[str, ...] = ()
    """Declarations, or names, of the functions that the harness calls."""

    @property
    def names(self) -> tuple[str, ...]:
        """The bare names of `symbols`."""
        return tuple(found[1] for each in self.symbols if (found := _NAME.search(each)))


def read(prompt: Prompt) -> Reference:
    """Return the prompt's reference. Raises a `DataError` that says what is wrong with it."""
    raw = prompt.reference
    if found := _problem(raw):
        raise DataError(f"prompt {prompt.id!r}: {found}", hint=_HINT)
    return Reference(
        tests=tuple(
            Test(_bytes(test.get("stdin", "")), _bytes(test["stdout"])) for test in raw.get("tests", ())
        ),
        inputs=tuple(_bytes(each) for each in raw.get("inputs", ())),
        random_tests=raw.get("random_tests", 0),
        forbid=tuple(raw.get("forbid", ())),
        symbols=tuple(raw.get("symbols", ())),
        **{key: raw.get(key, "") for key in _TEXTS},
    )


def _problem(raw: Mapping[str, Any]) -> str:
    for key, value in raw.items():
        if key not in _KEYS:
            return f"unknown key {key!r} in reference; {did_you_mean(str(key), _KEYS)}"
        if key in _TEXTS and not (isinstance(value, str) and value.strip()):
            return f"{key} must be the text of a program"
        if key in _LISTS and not (isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)):
            return f"{key} must be a list of texts"
    return _problem_of_tests(raw) or _problem_of_oracle(raw) or _problem_of_function(raw)


def _problem_of_tests(raw: Mapping[str, Any]) -> str:
    tests = raw.get("tests", [])
    if not isinstance(tests, list | tuple):
        return "tests must be a list"
    for number, test in enumerate(tests, 1):
        if found := _problem_of_test(test):
            return f"test {number}: {found}"
    for pattern in raw.get("forbid", ()):
        if reason := forbidden.problem(pattern):
            return f"forbid: {pattern!r} is not a pattern: {reason}"
    return ""


def _problem_of_test(test: object) -> str:
    if not isinstance(test, Mapping):
        return f"must be a mapping, not {type(test).__name__}"
    for key, value in test.items():
        if key not in ("stdin", "stdout"):
            return f"unknown key {key!r}; {did_you_mean(str(key), ['stdin', 'stdout'])}"
        if not isinstance(value, str):
            return f"{key} must be text, not {type(value).__name__}"
    if not test.get("stdout", "").split():
        return "expected stdout is missing or empty, which no output could be held against"
    return ""


def _problem_of_oracle(raw: Mapping[str, Any]) -> str:
    number = raw.get("random_tests", 0)
    if type(number) is not int or not 0 <= number <= _MOST_RANDOM:
        return f"random_tests must be a whole number up to {_MOST_RANDOM}"
    if bool(raw.get("generator")) != bool(number):
        return "generator and random_tests need each other"
    if (raw.get("inputs") or number) and not raw.get("solution"):
        return "inputs without outputs need a solution that says them"
    return ""


def _problem_of_function(raw: Mapping[str, Any]) -> str:
    if bool(raw.get("harness")) != bool(raw.get("symbols")):
        return "harness and symbols need each other"
    if not raw.get("harness"):
        return ""
    if nameless := [each for each in raw["symbols"] if not _NAME.search(each)]:
        return f"symbols: {nameless[0]!r} names no function"
    outputs = {tuple(test["stdout"].split()) for test in raw.get("tests", ())}
    if not (raw.get("inputs") or raw.get("generator")) and len(outputs) < 2:
        return (
            "a harness needs tests with different outputs: it shares a process with the function that it "
            "calls, and so must print results, never a verdict"
        )
    return ""


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")
