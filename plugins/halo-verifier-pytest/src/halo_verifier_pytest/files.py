"""Tests in files of pytest: the sample apart from them where that can be, in one process with them where not."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from halo_core.errors import VerifierError
from halo_core.sandbox.service import Reply
from halo_core.types import Stage, Verdict
from halo_verifier_pytest import apart, guest, running
from halo_verifier_pytest.asserting import PASSED
from halo_verifier_pytest.functions import Terms
from halo_verifier_pytest.results import Cost, Test, cut, rejected, settled, verdict
from halo_verifier_pytest.tasks import Task

Isolation = Literal["auto", "split", "shared"]
SHARED = "shared-process"

_TARGET = "halo_verifier_pytest.running:serve"
_WARM = "halo_verifier_pytest.warm"


@dataclass(frozen=True)
class Plan:
    """How the test files of one prompt are run."""

    ids: tuple[str, ...]
    """Node ids of all tests, known before any sample is there."""
    split: bool
    """Whether only values pass between the sample and the tests."""


def judge(task: Task, readings: Sequence[str], terms: Terms, isolation: Isolation) -> Verdict:
    """Judge a program by the task's files. Raises a `VerifierError` when these cannot be used."""
    plan = make_plan(task, terms, isolation)
    run = _split if plan.split else _shared
    return run(task, readings, terms, plan.ids)


@functools.lru_cache(maxsize=4096)
def make_plan(task: Task, terms: Terms, isolation: Isolation) -> Plan:
    """Find the tests, and settle how they are run: apart if the solution passes that way, or if told to."""
    solution = [task.solution] if task.solution else []
    arguments = ("collect", dict(task.files), task.module, solution, list(task.names))
    reply = apart.service(_TARGET, terms.limits, _WARM).call(*arguments)
    if not reply.ok or not isinstance(reply.value, list):
        raise VerifierError(
            f"the test files cannot be collected: {reply.error or reply.limit}: {reply.message}"
        )
    if not reply.value:
        raise VerifierError("the test files hold no test")
    ids = tuple(map(str, reply.value))
    if isolation != "auto":
        return Plan(ids, isolation == "split")
    return Plan(ids, bool(solution) and settled(_split(task, solution, terms, ids)))


def _split(task: Task, readings: Sequence[str], terms: Terms, ids: Sequence[str]) -> Verdict:
    arguments = ("apart", dict(task.files), task.module, list(task.entries), list(ids))
    service = apart.service(_TARGET, terms.limits, _WARM)
    return apart.judge_by(service, arguments, ids, task, readings, terms)


def _shared(task: Task, readings: Sequence[str], terms: Terms, ids: Sequence[str]) -> Verdict:
    ear = _Ear(secrets.token_bytes(32))
    program = (list(readings), list(task.names), list(terms.forbidden))
    arguments = ("together", dict(task.files), task.module, *program, list(ids), terms.seconds, ear.key)
    reply = apart.service(_TARGET, terms.limits, _WARM).call(*arguments, answer=ear.hear)
    cost = Cost(reply.cpu_seconds, reply.wall_seconds, reply.tier, SHARED, reply.inconclusive)
    if ear.forged or reply.error == "Tampering":
        return rejected(Stage.CRASHED, "spoke out of turn", cost)
    end = _ending(reply)
    outcome, detail = ear.heard.get("parsed", (guest.INVALID, f"cannot be parsed: {end}"))
    if outcome != guest.PARSED:
        return rejected(Stage.FLAWED if outcome == guest.FLAWED else Stage.INVALID, cut(detail), cost)
    for step in ("executed", "collected"):
        outcome, detail = ear.heard.get(step, (running.RAISED, end))
        if outcome != PASSED:
            return rejected(Stage.CRASHED, f"when {step}: {cut(detail)}", cost)
    missing = any(number not in ear.heard for number in range(len(ids)))
    if not missing and not reply.ok:
        return rejected(Stage.CRASHED, f"went through the tests, but {end}", cost)
    tests = [_test(name, *ear.heard.get(number, (running.RAISED, end))) for number, name in enumerate(ids)]
    return verdict(tests, cost, partial=terms.partial)


def _test(name: str, outcome: str, detail: str) -> Test:
    stage = {PASSED: Stage.CORRECT, running.RAISED: Stage.CRASHED}.get(outcome, Stage.WRONG)
    return Test(name, stage, "ok" if stage is Stage.CORRECT else cut(detail))


def _ending(reply: Reply) -> str:
    if reply.limit:
        return f"ran into the {reply.limit} limit"
    return reply.message or "fell silent before the end"


class _Ear:
    """Listens to a process in which tests and sample live together, and believes what bears the seal."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.forged = False
        self.heard: dict[int | str, tuple[str, str]] = {}
        """What came of each step and, by number, of each test; with the detail."""

    def hear(self, question: object) -> None:
        """Take in what is said."""
        match question:
            case ("sealed", int(what) | str(what), str(outcome), str(detail), bytes(seal)):
                if not secrets.compare_digest(seal, running.seal(self.key, what, outcome)):
                    self.forged = True
                if what == "parsed":  # the first word of a process, the second one when it is tried again
                    self.heard.clear()
                self.heard.setdefault(what, (outcome, detail))
            case _:
                self.forged = True
