"""Verdicts: combine the results of a program's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo_core.errors import VerifierError
from halo_core.sandbox import Outcome
from halo_core.types import Stage, Status, Verdict

_MAX_CHARACTERS = 160
"""Maximum characters of one value or message in a verdict's detail."""
_MAX_LINES = 40
"""Maximum tests listed in a verdict's detail."""


@dataclass(frozen=True, slots=True)
class Test:
    """Result of one test."""

    __test__ = False  # pytest must not collect this class

    name: str
    stage: Stage
    detail: str
    answered: bool = True
    """False if the program returned nothing but None to the test."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and sandbox of a judgement."""

    cpu_seconds: float
    wall_seconds: float
    tier: str
    integrity: str = "split"
    inconclusive: bool = False

    @classmethod
    def of(cls, *outcomes: Outcome, integrity: str = "split") -> Cost:
        """Return the total CPU time and the longest wall time of several processes."""
        return cls(
            sum(each.cpu_seconds for each in outcomes),
            max(each.wall_seconds for each in outcomes),
            outcomes[0].tier,
            integrity,
            any(each.inconclusive for each in outcomes),
        )


def verdict(tests: Sequence[Test], cost: Cost, *, partial: bool) -> Verdict:
    """Return the verdict on a program that was executed. It passes only if every test passed."""
    passed = sum(test.stage is Stage.CORRECT for test in tests)
    stage = min((test.stage for test in tests), key=lambda stage: stage.rank)
    status = Status.PASS if passed == len(tests) else Status.FAIL
    if cost.inconclusive:
        status, stage = Status.INCONCLUSIVE, min(stage, Stage.WRONG, key=lambda stage: stage.rank)
    elif stage is Stage.WRONG and not passed and not any(test.answered for test in tests):
        stage = Stage.FLAWED
    score = passed / len(tests)
    lines = [f"{passed} of {len(tests)} tests passed"]
    lines += [f"{test.name}: {test.detail}" for test in tests[:_MAX_LINES]]
    lines += [f"and {len(tests) - _MAX_LINES} more"] if len(tests) > _MAX_LINES else []
    return _verdict(status, stage, "\n".join(lines), cost, score if partial else float(score == 1.0))


class NotByValueTestsError(VerifierError):
    """The tests pass something to the program that cannot be sent to another process."""


def solution_passed(verdict: Verdict) -> bool:
    """Return True if the verdict on a prompt's solution is a pass; raise a `VerifierError` if it is undecided."""
    if verdict.status in (Status.ERROR, Status.INCONCLUSIVE):
        raise VerifierError(f"the prompt's solution could not be judged: {verdict.detail}")
    return verdict.status is Status.PASS


def rejection(stage: Stage, detail: str, cost: Cost) -> Verdict:
    """Return the verdict on a program that reached no test and got no further than `stage`."""
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


def quote(value: object) -> str:
    """Return the repr of `value` on one line, shortened for a verdict's detail."""
    try:
        text = repr(value)
    except ValueError:  # an integer with too many digits
        text = (
            f"an integer of {value.bit_length()} bits"
            if type(value) is int
            else "a value with a huge integer"
        )
    return shorten(text)


def shorten(text: str) -> str:
    """Return `text` on one line, shortened for a verdict's detail."""
    text = text.replace("\n", " ")
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "..."


def describe_exit(outcome: Outcome, seconds: float) -> str:
    """Return a description of how a sample's process ended; `seconds` is the CPU limit of one test."""
    if outcome.inconclusive:
        return "ran out of wall time"
    if outcome.signal == 27:  # SIGPROF, which the kernel sends when a test's CPU time is used up
        return f"exceeded {seconds:g} s of CPU time"
    if outcome.limit:
        return f"exceeded the {outcome.limit} limit"
    if outcome.signal:
        return f"ended by signal {outcome.signal}"
    return f"ended with exit code {outcome.exit_code}"
