"""`ProgramVerifier`, with shell scripts as programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from halo_core import sandbox
from halo_core.drivers import driver
from halo_core.errors import DataError, PluginError, SandboxError
from halo_core.programs import (
    SHELL_TEXT,
    Build,
    Command,
    Language,
    ProgramVerifier,
    find_tool,
    read_reference,
)
from halo_core.testing import VerifierContract
from halo_core.types import Completion, Prompt, Stage, Status, Verdict

SHELL = Language(
    "Shell", ("sh",), first_line=r"(?:read|echo|exit|while|sleep)\b", text=SHELL_TEXT, code=r"[;$]"
)
RIGHT = "read a b; echo $((a + b))\n"
TESTS = [{"stdin": "3 4", "stdout": "7"}, {"stdin": "-3 4", "stdout": "1"}]


@driver
class Shell(ProgramVerifier):
    """Runs shell scripts."""

    language = SHELL
    source_file: ClassVar[str] = "main.sh"
    hello: ClassVar[str] = "echo ok\n"
    install: ClassVar[str] = "install a shell"
    interpreter: str = "/bin/sh"
    reject: str = ""

    def build(self, code: str) -> Build:
        built = self.compile([self.interpreter, "-n", self.source_file], code, self.source_file)
        flaw = f"uses {self.reject}" if self.reject and self.reject in code else ""
        return replace(built, flaw=flaw, warnings=code.count("warning"))

    def command(self) -> Command:
        return Command([find_tool("sh"), self.source_file], env={"GREETING": "hello"})

    def constant_program(self, output: str) -> str:
        return f"echo {output}"


class TestShell(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Shell:
        return Shell(cpu_seconds=0.5)

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("sum", "Add two numbers.", reference={"tests": TESTS})

    @pytest.fixture
    def good(self) -> str:
        return f"```sh\n{RIGHT}```"

    @pytest.fixture
    def bad(self) -> str:
        return "echo 7"


def check(text: str, reference: Mapping[str, Any] | None = None, **options: Any) -> Verdict:
    prompt = Prompt("p", "t", reference={"tests": TESTS} if reference is None else reference)
    return Shell(**options).check(prompt, Completion("p", 0, text))


@pytest.mark.parametrize(
    ("text", "status", "stage", "score"),
    [
        (RIGHT, Status.PASS, Stage.CORRECT, 1.0),
        ("echo 7", Status.FAIL, Stage.WRONG, 0.5),
        ("read a b; echo $((a + b)); exit 3", Status.FAIL, Stage.CRASHED, 0.0),
        ("while :; do :; done", Status.FAIL, Stage.CRASHED, 0.0),
        ("read a b; exit 0", Status.FAIL, Stage.FLAWED, 0.0),
        ("echo $((", Status.FAIL, Stage.INVALID, 0.0),
        ("", Status.FAIL, Stage.FLAWED, 0.0),
        (f"<think>{RIGHT}", Status.FAIL, Stage.INVALID, 0.0),
        (f"<think>echo 1</think>\n```sh\n{RIGHT}```", Status.PASS, Stage.CORRECT, 1.0),
    ],
)
def test_status_stage_and_score(text: str, status: Status, stage: Stage, score: float) -> None:
    verdict = check(text, cpu_seconds=0.3)
    assert (verdict.status, verdict.stage, verdict.score) == (status, stage, score), verdict.detail


def test_the_tier_and_the_time_are_recorded() -> None:
    verdict = check(RIGHT)
    assert verdict.sandbox == sandbox.get().tier
    assert verdict.cpu_seconds > 0
    assert verdict.wall_seconds > 0


def test_the_limit_on_processes_and_the_environment_reach_the_program() -> None:
    assert check("echo $GREETING", {"tests": [{"stdout": "hello"}]}).status is Status.PASS
    assert check("/bin/true & wait; echo 7", {"tests": [{"stdout": "7"}]}).stage is Stage.CRASHED


def test_numbers_are_compared_within_the_tolerance() -> None:
    reference = {"tests": [{"stdout": "0.3333"}]}
    assert check("echo 0.3334", reference).stage is Stage.WRONG
    assert check("echo 0.3334", reference, atol=1e-3).status is Status.PASS


def test_a_forbidden_feature_is_flawed_and_not_run() -> None:
    verdict = check(RIGHT, reject="echo")
    assert (verdict.status, verdict.stage, verdict.detail) == (Status.FAIL, Stage.FLAWED, "uses echo")


def test_without_tests_nothing_passes() -> None:
    assert check(RIGHT, {}).stage is Stage.UNTESTED
    flawed = check(f"{RIGHT}# warning", {})
    assert (flawed.stage, flawed.warnings) == (Stage.FLAWED, 1)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"tests": 3}, "tests must be a list"),
        ({"tests": ["3"]}, "test 1: must be a mapping"),
        ({"tests": [{"stdin": "3"}]}, "expected stdout is missing"),
        ({"tests": [{"stdout": " \n"}]}, "expected stdout is missing or empty"),
        ({"tests": [{"stdout": 7}]}, "stdout must be a string"),
        ({"tests": [{"stdout": "7", "stdn": "3"}]}, "did you mean 'stdin'"),
        ({"test": []}, "did you mean 'tests'"),
        ({"tests": TESTS, "solution": ""}, "solution must be the text"),
    ],
)
def test_an_unusable_reference_is_refused(reference: dict[str, Any], reason: str) -> None:
    prompt = Prompt("p7", "t", reference=reference)
    with pytest.raises(DataError, match=f"'p7'.*{reason}"):
        Shell().check_prompt(prompt)
    verdict = Shell().check(prompt, Completion("p7", 0, RIGHT))
    assert verdict.status is Status.ERROR


def test_keys_that_are_null_are_not_there() -> None:
    tests = [{"stdin": None, "stdout": "7"}]
    reference = read_reference(Prompt("p", "t", reference={"tests": tests, "solution": None}))
    assert (reference.tests[0].stdin, reference.solution) == (b"", "")


def test_references_mutants_and_the_check_of_solutions() -> None:
    prompt = Prompt("p", "t", reference={"tests": TESTS, "solution": RIGHT})
    verifier = Shell(check_solutions=True)
    verifier.check_prompt(prompt)
    assert verifier.references(prompt) == (RIGHT,)
    mutants = verifier.mutants(prompt)
    assert "read a b; echo $((a * b))\n" in mutants
    assert "echo 7" in mutants
    assert all(verifier.check(prompt, Completion("p", 0, mutant)).status is Status.FAIL for mutant in mutants)
    wrong = Prompt("p", "t", reference={"tests": TESTS, "solution": "echo 7"})
    with pytest.raises(DataError, match="does not pass: 1 of 2 tests"):
        verifier.check_prompt(wrong)


def test_a_missing_tool_is_an_error_and_not_a_failure() -> None:
    verdict = check(RIGHT, interpreter="sh-of-nobody")
    assert (verdict.status, verdict.detail) == (Status.ERROR, "'sh-of-nobody' not found")
    with pytest.raises(PluginError, match="not found") as refused:
        Shell(interpreter="sh-of-nobody").preflight()
    assert refused.value.hint == "install a shell"


def test_a_broken_tool_is_an_error_and_not_a_failure() -> None:
    """A failure that does not name the source may be the tool's, so a known program is built."""
    assert check(RIGHT, interpreter="false").status is Status.ERROR
    with pytest.raises(PluginError, match="cannot build a Shell program"):
        Shell(interpreter="false").preflight()


def test_a_build_that_fails_once_for_no_reason_of_the_program_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_build, calls = Shell.build, []

    def build(self: Shell, code: str) -> Build:
        calls.append(code)
        built = true_build(self, code)
        return replace(built, files={}) if len(calls) == 1 else built

    monkeypatch.setattr(Shell, "build", build)
    assert check(RIGHT).status is Status.PASS
    assert calls == [RIGHT, Shell.hello, RIGHT]


def test_the_tool_is_named_in_the_error() -> None:
    with pytest.raises(SandboxError, match="'no-such-tool' not found"):
        find_tool("no-such-tool")


def test_the_fingerprint_covers_options_and_the_core() -> None:
    assert Shell().fingerprint() != Shell(rtol=0.5).fingerprint()
    assert "halo-core" in Shell().fingerprint()


def test_the_likeliest_program_is_extracted() -> None:
    text = f"<think>echo 1</think>\n```sh\n{RIGHT}```"
    assert Shell().extracted(Prompt("p", "t"), Completion("p", 0, text)) == RIGHT
