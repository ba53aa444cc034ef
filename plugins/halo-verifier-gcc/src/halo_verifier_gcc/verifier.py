"""The `gcc` verifier: compile, run on each test's input, compare the output token by token."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar, Literal

from pydantic import Field

from halo_core import sandbox
from halo_core.drivers import Demo, Verifier, driver
from halo_core.errors import DataError, PluginError, SandboxError, did_you_mean
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_gcc import demo
from halo_verifier_gcc.compare import same_tokens
from halo_verifier_gcc.source import Language, Source, extract, muzzles

_MIB = 1 << 20
_COMPILER_PROCESSES = 16
"""The driver, the compiler proper, the assembler, the linker and its plugins, with room to spare."""
_SHOWN = 160
"""Characters of a diagnostic or an output that go into a verdict's detail."""
_NO_PRAGMA = ("no_pragma.h", b"#pragma GCC system_header\n#define _Pragma(x)\n")
"""Read before each program. The `_Pragma` operator could silence warnings, and macros can hide it from any
reading of the source, so it is defined away; a system header may do so without a warning of its own."""
_ERROR_LINE = re.compile(r"^.*?(?:error:|undefined reference|multiple definition).*$", re.MULTILINE)
_HELLO = '#include <stdio.h>\nint main(void) { puts("ok"); return 0; }\n'
_INSTALL = "install a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev; for C++ also g++)"


@dataclass(frozen=True, slots=True)
class _Test:
    """How one test went."""

    stage: Stage
    detail: str
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    printed: bool = True
    limited: bool = False
    inconclusive: bool = False


@driver
class GCC(Verifier):
    r"""Compiles a C or C++ program, runs it on each test's stdin and compares what it prints.

    A prompt's reference is `{"tests": [{"stdin": "3 4\n", "stdout": "7\n"}, ...]}`. A test passes when the
    program exits with code 0, without a signal and within the limits, and its stdout has the expected tokens.
    `stdin` may be left out; an expected output without any token is refused, for nothing would meet it. A
    prompt without tests can reach "compiles without warnings" at most, and never passes.

    The score is the share of tests that passed. The stage is `invalid` when the program does not compile,
    `crashed` when any test did not end cleanly, else `wrong` when any output differs; `flawed` when it prints
    nothing in any test, as `int main(){}` does.
    """

    language: Literal["auto", "c", "c++"] = "auto"
    """Language of the programs; auto: by the tag of the Markdown fence, else by the code."""
    compiler: str = "gcc"
    """Compiler driver, for both languages: gcc, clang, gcc-13, a path."""
    standard: str = Field("", pattern=r"^((c|gnu|iso9899:)(\+\+)?\w+)?$")
    """Language standard such as c17 or c++20; empty: the compiler's own default. It applies to programs
    of its language only."""
    flags: str = "-O0 -Wall -Wextra"
    """Compiler flags, quoted as in a shell. -O0 compiles fastest, which matters more than how fast the
    program runs."""
    rtol: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Relative tolerance for numbers in the output; 0 with `atol` 0: tokens must be identical."""
    atol: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Absolute tolerance for numbers in the output."""
    cpu_seconds: float = Field(1.0, gt=0.0)
    """CPU time that the program may use for one test."""
    memory_mib: int = Field(256, gt=0)
    """Memory that the program may use, in MiB."""
    output_kib: int = Field(256, gt=0)
    """Output that the program may print for one test, in KiB."""
    compile_cpu_seconds: float = Field(10.0, gt=0.0)
    """CPU time that the compiler may use."""
    compile_memory_mib: int = Field(1024, gt=0)
    """Memory that the compiler may use, in MiB."""

    valid_label: ClassVar[str] = "compiles"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        source = extract(completion.text, None if self.language == "auto" else self.language)
        try:
            with sandbox.get().workspace() as workspace:
                return self._judge(workspace, source, prompt.reference.get("tests", ()))
        except (SandboxError, OSError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference has the form that the class describes."""
        hint = 'expected {"tests": [{"stdin": "3 4", "stdout": "7"}, ...]}'
        for key in prompt.reference.keys() - {"tests"}:
            nearest = did_you_mean(key, ["tests"])
            raise DataError(f"prompt {prompt.id!r}: unknown key {key!r} in reference; {nearest}", hint=hint)
        tests = prompt.reference.get("tests", [])
        if not isinstance(tests, list | tuple):
            raise DataError(f"prompt {prompt.id!r}: tests must be a list", hint=hint)
        for number, test in enumerate(tests, 1):
            if problem := _problem(test):
                raise DataError(f"prompt {prompt.id!r}, test {number}: {problem}", hint=hint)

    def preflight(self) -> None:
        """Raise a `PluginError` unless the compiler builds a program and the program runs."""
        if shutil.which(self.compiler) is None:
            raise PluginError(f"compiler {self.compiler!r} not found", hint=_INSTALL)
        language: Language = "c++" if self.language == "c++" else "c"
        with sandbox.get().workspace() as workspace:
            outcome = self._compile(workspace, Source(_HELLO, language))
            if not outcome.ok:
                reason = _first_error(outcome.stderr)
                problem = f"{self.compiler} cannot build a {language} program: {reason}"
                raise PluginError(problem, hint=_INSTALL)
            if self._run(workspace, b"").stdout != b"ok\n":
                raise PluginError("a program built by the compiler does not run in the sandbox")

    def fingerprint(self) -> str:
        """Return the options, this package's version and the compiler's."""
        return f"{self!r} {version('halo-verifier-gcc')} {_compiler_version(self.compiler)}"

    def demo(self) -> Demo:
        """Return tasks for beginners in C and a tiny model that half knows how to solve them."""
        return demo.load()

    def _judge(self, workspace: sandbox.Workspace, source: Source, tests: list[Mapping[str, str]]) -> Verdict:
        compiled = self._compile(workspace, source)
        if compiled.inconclusive or not compiled.ok:
            return _not_compiled(compiled, self.compile_cpu_seconds)
        # Not only at the start of a line: a #line directive can make a diagnostic begin with anything.
        warnings = compiled.stderr.count(b": warning: ") + muzzles(source.code)
        results = list(self._tests(workspace, tests))
        status, stage, score, detail = _summary(results, len(tests), warnings)
        return Verdict(
            status,
            stage,
            score=score,
            warnings=warnings,
            detail=detail,
            cpu_seconds=compiled.cpu_seconds + sum(result.cpu_seconds for result in results),
            wall_seconds=compiled.wall_seconds + sum(result.wall_seconds for result in results),
            sandbox=compiled.tier,
        )

    def _compile(self, workspace: sandbox.Workspace, source: Source) -> sandbox.Outcome:
        path = shutil.which(self.compiler)
        if path is None:
            raise SandboxError(f"compiler {self.compiler!r} not found")
        cpp = source.language == "c++"
        name = "main.cpp" if cpp else "main.c"
        standard = [f"-std={self.standard}"] if self.standard and ("++" in self.standard) == cpp else []
        switches = ["-x", source.language, *standard, *shlex.split(self.flags), "-imacros", _NO_PRAGMA[0]]
        libraries = ["-x", "none", *(["-lstdc++"] if cpp else []), "-lm"]
        workspace.write(*_NO_PRAGMA)
        workspace.write(name, source.code.encode(errors="replace"))
        return workspace.run(
            [path, *switches, "-o", "program", name, *libraries],
            limits=sandbox.Limits(
                cpu_seconds=self.compile_cpu_seconds,
                memory_bytes=self.compile_memory_mib * _MIB,
                processes=_COMPILER_PROCESSES,
            ),
            writable=True,
            toolchain=True,
        )

    def _run(self, workspace: sandbox.Workspace, stdin: bytes) -> sandbox.Outcome:
        return workspace.run(
            ["./program"],
            stdin=stdin,
            limits=sandbox.Limits(
                cpu_seconds=self.cpu_seconds,
                memory_bytes=self.memory_mib * _MIB,
                stdout_bytes=self.output_kib * 1024,
            ),
        )

    def _tests(self, workspace: sandbox.Workspace, tests: list[Mapping[str, str]]) -> Iterator[_Test]:
        """Run the tests in order, up to the first that runs into a limit: the rest would most likely too."""
        for number, test in enumerate(tests, 1):
            outcome = self._run(workspace, test.get("stdin", "").encode())
            result = self._compare(outcome, test["stdout"], number)
            yield result
            if result.limited or result.inconclusive:
                return

    def _compare(self, outcome: sandbox.Outcome, expected: str, number: int) -> _Test:
        if (ending := _ending(outcome)) is not None:
            stage, detail = Stage.CRASHED, ending
        elif same_tokens(outcome.stdout, expected.encode(), rtol=self.rtol, atol=self.atol):
            stage, detail = Stage.CORRECT, "ok"
        else:
            stage, detail = Stage.WRONG, f"expected {_shown(expected)}, got {_shown(_text(outcome.stdout))}"
        return _Test(
            stage,
            f"test {number}: {detail}",
            cpu_seconds=outcome.cpu_seconds,
            wall_seconds=outcome.wall_seconds,
            printed=bool(outcome.stdout.strip()),
            limited=bool(outcome.limit),
            inconclusive=outcome.inconclusive,
        )


def _problem(test: object) -> str:
    """Say what is wrong with one test of a reference; empty when nothing is."""
    if not isinstance(test, Mapping):
        return f"must be a mapping, not {type(test).__name__}"
    for key, value in test.items():
        if key not in ("stdin", "stdout"):
            return f"unknown key {key!r}; {did_you_mean(str(key), ['stdin', 'stdout'])}"
        if not isinstance(value, str):
            return f"{key} must be text, not {type(value).__name__}"
    if not test.get("stdout", "").split():
        return "expected stdout is missing or empty, which no output could be held against"
    return ""


def _not_compiled(outcome: sandbox.Outcome, cpu_budget: float) -> Verdict:
    """Judge a compilation that did not succeed: the program's fault, unless the machine's."""
    stderr = _text(outcome.stderr)
    status, detail = Status.FAIL, _first_error(outcome.stderr)
    if "cannot execute" in stderr and "cc1" in stderr:
        status = Status.ERROR
    elif outcome.inconclusive:
        status, detail = Status.INCONCLUSIVE, "the compiler ran out of wall time"
    elif outcome.limit:
        detail = f"the compiler ran into its {outcome.limit} limit"
    elif "Killed signal" in stderr and outcome.cpu_seconds < 0.9 * cpu_budget:
        status, detail = Status.INCONCLUSIVE, "the compiler was killed, most likely for want of memory"
    return Verdict(
        status,
        Stage.INVALID,
        detail=detail,
        cpu_seconds=outcome.cpu_seconds,
        wall_seconds=outcome.wall_seconds,
        sandbox=outcome.tier,
    )


def _summary(results: list[_Test], tests: int, warnings: int) -> tuple[Status, Stage, float, str]:
    """Sum up the tests of a program that compiled, as (status, stage, score, detail)."""
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


def _ending(outcome: sandbox.Outcome) -> str | None:
    """Say how a program ended that did not end cleanly; None when it did."""
    if outcome.inconclusive:
        return "ran out of wall time"
    if outcome.limit:
        return f"ran into the {outcome.limit} limit"
    if outcome.signal:
        return f"ended by signal {outcome.signal}"
    if outcome.exit_code != 0:
        return f"exit code {outcome.exit_code}"
    return None


def _first_error(stderr: bytes) -> str:
    """Return the first error among the compiler's diagnostics, or else its first words."""
    text = _text(stderr)
    found = _ERROR_LINE.search(text)
    return (found[0] if found else text.strip().partition("\n")[0] or "no diagnostic")[:_SHOWN].strip()


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _shown(text: str) -> str:
    """Quote `text` on one line, cut to a length for people."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


@functools.cache
def _compiler_version(compiler: str) -> str:
    """Return the first line of `compiler --version`; empty when it cannot be had."""
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0]
