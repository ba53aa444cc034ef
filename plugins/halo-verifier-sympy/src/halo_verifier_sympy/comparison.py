"""Comparison of one answer with a prompt's reference: in this process, and in the sandbox if that does not decide."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.types import Prompt, Stage, Status, Verdict
from halo_verifier_sympy.around import Answer
from halo_verifier_sympy.compare import difference
from halo_verifier_sympy.copies import check_not_copied, text_of
from halo_verifier_sympy.counting import without_counted_noun
from halo_verifier_sympy.criteria import Assume, Criteria
from halo_verifier_sympy.evaluated import check_numbers, check_numeral
from halo_verifier_sympy.fast import FastDecider
from halo_verifier_sympy.forms import check_form
from halo_verifier_sympy.notation import read_answer, read_reference
from halo_verifier_sympy.poly import Undecided
from halo_verifier_sympy.tree import EXPRESSIONS, Refused, Unreadable
from halo_verifier_sympy.words import word_difference

FLAGS = ("ordered", "units", "names", "open_forms")
TOLERANCES = ("rtol", "atol")


class ComparisonStopped(Exception):
    """A comparison in the sandbox that ended without a result."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Timer:
    """Time spent on one completion, in this process and in the sandbox."""

    def __init__(self) -> None:
        self._cpu = time.thread_time()
        self._wall = time.perf_counter()
        self._sandbox_cpu = 0.0
        self._tier = "none"

    def add(self, reply: sandbox.Reply) -> None:
        """Add a sandbox call."""
        self._sandbox_cpu += reply.cpu_seconds
        self._tier = reply.tier

    def verdict(self, status: Status, stage: Stage, detail: str) -> Verdict:
        """Return a verdict with the time elapsed so far."""
        return Verdict(
            status,
            stage,
            score=1.0 if status is Status.PASS else 0.0,
            detail=detail,
            cpu_seconds=time.thread_time() - self._cpu + self._sandbox_cpu,
            wall_seconds=time.perf_counter() - self._wall,
            sandbox=self._tier,
        )


@dataclass(frozen=True)
class Comparison:
    """Compares answers with the reference of one prompt."""

    prompt: Prompt
    thousands: bool
    cpu_seconds: float
    memory_mib: int
    timer: Timer

    def difference(self, answer: Answer) -> str:
        """Return how an answer differs from the reference, without or with a unit outside of its box; empty if not."""
        if not answer.with_unit:
            return self._difference(answer.text)
        details, errors = list[str](), list[Refused | Unreadable]()
        for text in answer:
            try:
                details.append(self._difference(text))
            except (Refused, Unreadable) as error:
                errors.append(error)
        if not details:
            raise errors[0]
        return details[0] and details[-1]

    def _difference(self, text: str) -> str:
        """Return how a text differs from the reference; if both may have units, also read with words as units."""
        reference = self.prompt.reference
        kind = reference.get("kind", "value")
        if kind != "value":
            return word_difference(reference["answer"], text, kind)
        gold = read_reference(reference["answer"], self.thousands)
        if gold.tree[0] != "quantity" and reference.get("units", True):
            return self._difference_without_noun(text)
        try:
            if not (detail := self._compare(text, amounts=False)):
                return ""
        except Unreadable:
            return self._compare(text, amounts=True)
        return detail and self._compare(text, amounts=True)

    def _difference_without_noun(self, text: str) -> str:
        """Return how a text differs from a reference without a unit; a noun may name what the number counts."""
        counted = without_counted_noun(text, text_of(self.prompt))
        if not counted:
            return self._compare(text, amounts=False)
        try:
            return self._compare(text, amounts=False) and self._compare(counted, amounts=False)
        except Unreadable:
            return self._compare(counted, amounts=False)

    def _compare(self, text: str, *, amounts: bool) -> str:
        reference = self.prompt.reference
        gold = read_reference(reference["answer"], self.thousands)
        answer = read_answer(text, gold, amounts=amounts)
        form = reference.get("form", "auto")
        criteria = criteria_of(reference)
        check_form(answer, form, gold.tree)
        decider = FastDecider()
        try:
            detail = difference(gold.tree, answer, criteria, decider)
        except Undecided:
            detail = self._compare_in_sandbox(text, criteria, amounts=amounts)
        if answer == gold.tree:
            return detail
        if not detail and form == "auto":
            tolerant = bool(criteria.rtol or criteria.atol)
            check_numbers(
                answer, gold.tree, decider.rational, tolerant=tolerant, open_forms=criteria.open_forms
            )
        if not detail and form == "evaluated" and answer[0] in EXPRESSIONS:
            check_numeral(answer, gold.tree)
        if not detail and form != "any":
            check_not_copied(answer, gold.tree, self.prompt)
        return detail

    def _compare_in_sandbox(self, text: str, criteria: Criteria, *, amounts: bool) -> str:
        gold = self.prompt.reference["answer"]
        with _SLOTS:
            service = _service(self.cpu_seconds, self.memory_mib)
            reply = service.call(gold, text, self.thousands, amounts, asdict(criteria))
        self.timer.add(reply)
        if reply.inconclusive:
            raise ComparisonStopped(Status.INCONCLUSIVE, reply.message)
        if reply.limit or not isinstance(reply.value, list):
            cause = (
                f"the {reply.limit} limit" if reply.limit else f"{reply.error or 'limit'}: {reply.message}"
            )
            raise ComparisonStopped(Status.FAIL, f"comparing {shortened(text)} was ended by {cause}")
        how, detail = reply.value
        if how == "refused":
            raise Refused(detail)
        return str(detail)


def check_sandbox(cpu_seconds: float, memory_mib: int) -> None:
    """Raise a `HaloError` unless the confined process starts and proves two radicals equal."""
    prompt = Prompt("preflight", reference={"answer": r"1+\sqrt{2}"})
    comparison = Comparison(prompt, False, cpu_seconds, memory_mib, Timer())
    if detail := comparison.difference(Answer(r"\sqrt{3+2\sqrt{2}}")):
        raise SandboxError(f"sympy does not work in the sandbox: {detail}")


_SLOTS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))
"""Limits the processes, each of which has imported sympy, to the number of processors."""


_WALL_FACTOR, _WALL_EXTRA = 20, 10
"""Wall seconds per CPU second, and in addition. A comparison never waits, so a busy machine should not end it."""


@lru_cache(maxsize=8)
def _service(cpu_seconds: float, memory_mib: int) -> sandbox.Service:
    wall = _WALL_FACTOR * cpu_seconds + _WALL_EXTRA
    limits = sandbox.Limits(cpu_seconds=cpu_seconds, wall_seconds=wall, memory_bytes=memory_mib << 20)
    return sandbox.Service("halo_verifier_sympy.algebra:compare_answers", limits=limits, preload=("sympy",))


def criteria_of(reference: Mapping[str, Any]) -> Criteria:
    """Return the criteria of a reference."""
    assume: Assume = reference.get("assume", "complex")
    given = {key: reference[key] for key in (*FLAGS, *TOLERANCES) if key in reference}
    return Criteria(assume=assume, **given)


def shortened(text: str) -> str:
    """Return the start of a text, quoted."""
    return repr(text if len(text) <= 80 else text[:80] + "...")
