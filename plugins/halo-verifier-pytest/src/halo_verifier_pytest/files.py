"""Tests in pytest files: split from the sample if possible, else in one process with it."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from halo_core.errors import VerifierError
from halo_core.sandbox.service import Reply
from halo_core.types import Stage, Verdict
from halo_verifier_pytest import file_runner, sample_runner, split
from halo_verifier_pytest.assert_runner import PASSED
from halo_verifier_pytest.functions import Settings
from halo_verifier_pytest.results import Cost, Test, rejection, shorten, verdict
from halo_verifier_pytest.tasks import Task

Isolation = Literal["auto", "split", "shared"]
SHARED = "shared-process"

_TARGET = "halo_verifier_pytest.file_runner:serve"
_PRELOAD = "halo_verifier_pytest.pytest_session"

_ASYNCIO = re.compile(r"^\s*(?:import|from) asyncio\b", re.MULTILINE)


@dataclass(frozen=True)
class Plan:
    """How to run the test files of one prompt."""

    ids: tuple[str, ...]
    """Node ids of all tests, determined before any sample is loaded."""
    split: bool
    """True if sample and tests run in separate processes and exchange values only."""


def judge(task: Task, candidates: Sequence[str], settings: Settings, isolation: Isolation) -> Verdict:
    """Judge a program by the task's files; raise a `VerifierError` if the files cannot be used."""
    plan = make_plan(task, settings, isolation)
    run = _split if plan.split else _shared
    return run(task, candidates, settings, plan.ids)


@functools.lru_cache(maxsize=4096)
def make_plan(task: Task, settings: Settings, isolation: Isolation) -> Plan:
    """Collect the tests and choose their isolation.

    `auto` splits if the solution passes that way. Without a solution it splits if the tests use asyncio, which a sample
    in the tests' process cannot import.
    """
    solution = [task.solution] if task.solution else []
    arguments = ("collect", dict(task.files), task.module, solution, list(task.names), task.imports)
    reply = split.service(_TARGET, settings.limits, _PRELOAD).call(*arguments)
    if not reply.ok or not isinstance(reply.value, list):
        raise VerifierError(
            f"the test files cannot be collected: {reply.error or reply.limit}: {reply.message}"
        )
    if not reply.value:
        raise VerifierError("the test files contain no test")
    ids = tuple(map(str, reply.value))
    if isolation != "auto":
        return Plan(ids, isolation == "split")
    if not solution:
        return Plan(ids, any(_ASYNCIO.search(text) for _, text in task.files))
    return Plan(ids, split.passes(lambda: _split(task, solution, settings, ids)))


def _split(task: Task, candidates: Sequence[str], settings: Settings, ids: Sequence[str]) -> Verdict:
    service = split.service(_TARGET, settings.limits, _PRELOAD)
    return split.judge_by(service, task, candidates, settings, tuple(ids))


def _shared(task: Task, candidates: Sequence[str], settings: Settings, ids: Sequence[str]) -> Verdict:
    reports = _Reports(secrets.token_bytes(32))
    program = (list(candidates), list(task.names), list(settings.forbidden))
    arguments = ("shared", dict(task.files), task.module, *program, task.imports, list(ids), settings.seconds)
    service = split.service(_TARGET, settings.limits, _PRELOAD)
    reply = service.call(*arguments, reports.key, answer=reports.receive)
    cost = Cost(reply.cpu_seconds, reply.wall_seconds, reply.tier, SHARED, reply.inconclusive)
    if reports.forged or reply.error == "Tampering":
        return rejection(Stage.CRASHED, "broke the protocol", cost)
    end = _describe_end(reply)
    outcome, detail = reports.received.get("parsed", (sample_runner.INVALID, f"cannot be parsed: {end}"))
    if outcome != sample_runner.PARSED:
        stage = Stage.FLAWED if outcome == sample_runner.FLAWED else Stage.INVALID
        return rejection(stage, shorten(detail), cost)
    for step, activity in (("executed", "execution"), ("collected", "collection")):
        outcome, detail = reports.received.get(step, (file_runner.RAISED, end))
        if outcome != PASSED:
            return rejection(Stage.CRASHED, f"{activity} failed: {shorten(detail)}", cost)
    missing = any(number not in reports.received for number in range(len(ids)))
    if not missing and not reply.ok:
        return rejection(Stage.CRASHED, f"finished the tests, but {end}", cost)
    lost = (file_runner.RAISED, end)
    tests = [_test(name, *reports.received.get(number, lost)) for number, name in enumerate(ids)]
    return verdict(tests, cost, partial=settings.partial)


def _test(name: str, outcome: str, detail: str) -> Test:
    stage = {PASSED: Stage.CORRECT, file_runner.RAISED: Stage.CRASHED}.get(outcome, Stage.WRONG)
    return Test(name, stage, "ok" if stage is Stage.CORRECT else shorten(detail))


def _describe_end(reply: Reply) -> str:
    if reply.limit:
        return f"exceeded the {reply.limit} limit"
    return reply.message or "ended without a result"


class _Reports:
    """Reports from a process that tests and sample share; only reports with a valid seal are accepted."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.forged = False
        self.received: dict[int | str, tuple[str, str]] = {}
        """Outcome and detail of each step, by name, and of each test, by number."""

    def receive(self, question: object) -> None:
        """Record one report, or that it is forged."""
        match question:
            case ("sealed", int(what) | str(what), str(outcome), str(detail), bytes(seal)):
                if not secrets.compare_digest(seal, file_runner.seal(self.key, what, outcome)):
                    self.forged = True
                if what == "parsed":  # first report of a process; sent again if the call is retried
                    self.received.clear()
                self.received.setdefault(what, (outcome, detail))
            case _:
                self.forged = True
