"""The `sympy` verifier: read the final answer, compare it with the reference by kind and by exact value."""

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
from halo_verifier_sympy.compare import Assume, Terms, difference
from halo_verifier_sympy.extract import Where, answers
from halo_verifier_sympy.fast import Fast
from halo_verifier_sympy.forms import FORMS, check_form
from halo_verifier_sympy.mutants import mutants
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.poly import Unsettled
from halo_verifier_sympy.tree import Refused, Tree, Unreadable
from halo_verifier_sympy.words import same_words

_CHOICES = {
    "kind": ("value", "choice", "text"),
    "form": FORMS,
    "assume": ("complex", "real", "positive"),
}
_FLAGS = ("ordered", "units", "names", "open_forms")
_TOLERANCES = ("rtol", "atol")
_KEYS = ["answer", *_CHOICES, *_FLAGS, *_TOLERANCES]


class _Slow(Exception):
    """How the confined comparison ended when it did not come to a result."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Clock:
    """What judging one completion took, here and in the sandbox."""

    def __init__(self) -> None:
        self._cpu = time.thread_time()
        self._wall = time.perf_counter()
        self._sandbox_cpu = 0.0
        self._tier = "none"

    def add(self, reply: sandbox.Reply) -> None:
        """Count a call into the sandbox."""
        self._sandbox_cpu += reply.cpu_seconds
        self._tier = reply.tier

    def verdict(self, status: Status, stage: Stage, detail: str) -> Verdict:
        """Return a verdict with the time up to now."""
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
    r"""Reads a completion's final answer and compares it with the reference: kinds first, then exact values.

    A prompt's reference is `{"answer": "\\frac{1}{2}"}`, in LaTeX or plain notation. Further keys say what else
    the task says: `kind` (value, choice, text), `form` (any, evaluated, expanded, solved), `rtol` and `atol`,
    `ordered` for lists without brackets, `units`, `names`, `open_forms`, and `assume` (complex, real, positive)
    for what variables stand for.

    The stage is `invalid` when no answer can be read, `flawed` when one can but is not taken (hedged, hidden,
    ambiguous, undefined, too large, not worked out), `crashed` when comparing it ran into a limit, else `wrong`.
    Nothing that a completion says is ever evaluated as code.
    """

    where: Where = "auto"
    r"""Where the final answer stands: box: in \boxed{}; phrase: behind "answer is"; last: the last formula, or
    the last line; auto: in a box if there is one, else behind "answer is"."""
    final_after: str = ""
    """Read only what follows the last of these marks, `</think>` say; a completion without it has no answer."""
    thousands: bool = False
    """Read 12,000 as twelve thousand; otherwise it is refused, since it may be two numbers."""
    cpu_seconds: float = Field(2.0, gt=0.0)
    """CPU time that comparing one answer may take where normal forms do not tell."""
    memory_mib: int = Field(1024, gt=0)
    """Memory of the process that compares, in MiB."""

    valid_label: ClassVar[str] = "readable"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        clock = _Clock()
        try:
            for text in self._answers(completion.text):
                if detail := self._compare(text, prompt.reference, clock):
                    return clock.verdict(Status.FAIL, Stage.WRONG, f"{_shown(text)}: {detail}")
        except Unreadable as error:
            return clock.verdict(Status.FAIL, Stage.INVALID, str(error))
        except Refused as error:
            return clock.verdict(Status.FAIL, Stage.FLAWED, str(error))
        except _Slow as end:
            return clock.verdict(end.status, Stage.CRASHED, str(end))
        except SandboxError as error:
            return clock.verdict(Status.ERROR, Stage.INVALID, str(error))
        return clock.verdict(Status.PASS, Stage.CORRECT, "")

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference has the form that the class describes and equals itself."""
        hint = r'its reference looks like {"answer": "\\frac{1}{2}"}'
        reference = prompt.reference
        for key in reference.keys() - set(_KEYS):
            raise DataError(f"prompt {prompt.id!r}: unknown key {key!r} in reference; {did_you_mean(key, _KEYS)}",
                            hint=hint)  # fmt: skip
        if problem := _problem(reference):
            raise DataError(f"prompt {prompt.id!r}: {problem}", hint=hint)
        try:
            for text in self._answers(self._completion(reference["answer"])):
                detail = self._compare(text, reference, _Clock())
        except (Refused, Unreadable, _Slow) as error:
            detail = str(error)
        if detail:
            raise DataError(
                f"prompt {prompt.id!r}: not even its own answer would be taken: {detail}", hint=hint
            )

    def preflight(self) -> None:
        """Raise a `HaloError` unless the confined process can be started and finds two roots equal."""
        detail = self._compare(r"\sqrt{3+2\sqrt{2}}", {"answer": r"1+\sqrt{2}"}, _Clock())
        if detail:
            raise SandboxError(f"sympy does not work in the sandbox: {detail}")

    def fingerprint(self) -> str:
        """Return the options and the versions of this package and of sympy."""
        return (
            f"{self!r} {version('halo-verifier-sympy')} sympy {version('sympy')} mpmath {version('mpmath')}"
        )

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the reference's answer, as a completion would give it."""
        return [self._completion(prompt.reference["answer"])]

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return near misses: off by one, another sign, the reciprocal, another kind, items swapped or left out."""
        return [self._completion(text) for text in mutants(prompt.reference, thousands=self.thousands)]

    def attacks(self) -> Sequence[Attack]:
        """Return wrong answers that were made to be paid for."""
        return ATTACKS

    def demo(self) -> Demo:
        """Return small calculations, and a tiny model that half knows how to do them."""
        return demo.load()

    def _completion(self, answer: str) -> str:
        lead = self.final_after
        return lead + (rf"\boxed{{{answer}}}" if self.where in ("auto", "box") else f"The answer is\n{answer}"
                       if self.where == "last" else f"The answer is {answer}")  # fmt: skip

    def _answers(self, text: str) -> list[str]:
        if self.final_after:
            _, mark, text = text.rpartition(self.final_after)
            if not mark:
                raise Unreadable(f"no {self.final_after!r}")
        return answers(text, self.where)

    def _compare(self, text: str, reference: Mapping[str, Any], clock: _Clock) -> str:
        """Return how the answer `text` differs; empty when it does not."""
        kind = reference.get("kind", "value")
        if kind != "value":
            return same_words(reference["answer"], text, kind)
        gold = _gold(reference["answer"], self.thousands)
        answer = parse(text, thousands=self.thousands)
        check_form(answer, reference.get("form", "any"), gold)
        terms = _terms(reference)
        try:
            return difference(gold, answer, terms, Fast())
        except Unsettled:
            return self._compare_slowly(text, reference["answer"], terms, clock)

    def _compare_slowly(self, text: str, gold: str, terms: Terms, clock: _Clock) -> str:
        with _TURNS:
            service = _service(self.cpu_seconds, self.memory_mib)
            reply = service.call(gold, text, self.thousands, asdict(terms))
        clock.add(reply)
        if reply.inconclusive:
            raise _Slow(Status.INCONCLUSIVE, reply.message)
        if reply.limit or not isinstance(reply.value, list):
            why = (
                f"{reply.error or 'limit'}: {reply.message}"
                if not reply.limit
                else f"the {reply.limit} limit"
            )
            raise _Slow(Status.FAIL, f"comparing {_shown(text)} ended by {why}")
        how, detail = reply.value
        if how == "refused":
            raise Refused(detail)
        return str(detail)


_TURNS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))
"""More processes than processors would only take turns, and each has imported sympy."""


@lru_cache(maxsize=8)
def _service(cpu_seconds: float, memory_mib: int) -> sandbox.Service:
    limits = sandbox.Limits(cpu_seconds=cpu_seconds, memory_bytes=memory_mib << 20)
    return sandbox.Service("halo_verifier_sympy.algebra:judge", limits=limits, preload=("sympy",))


@lru_cache(maxsize=4096)
def _gold(text: str, thousands: bool) -> Tree:
    return parse(text, thousands=thousands)


def _terms(reference: Mapping[str, Any]) -> Terms:
    assume: Assume = reference.get("assume", "complex")
    given = {key: reference[key] for key in (*_FLAGS, *_TOLERANCES) if key in reference}
    return Terms(assume=assume, **given)


def _problem(reference: Mapping[str, Any]) -> str:
    """Say what is wrong with a reference; empty when nothing is."""
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
            return f"{key} must be a number that is not negative"
    return ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")
