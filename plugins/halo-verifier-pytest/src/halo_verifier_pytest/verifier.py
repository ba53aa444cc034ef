"""The `pytest` verifier: judges Python by tests that the code under test cannot reach."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import ClassVar, Literal

from pydantic import Field

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, PluginError, SandboxError, VerifierError
from halo_core.sandbox import Limits
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_pytest import apart, attacks, demo, files, functions, near, tasks
from halo_verifier_pytest.functions import Terms
from halo_verifier_pytest.source import readings
from halo_verifier_pytest.tasks import Task

_MIB = 1 << 20


@driver
class Pytest(Verifier):
    """Runs tests against a Python program without letting the program near them.

    A prompt's reference holds tests in one of three forms. By value:
    `{"entry_point": "add", "tests": [{"args": [3, 4], "expected": 7}, ...]}`. As asserts, the way HumanEval
    (`entry_point`, `test`) and MBPP (`test_list`) have them. As files of pytest:
    `{"files": {"test_add.py": "from solution import add ..."}}`. With `solution`, a program known to be right,
    `halo audit` has something to go by.

    The score is the share of tests that passed. The stage is `invalid` when nothing in the completion is Python,
    `flawed` when the function asked for is missing, uses what is forbidden or answers every test with
    None, `crashed` when any test ended in an exception or at a limit, else `wrong` when any failed.
    """

    mode: Literal["auto", "functions", "pytest"] = "auto"
    """functions: tests by value and asserts, the program always in a process apart. pytest: files, and asserts
    made into files, where the program may be in one process with them. auto: by what the reference holds, and asserts
    as files if its solution does not pass them otherwise."""
    isolation: Literal["auto", "split", "shared"] = "auto"
    """For files of pytest. split: the files get stand-ins that call the program by value, in a process of its own.
    shared: they import the program itself, so that it could forge its verdict, which then says shared-process.
    auto: split if the reference's solution passes that way, else shared."""
    cpu_seconds: float = Field(1.0, gt=0.0)
    """CPU time for one test, in seconds; executing the program counts as one."""
    total_cpu_seconds: float = Field(5.0, gt=0.0)
    """CPU time for all that a program does, in seconds, and as much again for its tests."""
    memory_mib: int = Field(512, gt=0)
    """Memory that the program may use, in MiB."""
    output_kib: int = Field(1024, gt=0)
    """Size of what the program may return to one call, in KiB."""
    paths: tuple[str, ...] = ()
    """Directories from which programs may import, besides the standard library."""
    forbid: tuple[str, ...] = ()
    """Names that a program must not mention: modules, functions, attributes."""
    partial: bool = True
    """Score the share of the tests that passed; if false, 1 or 0."""

    valid_label: ClassVar[str] = "parses"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        try:
            task = self._task(prompt)
            found = readings(completion.text, task.names, task.context)
            if not found:
                return Verdict(Status.FAIL, Stage.INVALID, detail="no program in it")
            return self._judge(task, found)
        except (SandboxError, DataError, VerifierError, OSError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference has one of the forms that the class describes."""
        self._task(prompt)

    def preflight(self) -> None:
        """Raise a `PluginError` unless a right program passes in each form of tests, in the sandbox that holds here."""
        for prompt in (attacks.VALUES, attacks.ASSERTS, attacks.SHARED):
            verdict = replace(self, mode="auto", forbid=()).check(
                prompt, Completion(prompt.id, 0, attacks.SOLUTION)
            )
            if verdict.status is not Status.PASS:
                raise PluginError(
                    f"a right program does not pass tests as {prompt.id}: {verdict.detail.splitlines()[-1]}",
                    hint="`halo doctor` looks at the sandbox; limits of time and memory may be too tight",
                )

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the reference's solution if it has one."""
        solution = self._task(prompt).solution
        return [f"```python\n{solution.strip()}\n```\n"] if solution else []

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return programs that differ from the solution in one place, and in what they do, as far as that shows."""
        try:
            return near.misses(self._task(prompt), self._terms())
        except (SandboxError, OSError):
            return []

    def attacks(self) -> Sequence[Attack]:
        """Return wrong answers that try to be paid, see `attacks.md` in the package."""
        return list(attacks.attacks())

    def demo(self) -> Demo:
        """Return tasks for beginners in Python and a tiny model that half knows how to solve them."""
        return demo.load()

    def fingerprint(self) -> str:
        """Return the options and the versions of this package and of Python."""
        return f"{self!r} {version('halo-verifier-pytest')} {sys.version.split()[0]}"

    def _judge(self, task: Task, found: Sequence[str]) -> Verdict:
        terms = self._terms()
        if task.kind == "values":
            return functions.judge(task, found, terms)
        if task.kind == "asserts" and (self.mode == "functions" or apart.suits(task, terms)):
            return apart.judge(task, found, terms)
        return files.judge(tasks.as_files(task), found, terms, self.isolation)

    def _task(self, prompt: Prompt) -> Task:
        task = _read(_Keyed(prompt))
        if self.mode == "pytest" and task.kind == "asserts":
            return tasks.as_files(task)
        if (self.mode == "pytest" and task.kind == "values") or (
            self.mode == "functions" and task.kind == "files"
        ):
            raise DataError(
                f"prompt {prompt.id!r}: tests as {task.kind} are not for mode {self.mode}",
                hint="mode auto takes every form of tests",
            )
        return task

    def _terms(self) -> Terms:
        limits = Limits(
            cpu_seconds=self.total_cpu_seconds,
            memory_bytes=self.memory_mib * _MIB,
            stdout_bytes=self.output_kib * 1024,
        )
        return Terms(self.cpu_seconds, limits, self.paths, self.forbid, self.partial)


class _Keyed:
    """A prompt as a key: the same prompt is read once, however many completions it has."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self._key = repr(prompt)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self._key == other._key


@functools.lru_cache(maxsize=4096)
def _read(keyed: _Keyed) -> Task:
    return tasks.read(keyed.prompt)
