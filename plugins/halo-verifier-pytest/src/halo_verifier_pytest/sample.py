"""The sample in its own process, and what the tests in another process asked of it and reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from halo_core import sandbox
from halo_core.sandbox import Answer, Outcome
from halo_core.sandbox.calls import Function
from halo_core.types import Verdict
from halo_verifier_pytest.functions import (
    RUNNER,
    Settings,
    parse_request,
    runner_source,
    startup_rejection,
)
from halo_verifier_pytest.results import Cost
from halo_verifier_pytest.tasks import Task


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
        self.found = False
        """True if the tests looked up a name of the program."""
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
            runner_source(),
            RUNNER,
            limits=self._settings.limits,
            paths=self._settings.paths,
            trusted=True,
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
            case ("objects",):
                self.compared = True
            case ("do", str(operation), *message):
                return self._do(operation, message)
            case ("resume", *message):
                return self._reply("resume", self._function("resume", *message))
        return None

    def _do(self, operation: str, message: list[Any]) -> object:
        if operation == "find":
            self.found = True
        else:
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
