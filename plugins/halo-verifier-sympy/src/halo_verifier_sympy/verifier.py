"""The `sympy` verifier: compares the final answer with the reference by kind and by exact value."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar

from pydantic import Field

from halo_core import sandbox
from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, SandboxError, did_you_mean
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sympy import demo
from halo_verifier_sympy.attacks import ATTACKS
from halo_verifier_sympy.compare import difference
from halo_verifier_sympy.criteria import Assume, Criteria
from halo_verifier_sympy.extract import Where, final_answers
from halo_verifier_sympy.fast import FastDecider
from halo_verifier_sympy.forms import FORMS, check_form
from halo_verifier_sympy.mutants import mutants
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.poly import Undecided
from halo_verifier_sympy.tree import Refused, Tree, Unreadable
from halo_verifier_sympy.words import word_difference

_CHOICES = {
    "kind": ("value", "choice", "text"),
    "form": FORMS,
    "assume": ("complex", "real", "positive"),
}
_FLAGS = ("ordered", "units", "names", "open_forms")
_TOLERANCES = ("rtol", "atol")
_KEYS = ["answer", *_CHOICES, *_FLAGS, *_TOLERANCES]


class _ComparisonStopped(Exception):
    """A comparison in the sandbox that ended without a result."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Timer:
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


@driver
class Sympy(Verifier):
    r"""Compares a completion's final answer with the reference: kinds first, then exact values.

    A prompt's reference is `{"answer": "\\frac{1}{2}"}`, in LaTeX or plain notation. Further keys describe the
    task: `kind` (value, choice, text), `form` (any, evaluated, expanded, solved), `rtol` and `atol`, `ordered` for
    lists without brackets, `units`, `names`, `open_forms`, and `assume` (complex, real, positive), the domain of
    the variables.

    The stage is `invalid` if no answer can be read, `flawed` if an answer is readable but not acceptable (hedged,
    hidden, ambiguous, undefined, too large, unevaluated), `crashed` if the comparison reached a limit, else `wrong`.
    Nothing in a completion is ever evaluated as code.
    """

    where: Where = "auto"
    r"""Location of the final answer: box: in \boxed{}; phrase: after "answer is"; last: the last formula, or the
    last line; auto: in a box if there is one, else after "answer is"."""
    final_after: str = ""
    """Read only the text after the last such mark, e.g. `</think>`; a completion without it has no answer."""
    thousands: bool = False
    """Read 12,000 as twelve thousand; otherwise it is refused because it may be two numbers."""
    cpu_seconds: float = Field(default=2.0, gt=0.0)
    """CPU time limit for comparing one answer when normal forms do not decide."""
    memory_mib: int = Field(default=1024, gt=0)
    """Memory limit of the comparing process, in MiB."""

    valid_label: ClassVar[str] = "readable"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict on `completion`; see `Verifier.check`."""
        timer = _Timer()
        try:
            for text in self._answers(completion.text):
                if detail := self._compare(text, prompt.reference, timer):
                    return timer.verdict(Status.FAIL, Stage.WRONG, f"{_shortened(text)}: {detail}")
        except Unreadable as error:
            return timer.verdict(Status.FAIL, Stage.INVALID, str(error))
        except Refused as error:
            return timer.verdict(Status.FAIL, Stage.FLAWED, str(error))
        except _ComparisonStopped as error:
            return timer.verdict(error.status, Stage.CRASHED, str(error))
        except SandboxError as error:
            return timer.verdict(Status.ERROR, Stage.INVALID, str(error))
        return timer.verdict(Status.PASS, Stage.CORRECT, "")

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference is valid and its own answer is accepted."""
        hint = r'a reference looks like {"answer": "\\frac{1}{2}"}'
        reference = prompt.reference
        for key in reference.keys() - set(_KEYS):
            raise DataError(f"prompt {prompt.id!r}: unknown key {key!r} in reference; {did_you_mean(key, _KEYS)}",
                            hint=hint)  # fmt: skip
        if problem := _reference_problem(reference):
            raise DataError(f"prompt {prompt.id!r}: {problem}", hint=hint)
        try:
            for text in self._answers(self._completion(reference["answer"])):
                detail = self._compare(text, reference, _Timer())
        except (Refused, Unreadable, _ComparisonStopped) as error:
            detail = str(error)
        if detail:
            raise DataError(f"prompt {prompt.id!r}: its own answer is not accepted: {detail}", hint=hint)

    def preflight(self) -> None:
        """Raise a `HaloError` unless the confined process starts and proves two radicals equal."""
        detail = self._compare(r"\sqrt{3+2\sqrt{2}}", {"answer": r"1+\sqrt{2}"}, _Timer())
        if detail:
            raise SandboxError(f"sympy does not work in the sandbox: {detail}")

    def fingerprint(self) -> str:
        """Return the options and the versions of this package and of sympy."""
        return (
            f"{self!r} {version('halo-verifier-sympy')} sympy {version('sympy')} mpmath {version('mpmath')}"
        )

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return a completion with the reference's answer."""
        return [self._completion(prompt.reference["answer"])]

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return near misses: off by one, wrong sign, reciprocal, different kind, items swapped or removed."""
        return [self._completion(text) for text in mutants(prompt.reference, thousands=self.thousands)]

    def attacks(self) -> Sequence[Attack]:
        """Return wrong answers crafted to be accepted."""
        return ATTACKS

    def demo(self) -> Demo:
        """Return small algebra tasks, and a tiny model that answers some of them."""
        return demo.load()

    def _completion(self, answer: str) -> str:
        prefix = self.final_after
        return prefix + (rf"\boxed{{{answer}}}" if self.where in ("auto", "box") else f"The answer is\n{answer}"
                       if self.where == "last" else f"The answer is {answer}")  # fmt: skip

    def _answers(self, text: str) -> list[str]:
        if self.final_after:
            _, mark, text = text.rpartition(self.final_after)
            if not mark:
                raise Unreadable(f"no {self.final_after!r}")
        return final_answers(text, self.where)

    def _compare(self, text: str, reference: Mapping[str, Any], timer: _Timer) -> str:
        """Return how the answer `text` differs from the reference; empty if it does not."""
        kind = reference.get("kind", "value")
        if kind != "value":
            return word_difference(reference["answer"], text, kind)
        gold = _parse_gold(reference["answer"], self.thousands)
        answer = parse(text, thousands=self.thousands)
        check_form(answer, reference.get("form", "any"), gold)
        criteria = _criteria(reference)
        try:
            return difference(gold, answer, criteria, FastDecider())
        except Undecided:
            return self._compare_in_sandbox(text, reference["answer"], criteria, timer)

    def _compare_in_sandbox(self, text: str, gold: str, criteria: Criteria, timer: _Timer) -> str:
        with _SLOTS:
            service = _service(self.cpu_seconds, self.memory_mib)
            reply = service.call(gold, text, self.thousands, asdict(criteria))
        timer.add(reply)
        if reply.inconclusive:
            raise _ComparisonStopped(Status.INCONCLUSIVE, reply.message)
        if reply.limit or not isinstance(reply.value, list):
            cause = (
                f"the {reply.limit} limit" if reply.limit else f"{reply.error or 'limit'}: {reply.message}"
            )
            raise _ComparisonStopped(Status.FAIL, f"comparing {_shortened(text)} was ended by {cause}")
        how, detail = reply.value
        if how == "refused":
            raise Refused(detail)
        return str(detail)


_SLOTS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))
"""Limits the processes, each of which has imported sympy, to the number of processors."""


@lru_cache(maxsize=8)
def _service(cpu_seconds: float, memory_mib: int) -> sandbox.Service:
    limits = sandbox.Limits(cpu_seconds=cpu_seconds, memory_bytes=memory_mib << 20)
    return sandbox.Service("halo_verifier_sympy.algebra:compare_answers", limits=limits, preload=("sympy",))


@lru_cache(maxsize=4096)
def _parse_gold(text: str, thousands: bool) -> Tree:
    return parse(text, thousands=thousands)


def _criteria(reference: Mapping[str, Any]) -> Criteria:
    assume: Assume = reference.get("assume", "complex")
    given = {key: reference[key] for key in (*_FLAGS, *_TOLERANCES) if key in reference}
    return Criteria(assume=assume, **given)


def _reference_problem(reference: Mapping[str, Any]) -> str:
    """Return what is wrong with a reference; empty if it is valid."""
    if not isinstance(reference.get("answer"), str) or not reference["answer"].strip():
        return "its reference has no answer"
    for key, allowed in _CHOICES.items():
        if reference.get(key, allowed[0]) not in allowed:
            return f"{key} must be one of {', '.join(allowed)}, not {reference[key]!r}"
    for key in _FLAGS:
        if not isinstance(reference.get(key, False), bool):
            return f"{key} must be true or false"
    for key in _TOLERANCES:
        value = reference.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e300:
            return f"{key} must be a nonnegative number"
    return ""


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")
