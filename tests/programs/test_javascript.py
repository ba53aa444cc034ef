"""The example of a verifier written from the documentation alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from programs.javascript import JAVASCRIPT, JavaScript

from halo_core.programs import candidates
from halo_core.testing import VerifierContract
from halo_core.types import Completion, Prompt, Stage, Status

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
PROGRAM = """const lines = require('fs').readFileSync(0, 'utf8').split('\\n');
const [a, b] = lines[0].split(' ').map(Number);
console.log(`${a + b}`);
"""
TESTS = [{"stdin": "3 4\n", "stdout": "7"}, {"stdin": "-3 4\n", "stdout": "1"}]


@needs_node
class TestJavaScript(VerifierContract):
    @pytest.fixture
    def verifier(self) -> JavaScript:
        return JavaScript()

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt(
            "sum", "Add two numbers in JavaScript.", reference={"tests": TESTS, "solution": PROGRAM}
        )

    @pytest.fixture
    def good(self) -> str:
        return f"Here it is:\n```js\n{PROGRAM}```\nOutput:\n```\n7\n```"

    @pytest.fixture
    def bad(self) -> str:
        return "console.log(7);"

    @pytest.mark.parametrize(
        ("text", "stage"),
        [
            (PROGRAM, Stage.CORRECT),
            (PROGRAM.replace("readFileSync(0", "readFileSync('/dev/stdin'"), Stage.CORRECT),
            (f"The program:\n\n{PROGRAM}\nIt reads one line, and that's all.", Stage.CORRECT),
            (f"```js\n{PROGRAM}```\nNo, rather:\n```js\nconsole.log(8);\n```", Stage.WRONG),
            ("throw 1;", Stage.CRASHED),
            ("for (;;) {}", Stage.CRASHED),
            ("// eval()\nlet x = 1;", Stage.FLAWED),
            ("let = ;", Stage.INVALID),
        ],
    )
    def test_stages(self, verifier: JavaScript, prompt: Prompt, text: str, stage: Stage) -> None:
        verdict = verifier.check(prompt, Completion(prompt.id, 0, text))
        assert verdict.stage is stage, verdict.detail

    def test_attacks_reach_the_stage_of_an_honest_wrong_answer(self, verifier: JavaScript) -> None:
        for attack in verifier.attacks():
            verdict = verifier.check(attack.prompt, Completion(attack.prompt.id, 0, attack.text))
            assert (verdict.status, verdict.stage) == (Status.FAIL, attack.stage), (
                attack.name,
                verdict.detail,
            )

    def test_mutants_fail(self, verifier: JavaScript, prompt: Prompt) -> None:
        mutants = verifier.mutants(prompt)
        assert mutants
        for mutant in mutants:
            verdict = verifier.check(prompt, Completion(prompt.id, 0, mutant))
            assert verdict.status is Status.FAIL, mutant


def test_backticks_in_a_template_are_not_a_fence() -> None:
    code = "const s = `\n```\n`;\nconsole.log(s);\n"
    assert candidates(f"````js\n{code}````", JAVASCRIPT)[0].code == code


def test_the_example_is_short() -> None:
    assert len(Path(__file__).with_name("javascript.py").read_text().splitlines()) < 80
