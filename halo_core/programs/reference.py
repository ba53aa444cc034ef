"""The tests of a prompt: inputs with their expected outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError, did_you_mean
from halo_core.types import Prompt

TESTS_HINT = 'expected {"tests": [{"stdin": "3 4", "stdout": "7"}, ...]}'


@dataclass(frozen=True, slots=True)
class Test:
    """An input and its expected output."""

    __test__ = False  # keep pytest from collecting this class

    stdin: bytes
    stdout: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt's reference. Keys that the prompt leaves out are empty."""

    tests: tuple[Test, ...] = ()
    solution: str = ""
    """A correct program."""


def read_reference(prompt: Prompt) -> Reference:
    """Return the prompt's reference, with the keys `tests` and `solution`. Raises a `DataError` if it is invalid."""
    raw = without_nulls(prompt.reference)
    unknown = raw.keys() - {"tests", "solution"}
    problem = tests_problem(raw)
    if unknown:
        name = min(unknown)
        problem = f"unknown key {name!r} in reference; {did_you_mean(name, ['tests', 'solution'])}"
    elif "solution" in raw and not (isinstance(raw["solution"], str) and raw["solution"].strip()):
        problem = "solution must be the text of a program"
    if problem:
        raise DataError(f"prompt {prompt.id!r}: {problem}", hint=f'{TESTS_HINT}, and perhaps "solution"')
    return Reference(read_tests(raw), raw.get("solution", ""))


def without_nulls(reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return `reference` without its keys that are null, and those of its tests: Parquet fills in missing keys."""
    raw = _without_nulls(reference)
    if isinstance(tests := raw.get("tests"), list | tuple):
        raw["tests"] = [_without_nulls(test) if isinstance(test, Mapping) else test for test in tests]
    return raw


def tests_problem(raw: Mapping[str, Any]) -> str:
    """Return why the tests in `raw`, a reference without nulls, are invalid; an empty string if they are valid."""
    tests = raw.get("tests", [])
    if not isinstance(tests, list | tuple):
        return "tests must be a list"
    for number, test in enumerate(tests, 1):
        if found := _test_problem(test):
            return f"test {number}: {found}"
    return ""


def read_tests(raw: Mapping[str, Any]) -> tuple[Test, ...]:
    """Return the tests in `raw`, a valid reference without nulls."""
    return tuple(
        Test(to_bytes(test.get("stdin", "")), to_bytes(test["stdout"])) for test in raw.get("tests", ())
    )


def to_bytes(text: str) -> bytes:
    """Return `text` in UTF-8, with `?` for what cannot be encoded."""
    return text.encode(errors="replace")


def _without_nulls(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _test_problem(test: object) -> str:
    if not isinstance(test, Mapping):
        return f"must be a mapping, not {type(test).__name__}"
    for key, value in test.items():
        if key not in ("stdin", "stdout"):
            return f"unknown key {key!r}; {did_you_mean(str(key), ['stdin', 'stdout'])}"
        if not isinstance(value, str):
            return f"{key} must be a string, not {type(value).__name__}"
    if not test.get("stdout", "").split():
        return "expected stdout is missing or empty"
    return ""
