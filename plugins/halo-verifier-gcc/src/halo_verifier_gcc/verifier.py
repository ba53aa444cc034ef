"""The `gcc` verifier: compile, run on each test's input, compare the output token by token."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from halo_core import sandbox
from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, PluginError, SandboxError
from halo_core.programs import Runner, judging
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.thoughts import TAGS, read_answer
from halo_verifier_gcc import attacks, building, demo, forbidden, mutants
from halo_verifier_gcc.building import Build, Builder
from halo_verifier_gcc.languages import Language
from halo_verifier_gcc.oracles import Task, TaskFactory
from halo_verifier_gcc.reference import read
from halo_verifier_gcc.search import Search
from halo_verifier_gcc.source import Source, count_silencing_directives

_MIB = 1 << 20
_HELLO = '#include <stdio.h>\nint main(void) { puts("ok"); return 0; }\n'
_BROKEN_COMPILER = (b"cannot execute", b"unable to execute", *building.KILLED)
_INSTALL = "install a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev; for C++ also g++)"


@driver
class GCC(Verifier):
    r"""Compiles a C or C++ program, runs it on each test's stdin and compares its output.

    A prompt's reference is `{"tests": [{"stdin": "3 4\n", "stdout": "7\n"}, ...]}`. A test passes if the
    program exits with code 0, without a signal and within the limits, and its stdout has the expected tokens.
    `stdin` is optional; an expected output without any token is rejected, because no output could match it. A
    completion of a prompt without tests can reach "compiles without warnings" at most, and never passes.

    Other keys: `solution`, a correct program, computes the expected outputs of `inputs`, or of `random_tests`
    inputs that the program `generator` prints when it gets a seed. `harness` and `symbols` make it a task of
    writing functions. `forbid` lists patterns that the code must not match. `language` is `c` or `c++`.

    The score is the share of tests that passed. The stage is `invalid` if the program does not compile,
    `crashed` if any test did not end cleanly, else `wrong` if any output differs; `flawed` if it prints
    nothing in any test, as `int main(){}` does, or uses a forbidden feature.
    """

    language: Literal["auto", "c", "c++"] = "auto"
    """Language of the programs whose prompt does not name it; auto: detected by the tag of the Markdown fence, else by
    the code, so that C++ answers a task in C unless the prompt's data has the key `language`."""
    compiler: str = "gcc"
    """Compiler command for both languages: gcc, clang, gcc-13 or a path."""
    standard: str = Field("", pattern=r"^((c|gnu|iso9899:)(\+\+)?\w+)?$")
    """Language standard such as c17 or c++20; empty: the compiler's default. It applies only to programs
    of its language."""
    flags: str = "-O0 -Wall -Wextra"
    """Compiler flags, quoted as in a shell. -O0 compiles fastest, which matters more than the program's
    speed."""
    forbid: tuple[str, ...] = ()
    r"""Patterns (RE2) that a program's code must not match, ignoring comments and literals: \bgoto\b."""
    rtol: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Relative tolerance for numbers in the output; 0 with `atol` 0: tokens must be identical."""
    atol: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    """Absolute tolerance for numbers in the output."""
    repeats: int = Field(1, ge=1, le=100)
    """Runs of each test; all must pass. Two runs expose programs that pass by luck: those that depend on the
    clock or on uninitialized memory."""
    cpu_seconds: float = Field(1.0, gt=0.0)
    """CPU time limit of the program for one test, in seconds."""
    memory_mib: int = Field(256, gt=0)
    """Memory limit of the program, in MiB."""
    output_kib: int = Field(256, gt=0)
    """Output limit of the program for one test, in KiB."""
    compile_cpu_seconds: float = Field(10.0, gt=0.0)
    """CPU time limit of the compiler, in seconds."""
    compile_memory_mib: int = Field(1024, gt=0)
    """Memory limit of the compiler, in MiB."""
    precompile: bool = True
    """Precompile the standard headers that C++ programs include; affects only the speed."""
    check_solutions: bool = False
    """Before a run, check that every solution passes the tests of its prompt. Solutions that compute expected
    outputs are always checked."""
    thought_tags: tuple[str, ...] = TAGS
    """Tags whose content is reasoning and not part of the answer."""

    valid_label: ClassVar[str] = "compiles"
    removed_options: ClassVar[Mapping[str, object]] = {"once": True}
    """Removed options and their defaults: recorded runs have `once`, whose cache the core's ledger replaces."""

    @field_validator("forbid")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if reason := forbidden.problem(pattern):
                raise ValueError(f"{pattern!r} is not a valid pattern: {reason}")
        return patterns

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        try:
            task = self._factory().task(read(prompt))
            answer = read_answer(completion.text, self.thought_tags)
            if answer.problem:
                return Verdict(Status.FAIL, Stage.INVALID, detail=answer.problem)
            return self._judge(self._factory().sources(answer.text, task), task)
        except (DataError, SandboxError, OSError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))

    def extracted(self, prompt: Prompt, completion: Completion) -> str:
        """Return the likeliest program in `completion`; see `Verifier.extracted`."""
        reference = read(prompt)
        answer = read_answer(completion.text, self.thought_tags).text
        return self._factory().sources(answer, Task(reference, reference.tests))[0].code

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference has the form that the README describes.

        A harness or solution that verdicts depend on is built and run here.
        """
        reference = read(prompt)
        try:
            task = self._factory().task(reference)
            if self.check_solutions and reference.solution:
                self._factory().check_solution(task)
        except DataError as error:
            raise DataError(f"prompt {prompt.id!r}: {error}", hint=error.hint) from error

    def has_tests(self, prompt: Prompt) -> bool:
        """Return whether the reference has tests, or inputs for its solution."""
        return read(prompt).tested

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the prompt's solution, if it has one."""
        solution = read(prompt).solution
        return (solution,) if solution else ()

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return slightly changed copies of the solution, and a program that prints a constant."""
        return mutants.generate(self._factory().task(read(prompt)))

    def attacks(self) -> Sequence[Attack]:
        """Return wrong programs crafted to be accepted."""
        return attacks.load()

    def preflight(self) -> None:
        """Raise a `PluginError` unless the compiler can build a program that runs in the sandbox."""
        if shutil.which(self.compiler) is None:
            raise PluginError(f"compiler {self.compiler!r} not found", hint=_INSTALL)
        language: Language = "c++" if self.language == "c++" else "c"
        build = self._builder().program(Source(_HELLO, language))
        if not build.files:
            reason = judging.first_error(build.outcome.stderr)
            problem = f"{self.compiler} cannot build a {language} program: {reason}"
            raise PluginError(problem, hint=_INSTALL)
        if self._runner().run(build.files, b"").stdout != b"ok\n":
            raise PluginError("a program built by the compiler does not run in the sandbox")

    def fingerprint(self) -> str:
        """Return the options and the versions of this package and the compiler."""
        return f"{self!r} {version('halo-verifier-gcc')} {_compiler_version(self.compiler)}"

    def demo(self) -> Demo:
        """Return exercises for beginners in C and a tiny model that solves some of them."""
        return demo.load()

    def _judge(self, sources: Sequence[Source], task: Task) -> Verdict:
        source, build = self._first_build(sources, task)
        if build.missing:
            return judging.verdict(
                build.outcome, Status.FAIL, Stage.INVALID, detail=f"does not define {build.missing}"
            )
        if not build.files:
            return judging.not_built(build.outcome)
        # Searched anywhere in a line, because a #line directive can make a diagnostic start with any text.
        warnings = build.outcome.stderr.count(b": warning: ") + count_silencing_directives(source.code)
        patterns = (*self.forbid, *task.reference.forbid)
        if patterns:
            found = Search(patterns, self._builder(), source, task.exports).find()
            if found.inconclusive:
                return judging.verdict(
                    build.outcome, Status.INCONCLUSIVE, Stage.INVALID, detail=found.feature
                )
            if found.feature:
                detail = f"uses a forbidden feature: {found.feature}"
                return judging.verdict(
                    build.outcome, Status.FAIL, Stage.FLAWED, detail=detail, warnings=warnings
                )
        runner = replace(self._runner(), writable=task.reference.writable)
        return judging.judge(runner, build.files, task.tests, built=build.outcome, warnings=warnings)

    def _first_build(self, sources: Sequence[Source], task: Task) -> tuple[Source, Build]:
        """Return the first source that can be built with its build; if none can, the first source with its failure."""
        failed: list[tuple[Source, Build]] = []
        for source in sources:
            build = self._build(source, task)
            if build.outcome.inconclusive or (build.files and not build.missing):
                return source, build
            failed.append((source, build))
        return failed[0]

    def _build(self, source: Source, task: Task) -> Build:
        """Build a completion's source. Raises a `SandboxError` if the compiler is broken.

        The compiler's messages alone do not prove that, because a program can make it print anything. So if they
        suggest that it is broken or was killed, it must build a known program and then tries this one again. If it
        was killed again, the result is inconclusive.
        """
        build = self._factory().build(source, task)
        if build.files or not any(text in build.outcome.stderr for text in _BROKEN_COMPILER):
            return build
        hello = self._builder().program(Source(_HELLO, source.language))
        if not hello.files and any(text in hello.outcome.stderr for text in building.KILLED):
            return Build(replace(hello.outcome, inconclusive=True))
        if hello.outcome.inconclusive:
            return hello
        if not hello.files:
            reason = judging.first_error(hello.outcome.stderr)
            raise SandboxError(f"{self.compiler} cannot build a {source.language} program: {reason}")
        again = self._factory().build(source, task)
        suspicious = not again.files and any(text in again.outcome.stderr for text in building.KILLED)
        if suspicious and self._builder().is_killed(source, task.exports):
            return Build(replace(again.outcome, inconclusive=True))
        return again

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

    def _factory(self) -> TaskFactory:
        return TaskFactory(
            self._builder(), self._runner(), None if self.language == "auto" else self.language
        )


@functools.cache
def _compiler_version(compiler: str) -> str:
    """Return the first line of `compiler --version`, or an empty string if the command fails."""
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0]
