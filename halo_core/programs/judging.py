"""Running a program on its tests, comparison of its output and the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from halo_core import sandbox
from halo_core.programs.comparing import same_tokens
from halo_core.programs.reference import Test
from halo_core.types import Stage, Status, Verdict

_MAX_QUOTED = 160
"""Maximum characters of a diagnostic or an output in a verdict's detail."""
ERROR_LINE = r"^.*?(?:error:|undefined reference|multiple definition).*$"
"""A line with an error among the diagnostics of most compilers."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one test."""

    stage: Stage
    """`CORRECT`, `WRONG` or `CRASHED`."""
    detail: str
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    printed: bool = True
    """The program printed more than white space."""
    limited: bool = False
    """The program reached a limit."""
    inconclusive: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """How a built program is started, in a workspace with its files; see `Workspace.run`."""

    argv: Sequence[str] = ("./program",)
    readable: Sequence[str | Path] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Runner:
    """Limits of a run, tolerances for numbers in the output, and runs per test."""

    limits: sandbox.Limits
    rtol: float = 0.0
    atol: float = 0.0
    repeats: int = 1
    command: Command = Command()
    writable: bool = False
    """The program may write files; each run has a workspace of its own."""

    def run(self, files: Mapping[str, bytes], stdin: bytes) -> sandbox.Outcome:
        """Run the program once, in a workspace that holds only `files`."""
        with sandbox.get().workspace() as space:
            _write_files(space, files)
            return self._run(space, stdin)

    def results(self, files: Mapping[str, bytes], tests: Sequence[Test]) -> Iterator[Result]:
        """Run the tests in order; stop after one that hits a limit, as the others probably would too."""
        if not tests:
            return
        with sandbox.get().workspace() as space:
            _write_files(space, files)
            for number, test in enumerate(tests, 1):
                result = self._result(space, files, test, number)
                yield result
                if result.limited or result.inconclusive:
                    return

    def _run(self, space: sandbox.Workspace, stdin: bytes) -> sandbox.Outcome:
        command = self.command
        return space.run(
            command.argv,
            stdin=stdin,
            limits=self.limits,
            writable=self.writable,
            readable=command.readable,
            env=command.env,
        )

    def _result(
        self, space: sandbox.Workspace, files: Mapping[str, bytes], test: Test, number: int
    ) -> Result:
        """Run one test `repeats` times, or until it fails."""
        cpu = wall = 0.0
        for _ in range(self.repeats):
            outcome = self.run(files, test.stdin) if self.writable else self._run(space, test.stdin)
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


def judge(
    runner: Runner,
    files: Mapping[str, bytes],
    tests: Sequence[Test],
    *,
    built: sandbox.Outcome,
    warnings: int = 0,
) -> Verdict:
    """Return the verdict on a program of `files` that could be built, with the outcome `built` of its compilation.

    A program passes if all tests do. Without tests it reaches `untested`, or `flawed` if the compiler warned. A
    program that ends cleanly without printing anything in any test is `flawed`.
    """
    results = list(runner.results(files, tests))
    status, stage, score, detail = _summary(results, len(tests), warnings)
    return verdict(built, status, stage, detail=detail, score=score, warnings=warnings, results=results)


def not_built(outcome: sandbox.Outcome, *, error: str = "") -> Verdict:
    """Return the verdict on a failed build: a failure, or inconclusive if the machine is the cause.

    `error` is the compiler's first error; without it, it is searched in the stderr of `outcome`.
    """
    status, detail = Status.FAIL, error or first_error(outcome.stderr)
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


def _summary(results: Sequence[Result], tests: int, warnings: int) -> tuple[Status, Stage, float, str]:
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


def first_error(stderr: bytes, pattern: str = ERROR_LINE) -> str:
    """Return the first line of a compiler's diagnostics that `pattern` matches, or else their first line."""
    text = _text(stderr)
    found = re.search(pattern, text, re.MULTILINE)
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
