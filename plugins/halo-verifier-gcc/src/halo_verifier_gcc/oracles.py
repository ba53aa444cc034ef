"""A prompt made ready: its harness built, and what its solution says to its inputs, found out once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from halo_core.errors import DataError, SandboxError
from halo_core.types import Stage
from halo_verifier_gcc import elf
from halo_verifier_gcc.building import LIBRARY, PROGRAM, Build, Builder
from halo_verifier_gcc.judging import Runner, ending, first_error, shown
from halo_verifier_gcc.once import Once
from halo_verifier_gcc.reference import Reference, Test
from halo_verifier_gcc.source import Language, Source, extract

_READY: Once[Task] = Once(4096)


@dataclass(frozen=True, slots=True)
class Harness:
    """A compiled harness and the functions that it wants."""

    program: bytes
    language: Language
    functions: frozenset[str]
    """As the linker knows them."""


@dataclass(frozen=True, slots=True)
class Task:
    """All that a program is judged by."""

    reference: Reference
    tests: tuple[Test, ...]
    harness: Harness | None = None


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes tasks of references, with the compiler and the limits that completions get too."""

    builder: Builder
    runner: Runner
    language: Language | None
    """Of solutions and generators; None: as their code says."""

    def task(self, reference: Reference) -> Task:
        """Return the task that `reference` describes. Raises a `DataError` that says why there is none."""
        if not reference.solution and not reference.harness:
            return Task(reference, reference.tests)
        return _READY.get((self, reference), lambda: self._make(reference))

    def sample(self, text: str, task: Task) -> Source:
        """Return the program, or with a harness the functions, in a completion of the task."""
        if task.harness:
            return extract(text, task.harness.language, function=task.reference.names[0])
        return extract(text, self.language)

    def build(self, source: Source, task: Task) -> Build:
        """Build a sample of the task: what is made runs as `PROGRAM`, together with `support(task)`."""
        if not task.harness:
            return self.builder.program(source)
        build = self.builder.library(source, sorted(task.harness.functions))
        if not build.files:
            return build
        missing = task.harness.functions - elf.exported_functions(build.files[LIBRARY])
        if missing:
            return Build(build.outcome, missing=", ".join(_spelt(symbol, task) for symbol in sorted(missing)))
        return Build(build.outcome, {**build.files, PROGRAM: task.harness.program})

    def hold(self, task: Task) -> None:
        """Raise a `DataError` unless the solution passes the tests that the prompt itself gives."""
        self._hold(self._built(self.sample(task.reference.solution, task), task, "solution"), task)

    def _hold(self, solution: Mapping[str, bytes], task: Task) -> None:
        for result in self.runner.results(solution, PROGRAM, task.reference.tests):
            if result.inconclusive:
                raise SandboxError(f"the solution: {result.detail}", hint="the machine is too busy")
            if result.stage is not Stage.CORRECT:
                raise DataError(f"the solution does not pass {result.detail}")

    def _make(self, reference: Reference) -> Task:
        harness = self._harness(reference) if reference.harness else None
        task = Task(reference, reference.tests, harness)
        if not reference.inputs and not reference.random_tests:
            return task
        solution = self._built(self.sample(reference.solution, task), task, "solution")
        self._hold(solution, task)
        inputs = dict.fromkeys([*reference.inputs, *self._generated(reference)])
        made = tuple(Test(each, self._answer(solution, each)) for each in inputs)
        if len({test.stdout for test in (*task.tests, *made)}) < 2:
            raise DataError("the solution says the same to every input, so that a constant would pass")
        return Task(reference, (*reference.tests, *made), harness)

    def _generated(self, reference: Reference) -> Iterator[bytes]:
        if not reference.random_tests:
            return
        task = Task(Reference(), ())
        generator = self._built(self.sample(reference.generator, task), task, "generator")
        made = set()
        for seed in range(1, reference.random_tests + 1):
            data = self._printed(generator, f"{seed}\n".encode(), "generator")
            made.add(data)
            yield data
        if reference.random_tests > 1 and len(made) == 1:
            raise DataError("the generator prints the same input for every seed", hint=_SEED)

    def _answer(self, solution: Mapping[str, bytes], stdin: bytes) -> bytes:
        """Return what the solution prints, which must be something, and the same when asked again."""
        first, second = (self._printed(solution, stdin, "solution") for _ in range(2))
        if first != second:
            raise DataError(f"the solution contradicts itself on input {shown(stdin)}")
        return first

    def _printed(self, files: Mapping[str, bytes], stdin: bytes, what: str) -> bytes:
        outcome = self.runner.run(files, PROGRAM, stdin)
        unclean = ending(outcome)
        if outcome.inconclusive:
            raise SandboxError(f"the {what} {unclean}", hint="the machine is too busy")
        if unclean or not outcome.stdout.split():
            raise DataError(f"the {what} {unclean or 'prints nothing'} on input {shown(stdin)}")
        return outcome.stdout

    def _built(self, source: Source, task: Task, what: str) -> Mapping[str, bytes]:
        build = self.build(source, task)
        if build.outcome.inconclusive:
            raise SandboxError(f"the {what} could not be compiled in time", hint="the machine is too busy")
        if not build.files:
            reason = (
                f"does not define {build.missing}" if build.missing else first_error(build.outcome.stderr)
            )
            raise DataError(f"the {what} does not compile: {reason}")
        return build.files

    def _harness(self, reference: Reference) -> Harness:
        source = extract(reference.harness, self.language)
        built = self.builder.harness_object(source)
        if not built.files:
            raise DataError(f"the harness does not compile: {first_error(built.outcome.stderr)}")
        (data,) = built.files.values()
        wanted = elf.undefined(data)
        functions = set()
        for name in reference.names:
            found = {symbol for symbol in wanted if _stands_for(symbol, name)}
            if not found:
                raise DataError(f"the harness does not call {name}", hint="it may only declare what it calls")
            functions |= found
        linked = self.builder.harness_program(data, source.language, sorted(functions))
        if not linked.files:
            raise DataError(
                f"the harness does not link: {first_error(linked.outcome.stderr)}",
                hint="each function that completions are to define must be among its symbols",
            )
        return Harness(linked.files[PROGRAM], source.language, frozenset(functions))


_SEED = "it is given a number on stdin and should print an input that depends on it"


def _spelt(symbol: str, task: Task) -> str:
    """Return what a person would call the linker's `symbol`."""
    name = next(name for name in task.reference.names if _stands_for(symbol, name))
    return name if name == symbol else f"{name} as the harness declares it ({symbol})"


def _stands_for(symbol: str, name: str) -> bool:
    """Whether the linker's `symbol` is the function `name`, in C or mangled as in C++."""
    return symbol == name or bool(
        symbol.startswith("_Z") and re.search(rf"(?<!\d){len(name)}{re.escape(name)}", symbol)
    )
