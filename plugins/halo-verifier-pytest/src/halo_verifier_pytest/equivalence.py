"""Equivalence of a solution's mutants, tested by calls with the tests' arguments and similar arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.sandbox import Answer
from halo_verifier_pytest import split
from halo_verifier_pytest.compare import same
from halo_verifier_pytest.functions import Settings, call, parse_request, unwrap
from halo_verifier_pytest.mutants import mutate
from halo_verifier_pytest.tasks import Task

MAX_MUTANTS = 12
"""Maximum mutants per prompt."""
_CANDIDATES = 4 * MAX_MUTANTS
_PROBES = 48
_RETURNS_NONE = "return None"

Call = tuple[str, tuple[Any, ...], Mapping[str, Any]]


def non_equivalent_mutants(task: Task, settings: Settings) -> list[str]:
    """Return up to `MAX_MUTANTS` mutants of the task's solution whose result differs for some arguments.

    If no arguments are known, because the tests import the program, return only mutants that return None.
    """
    if not task.solution:
        return []
    texts = mutate(task.solution, _CANDIDATES)
    probes = list(_probes(task, settings))
    if not probes:
        returns = task.solution.count(_RETURNS_NONE)
        return [text for text in texts if text.count(_RETURNS_NONE) > returns][:MAX_MUTANTS]
    correct = _answers(task.solution, task, probes, settings)
    kept = [text for text in texts if _differ(correct, _answers(text, task, probes, settings), task)]
    if len(kept) <= MAX_MUTANTS:
        return kept
    return [kept[n * len(kept) // MAX_MUTANTS] for n in range(MAX_MUTANTS)]


def _probes(task: Task, settings: Settings) -> Iterator[Call]:
    """Yield the calls that the tests make, then calls with slightly changed arguments."""
    calls: list[Call] = [(case.name, case.args, case.kwargs) for case in task.cases]
    calls += split.calls_of(task, settings) if task.kind == "asserts" else []
    calls = calls[: _PROBES // 2]
    yield from calls
    numbers = _numbers(task.solution)
    others = ((name, changed, kwargs) for name, args, kwargs in calls for changed in _changed(args, numbers))
    yield from (call for call, _ in zip(others, range(_PROBES - len(calls)), strict=False))


def _numbers(program: str) -> list[int]:
    """Return small integers that a program contains: its behaviour is likely to change near them."""
    nodes = (node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant))
    return sorted({value for value in nodes if type(value) is int and abs(value) < 1000})[:8]


def _changed(args: tuple[Any, ...], numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    for index, value in enumerate(args):
        for other in _similar(value, numbers):
            yield (*args[:index], other, *args[index + 1 :])


def _similar(value: Any, numbers: Sequence[int]) -> Iterator[Any]:
    """Yield values of the same type as `value` that are similar to it or built from `numbers`."""
    if type(value) is bool:
        yield not value
    elif type(value) in (int, float):
        yield from (value + 1, value - 1, *(type(value)(number) for number in numbers))
    elif type(value) in (str, list, tuple):
        yield from (value[::-1], value[1:], value + value[:1])
        if type(value) is list and value and type(value[0]) is int:
            yield from ([number, *value[1:]] for number in numbers)


def _answers(program: str, task: Task, calls: Sequence[Call], settings: Settings) -> tuple[Answer, ...]:
    requests: list[tuple[object, ...]] = [
        parse_request(task, [program], settings),
        ("execute", settings.seconds),
    ]
    requests += [("call", name, args, dict(kwargs), settings.seconds) for name, args, kwargs in calls]
    done = call(requests, settings)
    return tuple(map(unwrap, done.answers[2:]))


def _differ(correct: Sequence[Answer], other: Sequence[Answer], task: Task) -> bool:
    """Return True if `other` differs from `correct` for some call to which the solution returned a value."""
    for number, answer in enumerate(correct):
        if answer.error is None and number >= len(other):
            return True
        if answer.error is None and (
            other[number].error is not None
            or not same(
                other[number].value,
                answer.value,
                rtol=task.rtol,
                atol=task.atol,
                signed_zero=task.signed_zero,
            )
        ):
            return True
    return False
