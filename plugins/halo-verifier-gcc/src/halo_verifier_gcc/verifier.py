"""The `gcc` verifier: compile, run on each test's input, compare the output token by token."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from halo_core import sandbox
from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, PluginError, SandboxError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_gcc import attacks, demo, forbidden, judging, mutants
from halo_verifier_gcc.building import PREPROCESSED, PROGRAM, Build, Builder
from halo_verifier_gcc.judging import Runner
from halo_verifier_gcc.once import Once
from halo_verifier_gcc.oracles import Maker, Task
from halo_verifier_gcc.reference import read
from halo_verifier_gcc.source import Language, Source, muzzles

_MIB = 1 << 20
_HELLO = '#include <stdio.h>\nint main(void) { puts("ok"); return 0; }\n'
_BROKEN = (b"cannot execute", b"unable to execute", b"Killed signal")
_INSTALL = "install a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev; for C++ also g++)"
_VERDICTS: Once[Verdict] = Once(4096)


@driver
class GCC(Verifier):
    r"""Compiles a C or C++ program, runs it on each test's stdin and compares what it prints.

    A prompt's reference is `{"tests": [{"stdin": "3 4\n", "stdout": "7\n"}, ...]}`. A test passes when the
    program exits with code 0, without a signal and within the limits, and its stdout has the expected tokens.
    `stdin` may be left out; an expected output without any token is refused, for nothing would meet it. A
    prompt without tests can reach "compiles without warnings" at most, and never passes.

    Other keys: `solution`, a right program, says what should come of `inputs`, or of `random_tests` inputs
    that the program `generator` prints when it is given a seed. `harness` and `symbols` make it a task of
    writing functions. `forbid` has patterns that the code must not match.

    The score is the share of tests that passed. The stage is `invalid` when the program does not compile,
    `crashed` when any test did not end cleanly, else `wrong` when any output differs; `flawed` when it prints
    nothing in any test, as `int main(){}` does, or uses what is forbidden.
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
    forbid: tuple[str, ...] = ()
    r"""Patterns (RE2) that a program's code must not match, comments and literals left out: \bgoto\b."""
    rtol: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Relative tolerance for numbers in the output; 0 with `atol` 0: tokens must be identical."""
    atol: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Absolute tolerance for numbers in the output."""
    repeats: int = Field(1, ge=1, le=100)
    """Times that each test is run; all must pass. Twice tells programs that are right by luck from those that
    are right: ones that go by the clock, or by memory that was never set."""
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
    precompile: bool = True
    """Precompile the standard headers that C++ programs include; changes nothing but the time."""
    once: bool = True
    """Judge equal programs for equal references once in a process."""
    check_solutions: bool = False
    """Before a run, hold every solution against the tests beside it. Those that tests are made of are held
    against them in any case."""

    valid_label: ClassVar[str] = "compiles"

    @field_validator("forbid")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if reason := forbidden.problem(pattern):
                raise ValueError(f"{pattern!r} is not a pattern: {reason}")
        return patterns

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        try:
            task = self._maker().task(read(prompt))
            source = self._maker().sample(completion.text, task)
            if not self.once:
                return self._judge(source, task)
            key = hashlib.sha256(repr((self, task.reference, source)).encode()).digest()
            return _VERDICTS.get(key, lambda: self._judge(source, task), keep=lambda verdict: verdict.judged)
        except (DataError, SandboxError, OSError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference has the form that the README describes.

        Where it takes a harness or a solution to judge by, they are built, and tried, here.
        """
        reference = read(prompt)
        try:
            task = self._maker().task(reference)
            if self.check_solutions and reference.solution:
                self._maker().hold(task)
        except DataError as error:
            raise DataError(f"prompt {prompt.id!r}: {error}", hint=error.hint) from error

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the prompt's solution, if it has one."""
        solution = read(prompt).solution
        return (solution,) if solution else ()

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return programs a small change away from the solution, and one that prints a constant."""
        return mutants.of(self._maker().task(read(prompt)))

    def attacks(self) -> Sequence[Attack]:
        """Return programs that try to be paid without being right."""
        return attacks.load()

    def preflight(self) -> None:
        """Raise a `PluginError` unless the compiler builds a program and the program runs."""
        if shutil.which(self.compiler) is None:
            raise PluginError(f"compiler {self.compiler!r} not found", hint=_INSTALL)
        language: Language = "c++" if self.language == "c++" else "c"
        build = self._builder().program(Source(_HELLO, language))
        if not build.files:
            reason = judging.first_error(build.outcome.stderr)
            problem = f"{self.compiler} cannot build a {language} program: {reason}"
            raise PluginError(problem, hint=_INSTALL)
        if self._runner().run(build.files, PROGRAM, b"").stdout != b"ok\n":
            raise PluginError("a program built by the compiler does not run in the sandbox")

    def afresh(self) -> GCC:
        """Return this verifier with `once` off."""
        return replace(self, once=False)

    def fingerprint(self) -> str:
        """Return the options, this package's version and the compiler's."""
        return f"{self!r} {version('halo-verifier-gcc')} {_compiler_version(self.compiler)}"

    def demo(self) -> Demo:
        """Return tasks for beginners in C and a tiny model that half knows how to solve them."""
        return demo.load()

    def _judge(self, source: Source, task: Task) -> Verdict:
        build = self._build(source, task)
        if build.missing:
            return judging.verdict(
                build.outcome, Status.FAIL, Stage.INVALID, detail=f"does not define {build.missing}"
            )
        if not build.files:
            return judging.not_built(build.outcome)
        # Not only at the start of a line: a #line directive can make a diagnostic begin with anything.
        warnings = build.outcome.stderr.count(b": warning: ") + muzzles(source.code)
        if found := self._forbidden(source, task):
            detail = f"uses what is forbidden: {found}"
            return judging.verdict(build.outcome, Status.FAIL, Stage.FLAWED, detail=detail, warnings=warnings)
        results = list(self._runner().results(build.files, PROGRAM, task.tests))
        status, stage, score, detail = judging.summary(results, len(task.tests), warnings)
        return judging.verdict(
            build.outcome, status, stage, detail=detail, score=score, warnings=warnings, results=results
        )

    def _build(self, source: Source, task: Task) -> Build:
        """Build a sample. What the compiler says is no evidence, for programs can make it say anything.

        So where it seems to be broken, or to have been killed, it is tried on another program, and again on
        this one.
        """
        build = self._maker().build(source, task)
        if build.files or not any(word in build.outcome.stderr for word in _BROKEN):
            return build
        hello = self._builder().program(Source(_HELLO, source.language))
        if not hello.files:
            reason = judging.first_error(hello.outcome.stderr)
            raise SandboxError(f"{self.compiler} cannot build a {source.language} program: {reason}")
        return self._maker().build(source, task)

    def _forbidden(self, source: Source, task: Task) -> str:
        """Say what in the source is forbidden; empty when nothing is."""
        patterns = (*self.forbid, *task.reference.forbid)
        if not patterns:
            return ""
        if found := forbidden.in_source(patterns, source.code):
            return found
        build, main = self._builder().preprocessed(source)
        if build.outcome.inconclusive:
            raise SandboxError("the preprocessor ran out of wall time")
        if not build.files:
            return "code that cannot be preprocessed within the compiler's limits"
        return forbidden.in_preprocessed(patterns, build.files[PREPROCESSED].decode(errors="replace"), main)

    def _builder(self) -> Builder:
        return Builder(
            self.compiler,
            self.standard,
            self.flags,
            self.precompile,
            self.compile_cpu_seconds,
            self.compile_memory_mib,
        )

    def _runner(self) -> Runner:
        limits = sandbox.Limits(
            cpu_seconds=self.cpu_seconds,
            memory_bytes=self.memory_mib * _MIB,
            stdout_bytes=self.output_kib * 1024,
        )
        return Runner(limits, self.rtol, self.atol, self.repeats)

    def _maker(self) -> Maker:
        return Maker(self._builder(), self._runner(), None if self.language == "auto" else self.language)


@functools.cache
def _compiler_version(compiler: str) -> str:
    """Return the first line of `compiler --version`; empty when it cannot be had."""
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0]
