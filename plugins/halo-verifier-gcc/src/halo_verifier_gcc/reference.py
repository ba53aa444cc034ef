"""A prompt's reference: parsing and validation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError, did_you_mean
from halo_core.programs.reference import TESTS_HINT, Test, read_tests, tests_problem, to_bytes, without_nulls
from halo_core.types import Prompt
from halo_verifier_gcc import forbidden, languages
from halo_verifier_gcc.languages import Language

_TEXTS = ("solution", "generator", "harness")
_LISTS = ("inputs", "symbols", "forbid")
_KEYS = ("tests", "random_tests", "language", "writable", *_TEXTS, *_LISTS)
_NAME = re.compile(r"([A-Za-z_]\w*)\s*(?:\(|$)")
_MAX_RANDOM_TESTS = 1000
_HINT = f"{TESTS_HINT}; the README lists the other keys"


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt's reference. Keys that the prompt leaves out are empty."""

    tests: tuple[Test, ...] = ()
    solution: str = ""
    """A correct program; with a harness, a correct function."""
    inputs: tuple[bytes, ...] = ()
    """Inputs whose expected outputs the solution computes."""
    generator: str = ""
    """A program that reads a seed and prints an input."""
    random_tests: int = 0
    """Number of inputs to generate."""
    forbid: tuple[str, ...] = ()
    """Patterns that the code must not match."""
    harness: str = ""
    """A translation unit with a `main` that reads arguments, calls the functions and prints results."""
    symbols: tuple[str, ...] = ()
    """Declarations or names of the functions that the harness calls."""
    language: Language | None = None
    """The only language of a right answer."""
    writable: bool = False
    """The program may write files in its working directory, which is new for each run."""

    @property
    def tested(self) -> bool:
        """True if there are inputs to run a program on."""
        return bool(self.tests or self.inputs or self.random_tests)

    @property
    def names(self) -> tuple[str, ...]:
        """The bare names of `symbols`."""
        return tuple(found[1] for each in self.symbols if (found := _NAME.search(each)))

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that a completion must define."""
        return self.names or ("main",)


def read(prompt: Prompt) -> Reference:
    """Return the prompt's reference. Raises a `DataError` if it is invalid.

    A column `language` of the data names the language like a key of the reference, unless it names another one, such
    as the task's natural language. Keys filled in as null, as Parquet does it, are not there.
    """
    raw = without_nulls(prompt.reference)
    if found := _problem(raw):
        raise DataError(f"prompt {prompt.id!r}: {found}", hint=_HINT)
    return Reference(
        tests=read_tests(raw),
        inputs=tuple(to_bytes(each) for each in raw.get("inputs", ())),
        random_tests=raw.get("random_tests", 0),
        forbid=tuple(raw.get("forbid", ())),
        symbols=tuple(raw.get("symbols", ())),
        language=languages.named(raw.get("language", prompt.meta.get("language"))),
        writable=raw.get("writable", False),
        **{key: raw.get(key, "") for key in _TEXTS},
    )


def _problem(raw: Mapping[str, Any]) -> str:
    for key, value in raw.items():
        if key not in _KEYS:
            return f"unknown key {key!r} in reference; {did_you_mean(str(key), _KEYS)}"
        if key in _TEXTS and not (isinstance(value, str) and value.strip()):
            return f"{key} must be the text of a program"
        if key in _LISTS and not (isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)):
            return f"{key} must be a list of strings"
    if "language" in raw and not languages.named(raw["language"]):
        return f"language must be 'c' or 'c++', not {raw['language']!r}"
    if not isinstance(raw.get("writable", False), bool):
        return "writable must be true or false"
    return tests_problem(raw) or _forbid_problem(raw) or _oracle_problem(raw) or _function_problem(raw)


def _forbid_problem(raw: Mapping[str, Any]) -> str:
    for pattern in raw.get("forbid", ()):
        if reason := forbidden.problem(pattern):
            return f"forbid: {pattern!r} is not a valid pattern: {reason}"
    return ""


def _oracle_problem(raw: Mapping[str, Any]) -> str:
    number = raw.get("random_tests", 0)
    if type(number) is not int or not 0 <= number <= _MAX_RANDOM_TESTS:
        return f"random_tests must be an integer from 0 to {_MAX_RANDOM_TESTS}"
    if bool(raw.get("generator")) != bool(number):
        return "generator and random_tests need each other"
    if (raw.get("inputs") or number) and not raw.get("solution"):
        return "inputs without outputs need a solution that computes them"
    return ""


def _function_problem(raw: Mapping[str, Any]) -> str:
    if bool(raw.get("harness")) != bool(raw.get("symbols")):
        return "harness and symbols need each other"
    if not raw.get("harness"):
        return ""
    if nameless := [each for each in raw["symbols"] if not _NAME.search(each)]:
        return f"symbols: {nameless[0]!r} does not name a function"
    outputs = {tuple(test["stdout"].split()) for test in raw.get("tests", ())}
    if not (raw.get("inputs") or raw.get("generator")) and len(outputs) < 2:
        return (
            "a harness needs tests with different outputs: it shares a process with the functions that it "
            "calls, and so must print results, never a verdict"
        )
    return ""
