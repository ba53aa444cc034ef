"""Tests in a process separate from the sample's; their calls to the sample pass through this process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from halo_core.sandbox import Limits, NotPlainError, values
from halo_core.sandbox.service import Reply, Service
from halo_core.types import Stage, Status, Verdict
from halo_verifier_pytest import assert_runner
from halo_verifier_pytest.containers import ForgedError
from halo_verifier_pytest.crossing import Crossing
from halo_verifier_pytest.functions import Settings, describe_error
from halo_verifier_pytest.results import (
    Cost,
    NotByValueTestsError,
    Test,
    describe_exit,
    rejection,
    shorten,
    solution_passed,
    verdict,
)
from halo_verifier_pytest.sample import Sample
from halo_verifier_pytest.tasks import Task


@cache
def service(target: str, limits: Limits, *preload: str) -> Service:
    """Return the service for `target` within `limits`, with twice the wall time that `limits` give a sample."""
    return Service(target, limits=replace(limits, wall_seconds=2 * limits.wall), fresh=True, preload=preload)


def judge(task: Task, candidates: Sequence[str], settings: Settings) -> Verdict:
    """Judge a program by the task's asserts."""
    return judge_by(_assert_service(settings), task, candidates, settings, _names(task))


def passes(judge_solution: Callable[[], Verdict]) -> bool:
    """Return True if the verdict on a solution is a pass, False if its tests need more than what can cross."""
    try:
        return solution_passed(judge_solution())
    except NotByValueTestsError:
        return False


_must_share: set[tuple[Task, Settings]] = set()
"""Tasks without a solution whose tests cannot be split from the program."""


@lru_cache(maxsize=4096)
def _solution_can_be_split(task: Task, settings: Settings) -> bool:
    return passes(lambda: judge(task, [task.solution], settings))


def can_be_split(task: Task, settings: Settings) -> bool:
    """Return True if the task's solution passes the asserts from another process, or if none shows otherwise."""
    if task.solution:
        return _solution_can_be_split(task, settings)
    return (task, settings) not in _must_share


def must_share(task: Task, settings: Settings) -> None:
    """Record that the task's tests pass something to the program that cannot be sent to another process."""
    _must_share.add((task, settings))


def judge_by(
    tests: Service, task: Task, candidates: Sequence[str], settings: Settings, names: tuple[str, ...]
) -> Verdict:
    """Judge a program by the results that `tests` reports for the tests `names`.

    A program that changes its arguments must also pass with copies of them if the task's solution does: a test may
    compute its expected value from an argument that the program has changed.
    """
    verdict, mutated = _judge_once(tests, task, candidates, settings, names, write_back=True)
    if (
        verdict.status is Status.PASS
        and mutated
        and task.solution
        and _passes_with_copies(tests, task, settings, names)
    ):
        again, _ = _judge_once(tests, task, candidates, settings, names, write_back=False)
        return replace(again, cpu_seconds=again.cpu_seconds + verdict.cpu_seconds)
    return verdict


@lru_cache(maxsize=4096)
def _passes_with_copies(tests: Service, task: Task, settings: Settings, names: tuple[str, ...]) -> bool:
    return passes(lambda: _judge_once(tests, task, [task.solution], settings, names, write_back=False)[0])


def _judge_once(
    tests: Service,
    task: Task,
    candidates: Sequence[str],
    settings: Settings,
    names: Sequence[str],
    *,
    write_back: bool,
) -> tuple[Verdict, bool]:
    """Return the verdict, and True if the program changed an argument."""
    with Sample(task, candidates, settings) as sample:
        if not sample.start():
            rejected = sample.rejection()
            return rejected or rejection(Stage.CRASHED, "cannot be executed", Cost.of(sample.outcome)), False
        reply = tests.call(*_arguments(task, names, write_back=write_back), answer=sample.answer)
        sample.close()
        return conclude(sample, reply, names, settings), sample.mutated


def calls_of(task: Task, settings: Settings) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Return the calls with plain arguments that the asserts make to the solution; empty if it cannot be executed."""
    with Sample(task, [task.solution], settings) as sample:
        if sample.start():
            arguments = _arguments(task, _names(task), write_back=True)
            _assert_service(settings).call(*arguments, answer=sample.answer)
        return list(_plain_calls(sample.calls))


def _plain_calls(calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    reader = Crossing(-1, _refuse)
    for operation, *message in calls:
        try:
            arguments, keywords = reader.unpack(message)
            if operation == "entry":
                values.encode((arguments, keywords))
                name, *others = copy.deepcopy(arguments)
                yield name, tuple(others), copy.deepcopy(keywords)
        except (ForgedError, NotPlainError):
            continue


def _refuse(sort: str, number: int, label: object) -> object:
    raise ForgedError


def _assert_service(settings: Settings) -> Service:
    return service("halo_verifier_pytest.assert_runner:run", settings.limits)


def _names(task: Task) -> tuple[str, ...]:
    return ("check",) if task.check else tuple(f"test {number + 1}" for number in range(len(task.asserts)))


def _arguments(task: Task, names: Sequence[str], *, write_back: bool) -> tuple[object, ...]:
    """Return the arguments for the assert runner or the file runner."""
    fields = ("imports", task.imports), ("fetched", list(task.fetched)), ("classes", list(task.classes))
    more = {**dict(fields), "constants": list(task.constants)}
    if task.kind == "files":
        return "split", dict(task.files), task.module, list(task.entries), list(names), more, write_back
    return task.context, task.setup, list(task.asserts), list(task.entries), task.check, more, write_back


def conclude(sample: Sample, reply: Reply, names: Sequence[str], settings: Settings) -> Verdict:
    """Return the verdict on a sample from the results that the tests' process reported."""
    cost = Cost.of(sample.outcome)
    cost = replace(
        cost,
        integrity="shared-process" if sample.compared else cost.integrity,
        cpu_seconds=cost.cpu_seconds + reply.cpu_seconds,
        inconclusive=cost.inconclusive or reply.inconclusive,
    )
    unusable = [detail for outcome, detail in sample.results.values() if outcome == assert_runner.UNUSABLE]
    if sample.setup and sample.setup[0] == assert_runner.UNUSABLE:
        unusable.append(sample.setup[1])
    if unusable and not cost.inconclusive:
        raise NotByValueTestsError(f"the tests cannot be used: {unusable[0]}")
    if sample.setup and sample.setup[0] != assert_runner.GONE:
        if sample.calls:
            stage = Stage.CRASHED if sample.errors else Stage.WRONG
            return rejection(stage, f"before the first test: {shorten(sample.setup[1])}", cost)
        raise NotByValueTestsError(f"the tests cannot be used: {sample.setup[1]}")
    if reply.error:
        unusable.append(f"{reply.error}: {reply.message}")
    if not unusable and not reply.limit and not cost.inconclusive and _never_called(sample):
        unusable.append("the tests never call the program")
    if unusable:
        return Verdict(Status.ERROR, Stage.INVALID, detail=f"the tests cannot be used: {unusable[0]}")
    if sample.tampered:
        end = "the program broke the protocol or exceeded the output limit"
        return verdict([Test(name, Stage.CRASHED, end) for name in names], cost, partial=settings.partial)
    survived = all(
        n in sample.results and sample.results[n][0] != assert_runner.GONE for n in range(len(names))
    )
    if survived and not sample.outcome.ok:
        end = f"answered, but {describe_exit(sample.outcome, settings.seconds)}"
        return verdict([Test(name, Stage.CRASHED, end) for name in names], cost, partial=settings.partial)
    tests = [_test(number, name, sample, reply, settings) for number, name in enumerate(names)]
    return verdict(tests, cost, partial=settings.partial)


def _never_called(sample: Sample) -> bool:
    """Return True if the tests do not try the program.

    A program is to blame if they look up its function and fail because it is a constant or one of Python's own.
    """
    failed = all(outcome == assert_runner.FAILED for outcome, _ in sample.results.values())
    return not sample.calls and not (sample.found and sample.results and failed)


def _test(number: int, name: str, sample: Sample, reply: Reply, settings: Settings) -> Test:
    outcome, detail = sample.results.get(number, (assert_runner.GONE, ""))
    if outcome == assert_runner.GONE:
        exceeded = f"exceeded the {reply.limit} limit" if reply.limit else ""
        return Test(name, Stage.CRASHED, exceeded or describe_exit(sample.outcome, settings.seconds))
    if outcome == assert_runner.PASSED:
        return Test(name, Stage.CORRECT, "ok")
    error = sample.errors.get(number)
    if error is not None and error.error != "NotPlainError":
        return Test(name, Stage.CRASHED, f"raised {describe_error(error)}")
    return Test(name, Stage.WRONG, shorten(detail), answered=sample.answered)
