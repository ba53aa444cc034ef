"""Tests in a process separate from the sample's; their calls to the sample pass through this process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, lru_cache
from types import TracebackType
from typing import Any

from halo_core import sandbox
from halo_core.sandbox import Answer, Limits, NotPlainError, Outcome, values
from halo_core.sandbox.calls import Function
from halo_core.sandbox.service import Reply, Service
from halo_core.types import Stage, Status, Verdict
from halo_verifier_pytest import assert_runner
from halo_verifier_pytest.crossing import Crossing, ForgedError
from halo_verifier_pytest.functions import (
    LOADER,
    Settings,
    describe_error,
    parse_request,
    startup_rejection,
)
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
        self.calls: list[tuple[Any, ...]] = []
        """Operations that the tests requested, packed; see `crossing`."""
        self.mutated = False
        """True if the program changed an argument."""
        self.compared = False
        """True if objects of the program took part in comparisons or in arithmetic."""
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
            LOADER,
            "serve",
            limits=self._settings.limits,
            paths=self._settings.paths,
        )
        self._function = self._open.enter_context(lent)
        self._answers = [
            self._function(*parse_request(self._task, self._candidates, self._settings, remote=True))
        ]
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
            case ("objects",):
                self.compared = True
            case ("do", str(operation), *message):
                return self._do(operation, message)
            case ("resume", *message):
                return self._reply("resume", self._function("resume", *message))
        return None

    def _do(self, operation: str, message: list[Any]) -> object:
        if operation != "find":
            self.calls.append((operation, *message))
        return self._reply(operation, self._function("do", self._settings.seconds, operation, *message))

    def _reply(self, operation: str, answer: Answer | None) -> object:
        """Return the sample's reply to an operation, to be sent to the tests."""
        if answer is None:
            return ("gone",)
        reply = answer.value
        if answer.error is not None:
            name = answer.error if answer.error == "NotPlainError" else f"builtins.{answer.error}"
            reply = "raised", [name], answer.message, None, [], []
        match reply:
            case ("value", tree, list(heap), _):
                self.answered = self.answered or tree is not None
                self._note_changes(heap)
            case ("raised", [str(name), *_], str(text), _, list(heap), _):
                self.answered = True
                self._note_changes(heap)
                if operation not in ("find", "getattr"):
                    self.errors[self._test] = Answer(None, name.rpartition(".")[2], text)
            case ("back", str(), _, list(heap), _):
                self._note_changes(heap)
            case _:
                return ("gone",)
        return reply

    def _note_changes(self, heap: list[object]) -> None:
        """Record whether containers of the tests, which have positive numbers, were changed."""
        for row in heap:
            match row:
                case (int(number), *_) if number > 0:
                    self.mutated = True

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
