"""Running a program on its tests, comparison of its output and the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from halo_core import sandbox
from halo_core.types import Stage, Status, Verdict
from halo_verifier_gcc.compare import same_tokens
from halo_verifier_gcc.reference import Test

_MAX_QUOTED = 160
"""Maximum characters of a diagnostic or an output in a verdict's detail."""
_ERROR_LINE = re.compile(r"^.*?(?:error:|undefined reference|multiple definition).*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one test."""

    stage: Stage
    detail: str
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    printed: bool = True
    limited: bool = False
    inconclusive: bool = False


@dataclass(frozen=True, slots=True)
class Runner:
    """Limits of a run, tolerances for numbers in the output, and runs per test."""

    limits: sandbox.Limits
    rtol: float = 0.0
    atol: float = 0.0
    repeats: int = 1

    def run(
        self, files: Mapping[str, bytes], program: str, stdin: bytes, *, writable: bool = False
    ) -> sandbox.Outcome:
        """Run `program` once, in a workspace that holds only `files`; `writable`: in which it may write."""
        with sandbox.get().workspace() as space:
            _write_files(space, files)
            return space.run([f"./{program}"], stdin=stdin, limits=self.limits, writable=writable)

    def results(
        self, files: Mapping[str, bytes], program: str, tests: Sequence[Test], *, writable: bool = False
    ) -> Iterator[Result]:
        """Run the tests in order; stop after one that hits a limit, as the others probably would too.

        With `writable`, the program may write files, and each run has a workspace of its own.
        """
        if not tests:
            return
        with sandbox.get().workspace() as space:
            _write_files(space, files)
            for number, test in enumerate(tests, 1):
                result = self._result(None if writable else space, files, program, test, number)
                yield result
                if result.limited or result.inconclusive:
                    return

    def _result(
        self,
        space: sandbox.Workspace | None,
        files: Mapping[str, bytes],
        program: str,
        test: Test,
        number: int,
    ) -> Result:
        """Run one test `repeats` times, or until it fails; without a workspace, each time in a new one."""
        cpu = wall = 0.0
        for _ in range(self.repeats):
            if space is None:
                outcome = self.run(files, program, test.stdin, writable=True)
            else:
                outcome = space.run([f"./{program}"], stdin=test.stdin, limits=self.limits)
            cpu, wall = cpu + outcome.cpu_seconds, wall + outcome.wall_seconds
            result = self._compare(outcome, test.stdout, number)
            if result.stage is not Stage.CORRECT:
                break
        return replace(result, cpu_seconds=cpu, wall_seconds=wall)

    def _compare(self, outcome: sandbox.Outcome, expected: bytes, number: int) -> Result:
        if (reason := failure(outcome)) is not None:
            stage, detail = Stage.CRASHED, reason
        elif same_tokens(outcome.stdout, expected, rtol=self.rtol, atol=self.atol):
            stage, detail = Stage.CORRECT, "ok"
        else:
            stage, detail = Stage.WRONG, f"expected {quoted(expected)}, got {quoted(outcome.stdout)}"
        return Result(
            stage,
            f"test {number}: {detail}",
            printed=bool(outcome.stdout.strip()),
            limited=bool(outcome.limit),
            inconclusive=outcome.inconclusive,
        )


def not_built(outcome: sandbox.Outcome) -> Verdict:
    """Return the verdict on a failed build: a failure, or inconclusive if the machine is the cause."""
    status, detail = Status.FAIL, first_error(outcome.stderr)
    if outcome.inconclusive:
        status, detail = Status.INCONCLUSIVE, f"the compiler {interruption(outcome)}"
    elif outcome.limit:
        detail = f"the compiler ran into its {outcome.limit} limit"
    return verdict(outcome, status, Stage.INVALID, detail=detail)


def verdict(
    outcome: sandbox.Outcome,
    status: Status,
    stage: Stage,
    *,
    detail: str,
    score: float = 0.0,
    warnings: int = 0,
    results: Sequence[Result] = (),
) -> Verdict:
    """Return a verdict whose times are those of the compilation (`outcome`) plus those of the tests."""
    return Verdict(
        status,
        stage,
        score=score,
        warnings=warnings,
        detail=detail,
        cpu_seconds=outcome.cpu_seconds + sum(result.cpu_seconds for result in results),
        wall_seconds=outcome.wall_seconds + sum(result.wall_seconds for result in results),
        sandbox=outcome.tier,
    )


def summary(results: Sequence[Result], tests: int, warnings: int) -> tuple[Status, Stage, float, str]:
    """Summarize the tests of a program that compiled, as (status, stage, score, detail)."""
    if tests == 0 and warnings:
        return Status.FAIL, Stage.FLAWED, 0.0, f"compiles with {warnings} warnings; no tests"
    if tests == 0:
        return Status.FAIL, Stage.UNTESTED, 0.0, "compiles; no tests"
    stages = [result.stage for result in results]
    passed = stages.count(Stage.CORRECT)
    lines = [f"{passed} of {tests} tests passed", *(result.detail for result in results)]
    status = Status.PASS if passed == tests else Status.FAIL
    stage = min(stages, key=lambda stage: stage.rank)
    if any(result.inconclusive for result in results):
        status = Status.INCONCLUSIVE
    elif stage is Stage.WRONG and not any(result.printed for result in results):
        stage = Stage.FLAWED
    return status, stage, passed / tests, "\n".join(lines)


def failure(outcome: sandbox.Outcome) -> str | None:
    """Return the reason why a program did not end cleanly, or None if it did."""
    if outcome.inconclusive:
        return interruption(outcome)
    if outcome.limit:
        return f"ran into the {outcome.limit} limit"
    if outcome.signal:
        return f"ended by signal {outcome.signal}"
    if outcome.exit_code != 0:
        return f"exit code {outcome.exit_code}"
    return None


def interruption(outcome: sandbox.Outcome) -> str:
    """Return the reason why `outcome` is inconclusive."""
    return (
        "ran out of wall time"
        if outcome.limit == "wall"
        else "was killed by another process or for lack of memory"
    )


def first_error(stderr: bytes) -> str:
    """Return the first error among the compiler's diagnostics, or else their first line."""
    text = _text(stderr)
    found = _ERROR_LINE.search(text)
    return (found[0] if found else text.strip().partition("\n")[0] or "no diagnostic")[:_MAX_QUOTED].strip()


def quoted(data: bytes) -> str:
    """Return an output quoted on one line and truncated for display."""
    text = _text(data)
    return repr(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "...")


def _write_files(space: sandbox.Workspace, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        space.write(name, data, executable=True)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
