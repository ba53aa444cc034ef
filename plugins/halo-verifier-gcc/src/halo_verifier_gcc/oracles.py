"""Preparation of a prompt's task: its harness is compiled and its solution's outputs are computed once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cachetools import LRUCache, cached

from halo_core.errors import DataError, SandboxError
from halo_core.programs import Runner, Test, failure, first_error, quoted
from halo_core.types import Stage
from halo_verifier_gcc import elf
from halo_verifier_gcc.building import LIBRARY, PROGRAM, Build, Builder
from halo_verifier_gcc.extraction import candidates, extract
from halo_verifier_gcc.languages import Language
from halo_verifier_gcc.reference import Reference
from halo_verifier_gcc.source import Source

_BUSY = "the machine is too busy"
_SEED_HINT = "it gets a number on stdin and should print an input that depends on it"


@dataclass(frozen=True, slots=True)
class Harness:
    """A compiled harness and the functions that it calls."""

    program: bytes
    language: Language
    functions: frozenset[str]
    """Linker symbols."""


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that a program is judged by."""

    reference: Reference
    tests: tuple[Test, ...]
    harness: Harness | None = None

    @property
    def exports(self) -> tuple[str, ...]:
        """The linker symbols that a completion must define; empty for whole programs."""
        return tuple(sorted(self.harness.functions)) if self.harness else ()


@dataclass(frozen=True, slots=True)
class TaskFactory:
    """Creates tasks from references, with the compiler and the limits that also apply to completions."""

    builder: Builder
    runner: Runner
    language: Language | None
    """Language of programs whose prompt does not name one; None: detected in their code."""

    def task(self, reference: Reference) -> Task:
        """Return the task that `reference` describes. Raises a `DataError` if it describes no usable task."""
        if not reference.solution and not reference.harness:
            return Task(reference, reference.tests)
        return self._prepare(reference)

    @cached(LRUCache(4096), condition=threading.Condition())
    def _prepare(self, reference: Reference) -> Task:
        """Build the harness and compute the expected outputs, once even under concurrent callers."""
        harness = self._harness(reference) if reference.harness else None
        task = Task(reference, reference.tests, harness)
        if not reference.inputs and not reference.random_tests:
            return task
        solution = self._files(self.sources(reference.solution, task), task, "solution")
        self._run_tests(solution, task)
        inputs = dict.fromkeys([*reference.inputs, *self._generated_inputs(reference)])
        runner = replace(self.runner, writable=reference.writable)
        computed = tuple(Test(each, _expected(runner, solution, each)) for each in inputs)
        if len({test.stdout for test in (*task.tests, *computed)}) < 2:
            raise DataError("the solution prints the same for every input, so that a constant would pass")
        return Task(reference, (*reference.tests, *computed), harness)

    def sources(self, text: str, task: Task) -> Sequence[Source]:
        """Return the programs that a completion of the task may mean; the first that can be built counts."""
        language = task.reference.language or (task.harness.language if task.harness else self.language)
        return candidates(text, language, functions=task.reference.functions)

    def build(self, source: Source, task: Task) -> Build:
        """Build a completion's source. The files include `PROGRAM`, the one to run."""
        if not task.harness:
            return self.builder.program(source)
        build = self.builder.library(source, task.exports)
        if not build.files:
            return build
        missing = task.harness.functions - elf.exported_functions(build.files[LIBRARY])
        if missing:
            names = ", ".join(_readable(symbol, task) for symbol in sorted(missing))
            return Build(build.outcome, missing=names)
        return Build(build.outcome, {**build.files, PROGRAM: task.harness.program})

    def check_solution(self, task: Task) -> None:
        """Raise a `DataError` unless the solution passes the tests that the prompt lists."""
        self._run_tests(self._files(self.sources(task.reference.solution, task), task, "solution"), task)

    def _run_tests(self, solution: Mapping[str, bytes], task: Task) -> None:
        runner = replace(self.runner, writable=task.reference.writable)
        for result in runner.results(solution, task.reference.tests):
            if result.inconclusive:
                raise SandboxError(f"the solution: {result.detail}", hint=_BUSY)
            if result.stage is not Stage.CORRECT:
                raise DataError(f"the solution does not pass {result.detail}")

    def _generated_inputs(self, reference: Reference) -> Iterator[bytes]:
        if not reference.random_tests:
            return
        task = Task(Reference(), ())
        generator = self._files(self.sources(reference.generator, task), task, "generator")
        inputs = set()
        for seed in range(1, reference.random_tests + 1):
            data = _output(self.runner, generator, f"{seed}\n".encode(), "generator")
            inputs.add(data)
            yield data
        if reference.random_tests > 1 and len(inputs) == 1:
            raise DataError("the generator prints the same input for every seed", hint=_SEED_HINT)

    def _files(self, sources: Sequence[Source], task: Task, role: str) -> Mapping[str, bytes]:
        """Return the files of the first build that succeeds. Raises a `DataError` if all fail."""
        builds = [self.build(sources[0], task)]
        for source in sources[1:]:
            if builds[-1].files or builds[-1].outcome.inconclusive:
                break
            builds.append(self.build(source, task))
        build = builds[-1] if builds[-1].files or builds[-1].outcome.inconclusive else builds[0]
        if build.outcome.inconclusive:
            raise SandboxError(f"the {role} could not be compiled in time", hint=_BUSY)
        if not build.files:
            error = first_error(build.outcome.stderr)
            reason = f"does not define {build.missing}" if build.missing else error
            raise DataError(f"the {role} does not compile: {reason}")
        return build.files

    def _harness(self, reference: Reference) -> Harness:
        source = extract(reference.harness, self.language)
        compiled = self.builder.harness_object(source)
        if not compiled.files:
            raise DataError(f"the harness does not compile: {first_error(compiled.outcome.stderr)}")
        (data,) = compiled.files.values()
        undefined = elf.undefined(data)
        functions = set()
        for name in reference.names:
            found = {symbol for symbol in undefined if _is_symbol_of(symbol, name)}
            if not found:
                hint = "the harness must declare the function, call it and not define it"
                raise DataError(f"the harness does not call {name}", hint=hint)
            functions |= found
        linked = self.builder.harness_program(data, source.language, sorted(functions))
        if not linked.files:
            raise DataError(
                f"the harness does not link: {first_error(linked.outcome.stderr)}",
                hint="list every function that completions must define in `symbols`",
            )
        return Harness(linked.files[PROGRAM], source.language, frozenset(functions))


def _expected(runner: Runner, solution: Mapping[str, bytes], stdin: bytes) -> bytes:
    """Return the solution's output. Raises a `DataError` if it is empty or differs between two runs."""
    first, second = (_output(runner, solution, stdin, "solution") for _ in range(2))
    if first != second:
        raise DataError(f"the solution contradicts itself on input {quoted(stdin)}")
    return first


def _output(runner: Runner, files: Mapping[str, bytes], stdin: bytes, role: str) -> bytes:
    outcome = runner.run(files, stdin)
    reason = failure(outcome)
    if outcome.inconclusive:
        raise SandboxError(f"the {role} {reason}", hint=_BUSY)
    if reason or not outcome.stdout.split():
        raise DataError(f"the {role} fails on input {quoted(stdin)}: {reason or 'prints nothing'}")
    return outcome.stdout


def _readable(symbol: str, task: Task) -> str:
    """Return the linker's `symbol` as a user would name it."""
    name = next(name for name in task.reference.names if _is_symbol_of(symbol, name))
    return name if name == symbol else f"{name} as the harness declares it ({symbol})"


def _is_symbol_of(symbol: str, name: str) -> bool:
    """Return True if the linker's `symbol` is the function `name`, in C or mangled as in C++."""
    return symbol == name or bool(
        symbol.startswith("_Z") and re.search(rf"(?<!\d){len(name)}{re.escape(name)}", symbol)
    )
