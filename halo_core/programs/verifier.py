"""The base of verifiers of programs in one language."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from halo_core import sandbox
from halo_core.config.options import driver
from halo_core.drivers.base import Verifier
from halo_core.errors import DataError, PluginError, SandboxError
from halo_core.programs import building, judging
from halo_core.programs.building import Build
from halo_core.programs.extraction import Candidate, candidates, extract
from halo_core.programs.judging import Command, Runner
from halo_core.programs.languages import Language
from halo_core.programs.mutating import mutants
from halo_core.programs.reference import read_reference
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.thoughts import TAGS, read_answer

_MIB = 1 << 20


@driver
class ProgramVerifier(Verifier):
    r"""Judges programs of one language by tests: it builds one, runs it on each stdin and compares its stdout.

    A subclass sets `language`, `source_file`, `hello` and `install`, and defines `build`; for a program that is not
    started as `./program`, also `command`. A prompt's reference is `{"tests": [{"stdin": "3 4\n", "stdout": "7\n"}]}`
    and may have the key `solution`, a correct program.
    """

    rtol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Relative tolerance for numbers in the output; 0 with `atol` 0: tokens must be identical."""
    atol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Absolute tolerance for numbers in the output."""
    repeats: int = Field(default=1, ge=1, le=100)
    """Runs of each test; all must pass. Two runs expose programs that pass by luck."""
    cpu_seconds: float = Field(default=1.0, gt=0.0)
    """CPU time limit of the program for one test, in seconds."""
    memory_mib: int = Field(default=256, gt=0)
    """Memory limit of the program, in MiB of address space."""
    output_kib: int = Field(default=256, gt=0)
    """Output limit of the program for one test, in KiB."""
    compile_cpu_seconds: float = Field(default=10.0, gt=0.0)
    """CPU time limit of the compiler, in seconds."""
    compile_memory_mib: int = Field(default=2048, gt=0)
    """Memory limit of each process of the compiler, in MiB of address space."""
    check_solutions: bool = False
    """Before a run, check that every solution passes the tests of its prompt."""
    thought_tags: tuple[str, ...] = TAGS
    """Tags whose content is reasoning and not part of the answer."""

    valid_label: ClassVar[str] = "compiles"
    language: ClassVar[Language]
    """How a completion's program is recognized."""
    source_file: ClassVar[str]
    """The name under which the program is compiled; the compiler's diagnostics name it."""
    hello: ClassVar[str]
    """A program that prints `ok`. If it cannot be built, the compiler is broken, and no completion is at fault."""
    install: ClassVar[str]
    """How to install the tools if they are missing."""
    processes: ClassVar[int] = 1
    """Processes and threads of a program; runtimes with threads of their own need more."""

    @abstractmethod
    def build(self, code: str) -> Build:
        """Build the program `code`, usually by `compile`. Must not run it."""

    def command(self) -> Command:
        """Return how a built program is started."""
        return Command()

    def tools(self) -> str:
        """Return the versions of the tools on which verdicts depend; see `tool_version`."""
        return ""

    def constant_program(self, output: str) -> str:
        """Return a program that prints `output` whatever its input; an empty string if there is no such mutant."""
        return ""

    def compile(
        self,
        argv: Sequence[str],
        code: str,
        *outputs: str,
        toolchain: bool = True,
        readable: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> Build:
        """Run the compiler `argv` on `code`, which is in `source_file`, and return the files `outputs`."""
        limits = sandbox.Limits(
            cpu_seconds=self.compile_cpu_seconds,
            memory_bytes=self.compile_memory_mib * _MIB,
            processes=64,
            file_bytes=64 * _MIB,
            stderr_bytes=_MIB,
            open_files=256,
        )
        sources = {self.source_file: code}
        return building.build(
            argv, sources, outputs, limits=limits, toolchain=toolchain, readable=readable, env=env
        )

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        try:
            tests = read_reference(prompt).tests
            answer = read_answer(completion.text, self.thought_tags)
            if answer.problem:
                return Verdict(Status.FAIL, Stage.INVALID, detail=answer.problem)
            built = self._first_build(candidates(answer.text, self.language))
            if built.flaw:
                return judging.verdict(
                    built.outcome, Status.FAIL, Stage.FLAWED, detail=built.flaw, warnings=built.warnings
                )
            if not built.files:
                return judging.not_built(built.outcome, error=built.error)
            return judging.judge(
                self.runner(), built.files, tests, built=built.outcome, warnings=built.warnings
            )
        except (DataError, SandboxError, OSError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))

    def extracted(self, prompt: Prompt, completion: Completion) -> str:
        """Return the likeliest program in `completion`; see `Verifier.extracted`."""
        return extract(read_answer(completion.text, self.thought_tags).text, self.language)

    def runner(self) -> Runner:
        """Return what runs the tests of a program: the limits, tolerances and `command`."""
        limits = sandbox.Limits(
            cpu_seconds=self.cpu_seconds,
            memory_bytes=self.memory_mib * _MIB,
            stdout_bytes=self.output_kib * 1024,
            processes=self.processes,
        )
        return Runner(limits, self.rtol, self.atol, self.repeats, self.command())

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference is valid; with `check_solutions`, run its solution."""
        solution = read_reference(prompt).solution
        if self.check_solutions and solution:
            verdict = self.check(prompt, Completion(prompt.id, 0, solution))
            if verdict.status is not Status.PASS:
                raise DataError(f"prompt {prompt.id!r}: the solution does not pass: {verdict.detail}")

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the prompt's solution, if it has one."""
        solution = read_reference(prompt).solution
        return (solution,) if solution else ()

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return slightly changed copies of the solution, and a program that prints a constant."""
        reference = read_reference(prompt)
        if not reference.solution:
            return ()
        code = extract(reference.solution, self.language)
        found = mutants(code, self.language.masked(code))
        if reference.tests:
            found.append(self.constant_program(reference.tests[0].stdout.decode()))
        return [mutant for mutant in found if mutant]

    def preflight(self) -> None:
        """Raise a `PluginError` unless a program can be built and run in the sandbox."""
        try:
            built = self.build(self.hello)
        except SandboxError as error:
            raise PluginError(str(error), hint=self.install) from error
        if not built.files:
            reason = built.error or judging.first_error(built.outcome.stderr)
            raise PluginError(f"cannot build a {self.language.name} program: {reason}", hint=self.install)
        outcome = self.runner().run(built.files, b"")
        if outcome.stdout != b"ok\n":
            reason = judging.failure(outcome) or "it prints something else"
            problem = f"a {self.language.name} program does not run in the sandbox: {reason}"
            raise PluginError(problem, hint=judging.first_error(outcome.stderr))

    def fingerprint(self) -> str:
        """Return the options, the tools' versions and the version of the core, which extracts and judges."""
        return f"{self!r} {self.tools()} halo-core {version('halo-core')}"

    def _first_build(self, found: Sequence[Candidate]) -> Build:
        """Return the first build that succeeds; if all fail, the first."""
        failed: list[Build] = []
        for candidate in found:
            built = self._certain_build(candidate.code)
            if built.files or built.flaw or built.outcome.inconclusive:
                return built
            failed.append(built)
        return failed[0]

    def _certain_build(self, code: str) -> Build:
        """Build `code`. Raises a `SandboxError` if the compiler is broken.

        A failure whose diagnostics do not name the source may be the machine's: a missing linker, or a process of the
        compiler that was killed. Then `hello` must be buildable, and the program is built once more.
        """
        built = self.build(code)
        named = self.source_file.encode() in built.outcome.stderr
        if built.files or built.flaw or named or built.outcome.limit or built.outcome.inconclusive:
            return built
        hello = self.build(self.hello)
        if hello.outcome.inconclusive:
            return hello
        if not hello.files:
            reason = hello.error or judging.first_error(hello.outcome.stderr)
            raise SandboxError(f"cannot build a {self.language.name} program: {reason}", hint=self.install)
        return self.build(code)
