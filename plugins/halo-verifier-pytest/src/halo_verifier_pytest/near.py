"""Which mutants of a solution do something else: found by calling them, with the tests' arguments and others near."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core import sandbox
from halo_core.sandbox import Answer
from halo_verifier_pytest import apart
from halo_verifier_pytest.compare import same
from halo_verifier_pytest.functions import Terms, guest_source, opening
from halo_verifier_pytest.mutants import mutate
from halo_verifier_pytest.tasks import Task

MOST = 12
"""Mutants for each prompt."""
_TRIED = 4 * MOST
_PROBES = 48
_NOTHING = "return None"

Call = tuple[str, tuple[Any, ...], Mapping[str, Any]]


def misses(task: Task, terms: Terms) -> list[str]:
    """Return up to `MOST` mutants of the task's solution that give something else for some arguments.

    Where no arguments are known, because the tests import the program, only those that return nothing.
    """
    if not task.solution:
        return []
    texts = mutate(task.solution, _TRIED)
    probes = list(_probes(task, terms))
    if not probes:
        return [text for text in texts if text.count(_NOTHING) > task.solution.count(_NOTHING)][:MOST]
    right = _answers(task.solution, task, probes, terms)
    kept = [text for text in texts if _differ(right, _answers(text, task, probes, terms), task)]
    return [kept[at * len(kept) // MOST] for at in range(MOST)] if len(kept) > MOST else kept


def _probes(task: Task, terms: Terms) -> Iterator[Call]:
    """Yield the calls that the tests make, then such with slightly other arguments."""
    calls: list[Call] = [(case.name, case.args, case.kwargs) for case in task.cases]
    calls += apart.calls_of(task, terms) if task.kind == "asserts" else []
    calls = calls[: _PROBES // 2]
    yield from calls
    numbers = _numbers(task.solution)
    others = ((name, changed, kwargs) for name, args, kwargs in calls for changed in _changed(args, numbers))
    yield from (call for call, _ in zip(others, range(_PROBES - len(calls)), strict=False))


def _numbers(program: str) -> list[int]:
    """Return the small integers that a program mentions: where it is likely to turn from one thing to another."""
    nodes = (node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant))
    return sorted({value for value in nodes if type(value) is int and abs(value) < 1000})[:8]


def _changed(args: tuple[Any, ...], numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    for at, value in enumerate(args):
        for other in _others(value, numbers):
            yield (*args[:at], other, *args[at + 1 :])


def _others(value: Any, numbers: Sequence[int]) -> Iterator[Any]:
    """Yield values of the same type as `value`, near it or near one of `numbers`."""
    if type(value) is bool:
        yield not value
    elif type(value) in (int, float):
        yield from (value + 1, value - 1, *(type(value)(number) for number in numbers))
    elif type(value) in (str, list, tuple):
        yield from (value[::-1], value[1:], value + value[:1])
        if type(value) is list and value and type(value[0]) is int:
            yield from ([number, *value[1:]] for number in numbers)


def _answers(program: str, task: Task, calls: Sequence[Call], terms: Terms) -> tuple[Answer, ...]:
    requests: list[tuple[object, ...]] = [opening(task, [program], terms), ("execute", terms.seconds)]
    requests += [("call", name, args, dict(kwargs), terms.seconds, False) for name, args, kwargs in calls]
    done = sandbox.get().call(guest_source(), "serve", requests, limits=terms.limits, paths=terms.paths)
    return done.answers[2:]


def _differ(right: Sequence[Answer], other: Sequence[Answer], task: Task) -> bool:
    """Whether the program gives something else wherever the solution gives anything."""
    for number, answer in enumerate(right):
        if answer.error is None and number >= len(other):
            return True
        if answer.error is None and (
            other[number].error is not None
            or not same(other[number].value, answer.value, rtol=task.rtol, atol=task.atol)
        ):
            return True
    return False
