"""The `pytest` verifier: judges Python programs by tests that the programs cannot reach."""

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
from halo_core.verification.thoughts import TAGS, read_answer
from halo_verifier_pytest import attacks, demo, equivalence, files, functions, split, tasks
from halo_verifier_pytest.extraction import extract_programs
from halo_verifier_pytest.functions import Settings
from halo_verifier_pytest.results import NotByValueTestsError
from halo_verifier_pytest.tasks import Task

_MIB = 1 << 20


@driver
class Pytest(Verifier):
    """Runs tests against a Python program that cannot reach the tests.

    A prompt's reference has tests in one of three forms. By value:
    `{"entry_point": "add", "tests": [{"args": [3, 4], "expected": 7}, ...]}`. As asserts in the format of HumanEval
    (`entry_point`, `test`) or MBPP (`test_list`). As pytest files:
    `{"files": {"test_add.py": "from solution import add ..."}}`. With `solution`, a program known to be correct,
    `halo audit` can check the tests.

    The score is the share of tests that passed. The stage is `invalid` if the completion contains no valid Python,
    `flawed` if the requested function is missing, uses a forbidden name or returns None in every test,
    `crashed` if any test ended in an exception or at a limit, else `wrong` if any test failed.
    """

    mode: Literal["auto", "functions", "pytest"] = "auto"
    """functions: tests by value and asserts, with the program always in its own process. pytest: files, and asserts
    converted to files, where the program may share their process. auto: chosen by the reference; asserts are converted
    to files if the reference's solution does not pass them by value."""
    isolation: Literal["auto", "split", "shared"] = "auto"
    """Isolation of pytest files. split: the files import proxies that call the program by value in its own process.
    shared: the files import the program itself, which could forge its verdict; the verdict is labelled shared-process.
    auto: split if the reference's solution passes that way, else shared."""
    cpu_seconds: float = Field(default=3.0, gt=0.0)
    """CPU time for one test, in seconds, however busy the machine; executing the program counts as one test."""
    total_cpu_seconds: float = Field(default=6.0, gt=0.0)
    """Total CPU time of a program, in seconds; its tests may use the same again."""
    memory_mib: int = Field(default=512, gt=0)
    """Memory limit of the program, in MiB."""
    output_kib: int = Field(default=1024, gt=0)
    """Maximum size of the result of one call, in KiB."""
    paths: tuple[str, ...] = ()
    """Directories from which programs may import, in addition to the standard library."""
    forbid: tuple[str, ...] = ()
    """Names of modules, functions and attributes that a program must not use."""
    thought_tags: tuple[str, ...] = TAGS
    """Tags whose content is reasoning and not part of the answer."""
    partial: bool = True
    """Score the share of tests that passed; if false, score 1 or 0."""

    valid_label: ClassVar[str] = "parses"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        try:
            task = self._task(prompt)
            answer = read_answer(completion.text, self.thought_tags)
            candidates = extract_programs(answer.text, task.names, task.context)
            if not candidates:
                detail = answer.problem or "no program found"
                return Verdict(Status.FAIL, Stage.INVALID, detail=detail)
            return self._judge(task, candidates)
        except (SandboxError, DataError, VerifierError, OSError) as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))

    def extracted(self, prompt: Prompt, completion: Completion) -> str | None:
        """Return the likeliest program in `completion`; see `Verifier.extracted`."""
        task = self._task(prompt)
        answer = read_answer(completion.text, self.thought_tags)
        candidates = extract_programs(answer.text, task.names, task.context)
        return candidates[0] if candidates else None

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` if the reference has none of the forms that the class describes."""
        self._task(prompt)

    def preflight(self) -> None:
        """Raise a `PluginError` unless a correct program passes each form of tests in the current sandbox."""
        for prompt in (attacks.VALUES, attacks.ASSERTS, attacks.SHARED):
            verdict = replace(self, mode="auto", forbid=()).check(
                prompt, Completion(prompt.id, 0, attacks.SOLUTION)
            )
            if verdict.status is not Status.PASS:
                raise PluginError(
                    f"a correct program does not pass tests of form {prompt.id}: {verdict.detail.splitlines()[-1]}",
                    hint="check the sandbox with `halo doctor`; the time and memory limits may be too tight",
                )

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the reference's solution if it has one."""
        solution = self._task(prompt).solution
        return [f"```python\n{solution.strip()}\n```\n"] if solution else []

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return mutants of the solution that differ in one place and, as far as calls can show, in behaviour."""
        try:
            return equivalence.non_equivalent_mutants(self._task(prompt), self._settings())
        except (SandboxError, OSError):
            return []

    def attacks(self) -> Sequence[Attack]:
        """Return wrong answers crafted to be accepted, see `attacks.md` in the package."""
        return list(attacks.attacks())

    def demo(self) -> Demo:
        """Return small Python tasks and a tiny model that solves about half of them."""
        return demo.load()

    def fingerprint(self) -> str:
        """Return the options and the versions of this package and of Python."""
        return f"{self!r} {version('halo-verifier-pytest')} {sys.version.split()[0]}"

    def _judge(self, task: Task, candidates: Sequence[str]) -> Verdict:
        settings = self._settings()
        if task.kind == "values":
            return functions.judge(task, candidates, settings)
        if task.kind == "asserts" and (self.mode == "functions" or split.can_be_split(task, settings)):
            try:
                return split.judge(task, candidates, settings)
            except NotByValueTestsError:
                if task.solution or self.mode == "functions":
                    raise
                split.must_share(task, settings)
        return files.judge(tasks.as_files(task), candidates, settings, self.isolation)

    def _task(self, prompt: Prompt) -> Task:
        task = _read(_PromptKey(prompt))
        if self.mode == "pytest" and task.kind == "asserts":
            return tasks.as_files(task)
        if (self.mode == "pytest" and task.kind == "values") or (
            self.mode == "functions" and task.kind == "files"
        ):
            raise DataError(
                f"prompt {prompt.id!r}: mode {self.mode} does not accept tests of form {task.kind}",
                hint="mode auto accepts every form of tests",
            )
        return task

    def _settings(self) -> Settings:
        limits = Limits(
            cpu_seconds=self.total_cpu_seconds,
            memory_bytes=self.memory_mib * _MIB,
            stdout_bytes=self.output_kib * 1024,
        )
        return Settings(self.cpu_seconds, limits, self.paths, self.forbid, self.partial)


class _PromptKey:
    """Hashable wrapper of a prompt, so that its reference is read once and not for every completion."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self._key = repr(prompt)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PromptKey) and self._key == other._key


@functools.lru_cache(maxsize=4096)
def _read(key: _PromptKey) -> Task:
    return tasks.read(key.prompt)
