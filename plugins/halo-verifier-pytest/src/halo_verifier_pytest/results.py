"""From what each test gave to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo_core.errors import VerifierError
from halo_core.sandbox import Outcome
from halo_core.types import Stage, Status, Verdict

_SHOWN = 160
"""Characters of a value or a message that go into a verdict's detail."""
_LINES = 40
"""Tests that a verdict's detail lists."""


@dataclass(frozen=True, slots=True)
class Test:
    """How one test went."""

    __test__ = False  # not one of pytest's

    name: str
    stage: Stage
    detail: str
    answered: bool = True
    """Whether the program gave it anything but None."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What judging took, and behind which walls."""

    cpu_seconds: float
    wall_seconds: float
    tier: str
    integrity: str = "split"
    inconclusive: bool = False

    @classmethod
    def of(cls, *outcomes: Outcome, integrity: str = "split") -> Cost:
        """Add up what several processes took."""
        return cls(
            sum(each.cpu_seconds for each in outcomes),
            max(each.wall_seconds for each in outcomes),
            outcomes[0].tier,
            integrity,
            any(each.inconclusive for each in outcomes),
        )


def verdict(tests: Sequence[Test], cost: Cost, *, partial: bool) -> Verdict:
    """Sum up the tests of a program that was executed. Only if each of them passed does it pass."""
    passed = sum(test.stage is Stage.CORRECT for test in tests)
    stage = min((test.stage for test in tests), key=lambda stage: stage.rank)
    status = Status.PASS if passed == len(tests) else Status.FAIL
    if cost.inconclusive:
        status, stage = Status.INCONCLUSIVE, min(stage, Stage.WRONG, key=lambda stage: stage.rank)
    elif stage is Stage.WRONG and not passed and not any(test.answered for test in tests):
        stage = Stage.FLAWED
    score = passed / len(tests)
    lines = [f"{passed} of {len(tests)} tests passed"]
    lines += [f"{test.name}: {test.detail}" for test in tests[:_LINES]]
    lines += [f"and {len(tests) - _LINES} more"] if len(tests) > _LINES else []
    return _verdict(status, stage, "\n".join(lines), cost, score if partial else float(score == 1.0))


def settled(verdict: Verdict) -> bool:
    """Whether the solution of a prompt passed; raise a `VerifierError` when that could not be found out."""
    if verdict.status in (Status.ERROR, Status.INCONCLUSIVE):
        raise VerifierError(f"the prompt's solution cannot be tried: {verdict.detail}")
    return verdict.status is Status.PASS


def rejected(stage: Stage, detail: str, cost: Cost) -> Verdict:
    """Judge a program that got no further than `stage`, before any test."""
    status = Status.INCONCLUSIVE if cost.inconclusive else Status.FAIL
    return _verdict(status, stage, detail, cost, 0.0)


def _verdict(status: Status, stage: Stage, detail: str, cost: Cost, score: float) -> Verdict:
    return Verdict(
        status,
        stage,
        score=score,
        detail=detail,
        cpu_seconds=cost.cpu_seconds,
        wall_seconds=cost.wall_seconds,
        sandbox=cost.tier,
        integrity=cost.integrity,
    )


def shown(value: object) -> str:
    """Quote `value` on one line, cut to a length for people."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        text = (
            f"an integer of {value.bit_length()} bits"
            if type(value) is int
            else "a value with a huge integer"
        )
    return cut(text)


def cut(text: str) -> str:
    """Return `text` on one line, cut to a length for people."""
    text = text.replace("\n", " ")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def ending(outcome: Outcome, seconds: float) -> str:
    """Say how a sample's process ended."""
    if outcome.inconclusive:
        return "ran out of wall time"
    if outcome.signal == 27:  # SIGPROF, which the kernel sends when a test's CPU time is used up
        return f"ran past {seconds:g} s of CPU time"
    if outcome.limit:
        return f"ran into the {outcome.limit} limit"
    if outcome.signal:
        return f"ended by signal {outcome.signal}"
    return f"ended the process with exit code {outcome.exit_code}"
