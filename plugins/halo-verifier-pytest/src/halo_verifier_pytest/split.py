"""Tests in a process separate from the sample's; their calls to the sample pass through this process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, lru_cache
from types import TracebackType
from typing import Any

from halo_core import sandbox
from halo_core.sandbox import Answer, Limits, Outcome
from halo_core.sandbox.calls import Function
from halo_core.sandbox.service import Reply, Service
from halo_core.types import Stage, Status, Verdict
from halo_verifier_pytest import assert_runner
from halo_verifier_pytest.functions import (
    Settings,
    describe_error,
    parse_request,
    runner_source,
    startup_rejection,
)
from halo_verifier_pytest.results import (
    Cost,
    Test,
    describe_exit,
    rejection,
    shorten,
    solution_passed,
    verdict,
)
from halo_verifier_pytest.tasks import Task


@cache
def service(target: str, limits: Limits, *preload: str) -> Service:
    """Return the service for `target` within `limits`, with twice the wall time that `limits` give a sample."""
    return Service(target, limits=replace(limits, wall_seconds=2 * limits.wall), fresh=True, preload=preload)


class Sample:
    """Program under test, with a record of the calls and results that the tests in another process sent."""

    def __init__(self, task: Task, candidates: Sequence[str], settings: Settings) -> None:
        self._task, self._candidates, self._settings = task, candidates, settings
        self._open = ExitStack()
        self._function: Function
        self._answers: list[Answer | None] = []
        self.fresh = False
        """True until the first test begins."""
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        """Calls by the tests: function, arguments, keyword arguments."""
        self.answered = False
        """True if any call raised or returned a value other than None."""
        self.errors: dict[int, Answer] = {}
        """Last exception that a call raised, by test number."""
        self.results: dict[int, tuple[str, str]] = {}
        """Outcome and detail, by test number."""
        self.setup: tuple[str, str] | None = None
        """Outcome and detail of a failure before the first test."""
        self._test = -1

    def start(self) -> bool:
        """Start the sample's process, ending any earlier one; return True if the program could be executed."""
        self._open.close()
        lent = sandbox.get().function(
            runner_source(), "serve", limits=self._settings.limits, paths=self._settings.paths
        )
        self._function = self._open.enter_context(lent)
        self._answers = [self._function(*parse_request(self._task, self._candidates, self._settings))]
        self._answers.append(self._function("execute", self._settings.seconds))
        self.fresh, self.calls, self.answered, self.setup = True, [], False, None
        self.errors, self.results = {}, {}
        executed = self._answers[1]
        return executed is not None and executed.error is None

    def answer(self, question: object) -> object:
        """Answer a request or record a report from the tests' process."""
        match question:
            case ("begin", int(number)):
                if number == -1 and not self.fresh:
                    self.start()
                self._test, self.fresh = number, False
            case ("result", int(number), str(outcome), str(detail)):
                self.results[number] = outcome, detail
            case ("setup", str(outcome), str(detail)):
                self.setup = outcome, detail
            case ("call", str(name), tuple(args), dict(kwargs)):
                return self._call(name, args, kwargs)
        return None

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        self.calls.append((name, args, kwargs))
        answer = self._function("call", name, args, kwargs, self._settings.seconds, True)
        if answer is None:
            return ("gone",)
        if answer.error is not None:
            self.errors[self._test], self.answered = answer, True
            return "raised", answer.error, answer.message
        match answer.value:
            case ("value" | "iterator", value):
                self.answered = self.answered or value is not None
                return answer.value
        return ("gone",)

    def rejection(self) -> Verdict | None:
        """End the process; return the verdict if the program could not be executed, else None."""
        self._open.close()
        cost = Cost.of(self.outcome)
        return startup_rejection(self._answers, self.outcome, self.tampered, self._settings, cost)

    def close(self) -> Outcome:
        """End the process and return its outcome."""
        self._open.close()
        return self._function.outcome

    @property
    def outcome(self) -> Outcome:
        """Outcome of the process; available after it is closed."""
        return self._function.outcome

    @property
    def tampered(self) -> bool:
        """True if the process broke the protocol."""
        return self._function.tampered

    def __enter__(self) -> Sample:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def judge(task: Task, candidates: Sequence[str], settings: Settings) -> Verdict:
    """Judge a program by the task's asserts."""
    names = ["check"] if task.check else [f"test {number + 1}" for number in range(len(task.asserts))]
    return judge_by(_assert_service(settings), _arguments(task), names, task, candidates, settings)


@lru_cache(maxsize=4096)
def can_be_split(task: Task, settings: Settings) -> bool:
    """Return True if the task's solution passes the asserts by value, or if the task has no solution."""
    return not task.solution or solution_passed(judge(task, [task.solution], settings))


def judge_by(
    tests: Service,
    arguments: Sequence[object],
    names: Sequence[str],
    task: Task,
    candidates: Sequence[str],
    settings: Settings,
) -> Verdict:
    """Judge a program by the results that `tests`, called with `arguments`, reports for the tests `names`."""
    with Sample(task, candidates, settings) as sample:
        if not sample.start():
            rejected = sample.rejection()
            return rejected or rejection(Stage.CRASHED, "cannot be executed", Cost.of(sample.outcome))
        reply = tests.call(*arguments, answer=sample.answer)
        sample.close()
        return conclude(sample, reply, names, settings)


def calls_of(task: Task, settings: Settings) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Return the calls that the task's asserts make to its solution; empty if it cannot be executed."""
    with Sample(task, [task.solution], settings) as sample:
        if sample.start():
            _assert_service(settings).call(*_arguments(task), answer=sample.answer)
        return sample.calls


def _assert_service(settings: Settings) -> Service:
    return service("halo_verifier_pytest.assert_runner:run", settings.limits)


def _arguments(task: Task) -> tuple[object, ...]:
    return task.context, task.setup, list(task.asserts), list(task.entries), task.check


def conclude(sample: Sample, reply: Reply, names: Sequence[str], settings: Settings) -> Verdict:
    """Return the verdict on a sample from the results that the tests' process reported."""
    cost = Cost.of(sample.outcome)
    cost = replace(
        cost,
        cpu_seconds=cost.cpu_seconds + reply.cpu_seconds,
        inconclusive=cost.inconclusive or reply.inconclusive,
    )
    unusable = [detail for outcome, detail in sample.results.values() if outcome == assert_runner.UNUSABLE]
    if sample.setup and sample.setup[0] != assert_runner.GONE:
        if sample.calls:
            stage = Stage.CRASHED if sample.errors else Stage.WRONG
            return rejection(stage, f"before the first test: {shorten(sample.setup[1])}", cost)
        unusable.append(sample.setup[1])
    if reply.error:
        unusable.append(f"{reply.error}: {reply.message}")
    if not unusable and not sample.calls and not reply.limit and not cost.inconclusive:
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
