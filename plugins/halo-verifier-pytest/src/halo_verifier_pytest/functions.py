"""Tests by value: the program in a split process, its answers compared in this one."""

from __future__ import annotations

import builtins
import marshal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from halo_core import sandbox
from halo_core.sandbox import Answer, Calls, Limits, Outcome
from halo_core.types import Stage, Verdict
from halo_verifier_pytest import guest
from halo_verifier_pytest.compare import same
from halo_verifier_pytest.results import Cost, Test, cut, ending, rejected, shown, verdict
from halo_verifier_pytest.tasks import Case, Task


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions under which programs are judged: what the verifier's options come to."""

    seconds: float
    """CPU time for one test."""
    limits: Limits
    """For all that the sample's process does."""
    paths: tuple[str, ...]
    forbidden: tuple[str, ...]
    partial: bool


@cache
def guest_source() -> str:
    """Return the code that the sample's process starts with: `guest`, compiled, as compiling it costs a millisecond."""
    text = Path(str(guest.__file__)).read_text(encoding="utf-8")
    code = marshal.dumps(compile(text, "<guest>", "exec", optimize=2))
    return f'import marshal\nexec(marshal.loads(bytes.fromhex("{code.hex()}")))\n'


def judge(task: Task, readings: Sequence[str], terms: Terms) -> Verdict:
    """Judge a program by the task's cases."""
    calls: list[tuple[object, ...]] = [opening(task, readings, terms), ("execute", terms.seconds)]
    calls += [("call", case.name, case.args, dict(case.kwargs), terms.seconds, False) for case in task.cases]
    done = sandbox.get().call(guest_source(), "serve", calls, limits=terms.limits, paths=terms.paths)
    cost = Cost.of(done.outcome)
    if refused := refusal(done.answers[:2], done.outcome, done.tampered, terms, cost):
        return refused
    tests = [_test(number, case, done, task, terms) for number, case in enumerate(task.cases)]
    return verdict(tests, cost, partial=terms.partial)


def opening(task: Task, readings: Sequence[str], terms: Terms) -> tuple[object, ...]:
    """Return the first call to the guest."""
    return "parse", list(readings), list(task.names), list(terms.forbidden)


def refusal(
    answers: Sequence[Answer | None], outcome: Outcome, tampered: bool, terms: Terms, cost: Cost
) -> Verdict | None:
    """Return the verdict on a program that could not be executed, from the answers to `parse` and `execute`."""
    parsed, executed = (*answers, None, None)[:2]
    if tampered:
        return rejected(Stage.CRASHED, "spoke out of turn, or gave more than it may", cost)
    if parsed is None:
        return rejected(Stage.INVALID, f"cannot be parsed: {ending(outcome, terms.seconds)}", cost)
    match parsed.value:
        case (guest.PARSED, _):
            pass
        case (guest.FLAWED, str(problem)):
            return rejected(Stage.FLAWED, problem, cost)
        case (_, str(problem)):
            return rejected(Stage.INVALID, problem, cost)
        case _:
            return rejected(Stage.INVALID, f"cannot be parsed: {parsed.error}", cost)
    if executed is None:
        return rejected(Stage.CRASHED, f"when executed: {ending(outcome, terms.seconds)}", cost)
    if executed.error is not None:
        return rejected(Stage.CRASHED, f"when executed: {raised(executed)}", cost)
    return None


def raised(answer: Answer) -> str:
    """Say what a call raised."""
    return cut(f"{answer.error}: {answer.message}" if answer.message else str(answer.error))


def is_error(name: str | None, expected: str) -> bool:
    """Whether the exception called `name` is one that `expected` names, by the builtin hierarchy."""
    if name == expected:
        return True
    kind, base = (getattr(builtins, each or "", None) for each in (name, expected))
    return isinstance(kind, type) and isinstance(base, type) and issubclass(kind, base)


def _test(number: int, case: Case, done: Calls, task: Task, terms: Terms) -> Test:
    name = f"test {number + 1}"
    answer = done.answers[number + 2] if number + 2 < len(done.answers) else None
    if answer is None:
        return Test(name, Stage.CRASHED, ending(done.outcome, terms.seconds))
    if not done.outcome.ok and len(done.answers) == len(task.cases) + 2:
        return Test(name, Stage.CRASHED, f"answered, but {ending(done.outcome, terms.seconds)}")
    if answer.error == "NotPlainError":
        return Test(name, Stage.WRONG, f"returned what is not plain data: {cut(answer.message)}")
    if case.raises:
        if answer.error is None:
            detail = f"expected {case.raises}, got {shown(answer.value)}"
            return Test(name, Stage.WRONG, detail, answered=answer.value is not None)
        stage = Stage.CORRECT if is_error(answer.error, case.raises) else Stage.CRASHED
        return Test(name, stage, "ok" if stage is Stage.CORRECT else f"raised {raised(answer)}")
    if answer.error is not None:
        return Test(name, Stage.CRASHED, f"raised {raised(answer)}")
    if same(answer.value, case.expected, rtol=task.rtol, atol=task.atol):
        return Test(name, Stage.CORRECT, "ok")
    detail = f"expected {shown(case.expected)}, got {shown(answer.value)}"
    return Test(name, Stage.WRONG, detail, answered=answer.value is not None or case.expected is None)
