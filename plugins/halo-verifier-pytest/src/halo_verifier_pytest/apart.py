"""A sample in a process of its own, and tests in another that call it through this one."""

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
from halo_verifier_pytest import asserting
from halo_verifier_pytest.functions import Terms, guest_source, opening, raised, refusal
from halo_verifier_pytest.results import Cost, Test, cut, ending, rejected, settled, verdict
from halo_verifier_pytest.tasks import Task


@cache
def service(target: str, limits: Limits, *preload: str) -> Service:
    """Return the service for `target` within `limits`; its processes wait twice as long as samples may take."""
    return Service(target, limits=replace(limits, wall_seconds=2 * limits.wall), fresh=True, preload=preload)


class Sample:
    """A program under test, and what the tests in another process asked of it and said about it."""

    def __init__(self, task: Task, readings: Sequence[str], terms: Terms) -> None:
        self._task, self._readings, self._terms = task, readings, terms
        self._open = ExitStack()
        self._function: Function
        self._answers: list[Answer | None] = []
        self.fresh = False
        """Whether no test has called it yet."""
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        """What the tests called: function, arguments, keyword arguments."""
        self.answered = False
        """Whether any call gave anything but None."""
        self.errors: dict[int, Answer] = {}
        """By number of the test, the last exception that a call raised."""
        self.results: dict[int, tuple[str, str]] = {}
        """By number of the test, what came of it and the detail."""
        self.setup: tuple[str, str] | None = None
        """What went wrong before the first test."""
        self._test = -1

    def start(self) -> bool:
        """Start the sample's process, anew if there is one; return whether the program could be executed."""
        self._open.close()
        lent = sandbox.get().function(
            guest_source(), "serve", limits=self._terms.limits, paths=self._terms.paths
        )
        self._function = self._open.enter_context(lent)
        self._answers = [self._function(*opening(self._task, self._readings, self._terms))]
        self._answers.append(self._function("execute", self._terms.seconds))
        self.fresh, self.calls, self.answered, self.setup = True, [], False, None
        self.errors, self.results = {}, {}
        executed = self._answers[1]
        return executed is not None and executed.error is None

    def answer(self, question: object) -> object:
        """Answer what the tests ask."""
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
        answer = self._function("call", name, args, kwargs, self._terms.seconds, True)
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

    def refusal(self) -> Verdict | None:
        """Return the verdict if the program could not be executed. Ends the process."""
        self._open.close()
        return refusal(self._answers, self.outcome, self.tampered, self._terms, Cost.of(self.outcome))

    def close(self) -> Outcome:
        """End the process and say how it ended."""
        self._open.close()
        return self._function.outcome

    @property
    def outcome(self) -> Outcome:
        """How the process ended; there once it is closed."""
        return self._function.outcome

    @property
    def tampered(self) -> bool:
        """Whether the process spoke out of turn."""
        return self._function.tampered

    def __enter__(self) -> Sample:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def judge(task: Task, readings: Sequence[str], terms: Terms) -> Verdict:
    """Judge a program by the task's asserts."""
    names = ["check"] if task.check else [f"test {number + 1}" for number in range(len(task.asserts))]
    return judge_by(_asserting(terms), _arguments(task), names, task, readings, terms)


@lru_cache(maxsize=4096)
def suits(task: Task, terms: Terms) -> bool:
    """Whether nothing but values need pass between the asserts and a program, as the solution shows if there is one."""
    return not task.solution or settled(judge(task, [task.solution], terms))


def judge_by(
    tests: Service,
    arguments: Sequence[object],
    names: Sequence[str],
    task: Task,
    readings: Sequence[str],
    terms: Terms,
) -> Verdict:
    """Judge a program by what `tests`, called with `arguments`, say about each of the tests called `names`."""
    with Sample(task, readings, terms) as sample:
        if not sample.start():
            refused = sample.refusal()
            return refused or rejected(Stage.CRASHED, "cannot be executed", Cost.of(sample.outcome))
        reply = tests.call(*arguments, answer=sample.answer)
        sample.close()
        return conclude(sample, reply, names, terms)


def calls_of(task: Task, terms: Terms) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Return the calls that the task's asserts make of its solution; none if that cannot be executed."""
    with Sample(task, [task.solution], terms) as sample:
        if sample.start():
            _asserting(terms).call(*_arguments(task), answer=sample.answer)
        return sample.calls


def _asserting(terms: Terms) -> Service:
    return service("halo_verifier_pytest.asserting:run", terms.limits)


def _arguments(task: Task) -> tuple[object, ...]:
    return task.context, task.setup, list(task.asserts), list(task.entries), task.check


def conclude(sample: Sample, reply: Reply, names: Sequence[str], terms: Terms) -> Verdict:
    """Return the verdict from what tests in a process of their own said about a sample."""
    cost = Cost.of(sample.outcome)
    cost = replace(
        cost,
        cpu_seconds=cost.cpu_seconds + reply.cpu_seconds,
        inconclusive=cost.inconclusive or reply.inconclusive,
    )
    unusable = [detail for outcome, detail in sample.results.values() if outcome == asserting.UNUSABLE]
    if sample.setup and sample.setup[0] != asserting.GONE:
        if sample.calls:
            stage = Stage.CRASHED if sample.errors else Stage.WRONG
            return rejected(stage, f"before the first test: {cut(sample.setup[1])}", cost)
        unusable.append(sample.setup[1])
    if reply.error:
        unusable.append(f"{reply.error}: {reply.message}")
    if not unusable and not sample.calls and not reply.limit and not cost.inconclusive:
        unusable.append("the tests never call the program")
    if unusable:
        return Verdict(Status.ERROR, Stage.INVALID, detail=f"the tests cannot be used: {unusable[0]}")
    if sample.tampered:
        end = "the program spoke out of turn, or gave more than it may"
        return verdict([Test(name, Stage.CRASHED, end) for name in names], cost, partial=terms.partial)
    survived = all(n in sample.results and sample.results[n][0] != asserting.GONE for n in range(len(names)))
    if survived and not sample.outcome.ok:
        end = f"answered, but {ending(sample.outcome, terms.seconds)}"
        return verdict([Test(name, Stage.CRASHED, end) for name in names], cost, partial=terms.partial)
    tests = [_test(number, name, sample, reply, terms) for number, name in enumerate(names)]
    return verdict(tests, cost, partial=terms.partial)


def _test(number: int, name: str, sample: Sample, reply: Reply, terms: Terms) -> Test:
    outcome, detail = sample.results.get(number, (asserting.GONE, ""))
    if outcome == asserting.GONE:
        end = f"ran into the {reply.limit} limit" if reply.limit else ending(sample.outcome, terms.seconds)
        return Test(name, Stage.CRASHED, end)
    if outcome == asserting.PASSED:
        return Test(name, Stage.CORRECT, "ok")
    error = sample.errors.get(number)
    if error is not None and error.error != "NotPlainError":
        return Test(name, Stage.CRASHED, f"raised {raised(error)}")
    return Test(name, Stage.WRONG, cut(detail), answered=sample.answered)
