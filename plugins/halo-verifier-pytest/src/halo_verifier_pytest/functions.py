"""Tests by value: the program runs in its own process, and this process compares its answers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from halo_core import sandbox
from halo_core.sandbox import Answer, Calls, Limits, Outcome
from halo_core.types import Stage, Verdict
from halo_verifier_pytest import sample_runner
from halo_verifier_pytest.class_names import names_of
from halo_verifier_pytest.compare import same
from halo_verifier_pytest.results import Cost, Test, describe_exit, quote, rejection, shorten, verdict
from halo_verifier_pytest.tasks import Case, Task


@dataclass(frozen=True, slots=True)
class Settings:
    """Conditions under which a program is judged, derived from the verifier's options."""

    seconds: float
    """CPU seconds for one test."""
    limits: Limits
    """Limits of the sample's process in total."""
    paths: tuple[str, ...]
    forbidden: tuple[str, ...]
    partial: bool


RUNNER = "serve_remote"
"""Function in the sample's process that serves requests."""


@cache
def runner_source() -> str:
    """Return the code for the sample's process, which is executed before any sample arrives."""
    names = ("class_names", "containers", "crossing", "sample_runner", "remote_runner")
    texts = [Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8") for name in names]
    return "".join(
        f"exec(compile({text!r}, '<sample_runner>', 'exec', dont_inherit=True, optimize=2))\n"
        for text in texts
    )


def judge(task: Task, candidates: Sequence[str], settings: Settings) -> Verdict:
    """Judge a program by the task's cases."""
    calls: list[tuple[object, ...]] = [
        parse_request(task, candidates, settings),
        ("execute", settings.seconds),
    ]
    calls += [("call", case.name, case.args, dict(case.kwargs), settings.seconds) for case in task.cases]
    done = call(calls, settings)
    cost = Cost.of(done.outcome)
    if rejected := startup_rejection(done.answers[:2], done.outcome, done.tampered, settings, cost):
        return rejected
    tests = [_test(number, case, done, task, settings) for number, case in enumerate(task.cases)]
    return verdict(tests, cost, partial=settings.partial)


def call(requests: Sequence[tuple[object, ...]], settings: Settings) -> Calls:
    """Send `requests` to a sample's process and return its answers."""
    return sandbox.get().call(
        runner_source(), RUNNER, requests, limits=settings.limits, paths=settings.paths, trusted=True
    )


def parse_request(task: Task, candidates: Sequence[str], settings: Settings) -> tuple[object, ...]:
    """Return the first request to the sample's process, which parses the program."""
    return "parse", list(candidates), list(task.names), list(settings.forbidden)


def startup_rejection(
    answers: Sequence[Answer | None], outcome: Outcome, tampered: bool, settings: Settings, cost: Cost
) -> Verdict | None:
    """Return the verdict on a program that could not be executed, from the answers to `parse` and `execute`.

    Return None if it was executed.
    """
    parsed, executed = (*answers, None, None)[:2]
    if tampered:
        return rejection(Stage.CRASHED, "broke the protocol or exceeded the output limit", cost)
    if parsed is None:
        return rejection(Stage.INVALID, f"cannot be parsed: {describe_exit(outcome, settings.seconds)}", cost)
    match parsed.value:
        case (sample_runner.PARSED, _):
            pass
        case (sample_runner.FLAWED, str(problem)):
            return rejection(Stage.FLAWED, problem, cost)
        case (_, str(problem)):
            return rejection(Stage.INVALID, problem, cost)
        case _:
            return rejection(Stage.INVALID, f"cannot be parsed: {parsed.error}", cost)
    if executed is None:
        end = describe_exit(outcome, settings.seconds)
        return rejection(Stage.CRASHED, f"execution failed: {end}", cost)
    if executed.error is not None:
        return rejection(Stage.CRASHED, f"execution failed: {describe_error(executed)}", cost)
    return None


def describe_error(answer: Answer) -> str:
    """Return the name and message of the exception that a call raised."""
    return shorten(f"{answer.error}: {answer.message}" if answer.message else str(answer.error))


def unwrap(answer: Answer) -> Answer:
    """Return the answer to a call: its result, or its exception with the names of its classes as the value."""
    match answer.value:
        case ("value", value):
            return Answer(value, None, "")
        case ("raised", [str(name), *_] as names, str(text)):
            return Answer(names, name.rpartition(".")[2], text)
    return Answer(None, answer.error or "NoAnswer", answer.message)


def is_error(names: Sequence[str], expected: str) -> bool:
    """Return True if an exception whose classes are `names` is an instance of `expected`.

    A name of Python's own exceptions means just that class; any other name means a class of the program.
    """
    module, _, name = expected.rpartition(".")
    if not module or module.partition(".")[0] in sys.stdlib_module_names:
        try:
            kind = getattr(importlib.import_module(module or "builtins"), name)
        except (ImportError, AttributeError):
            kind = None
        if isinstance(kind, type):
            return names_of(kind)[0] in names
    return any(each.rpartition(".")[2] == name for each in names)


def _test(number: int, case: Case, done: Calls, task: Task, settings: Settings) -> Test:
    name = f"test {number + 1}"
    answer = done.answers[number + 2] if number + 2 < len(done.answers) else None
    if answer is None:
        return Test(name, Stage.CRASHED, describe_exit(done.outcome, settings.seconds))
    answer = unwrap(answer)
    if not done.outcome.ok and len(done.answers) == len(task.cases) + 2:
        return Test(name, Stage.CRASHED, f"answered, but {describe_exit(done.outcome, settings.seconds)}")
    if answer.error == "NotPlainError":
        return Test(name, Stage.WRONG, f"returned a value that is not plain data: {shorten(answer.message)}")
    if case.raises:
        if answer.error is None:
            detail = f"expected {case.raises}, got {quote(answer.value)}"
            return Test(name, Stage.WRONG, detail, answered=answer.value is not None)
        stage = Stage.CORRECT if _raised(answer, case.raises) else Stage.CRASHED
        return Test(name, stage, "ok" if stage is Stage.CORRECT else f"raised {describe_error(answer)}")
    if answer.error is not None:
        return Test(name, Stage.CRASHED, f"raised {describe_error(answer)}")
    if same(answer.value, case.expected, rtol=task.rtol, atol=task.atol, signed_zero=task.signed_zero):
        return Test(name, Stage.CORRECT, "ok")
    detail = f"expected {quote(case.expected)}, got {quote(answer.value)}"
    return Test(name, Stage.WRONG, detail, answered=answer.value is not None or case.expected is None)


def _raised(answer: Answer, expected: str) -> bool:
    return isinstance(answer.value, list) and is_error([str(name) for name in answer.value], expected)
