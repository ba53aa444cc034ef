"""All verifiers that come with halo skip reasoning in the same way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Stage, Status, Verdict

ANSWERS: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    "gcc:GCC": (
        {"tests": [{"stdin": "3 4", "stdout": "7"}, {"stdin": "1 1", "stdout": "2"}]},
        '#include <stdio.h>\nint main(void) {\n    int a, b;\n    scanf("%d %d", &a, &b);\n'
        '    printf("%d\\n", a + b);\n    return 0;\n}',
        "#include <stdio.h>\nint main(void) {\n    puts(\"7\");\n    return 0;\n}",
        {},
    ),
    "pytest:Pytest": (
        {"test_list": ["assert add(3, 4) == 7", "assert add(1, 1) == 2"], "code": "def add(a, b):\n    return b + a"},
        "def add(a, b):\n    return a + b",
        "def add(a, b):\n    return 7",
        {},
    ),
    "sql:SQL": (
        {
            "schema": "CREATE TABLE item (name TEXT, price INTEGER)",
            "rows": {"item": [["a", 1], ["b", 5], ["c", 9]]},
            "query": "SELECT name FROM item WHERE price > 4",
        },
        "SELECT name FROM item WHERE price > 4",
        "SELECT name FROM item WHERE price < 4",
        {},
    ),
    "rust:Rust": (
        {"tests": [{"stdout": "7"}]},
        '```rust\nfn main() { println!("7"); }\n```',
        '```rust\nfn main() { println!("8"); }\n```',
        {},
    ),
    "sympy:Sympy": ({"answer": "12"}, r"\boxed{12}", r"\boxed{13}", {}),
    "jsonschema:JSONSchema": ({"answer": {"city": "Oslo"}}, '{"city": "Oslo"}', '{"city": "Rome"}', {}),
}  # fmt: skip
CHANNEL = "<|channel|>{}<|message|>{}"

Check = Callable[[str], Verdict]


@pytest.fixture(params=list(ANSWERS))
def case(request: pytest.FixtureRequest) -> tuple[Check, str, str]:
    """Return a check, a right answer and a wrong one, of each verifier."""
    name, _, cls = request.param.partition(":")
    if name == "rust" and shutil.which("rustc") is None:
        pytest.skip("rustc is not installed")
    module = pytest.importorskip(f"halo_verifier_{name}")
    reference, right, wrong, options = ANSWERS[request.param]
    verifier = getattr(module, cls)(**options)
    prompt = Prompt("p", "Do it.", reference=reference)
    verifier.check_prompt(prompt)

    def check(text: str) -> Verdict:
        verdict = verifier.check(prompt, Completion("p", 0, text))
        assert isinstance(verdict, Verdict)
        return verdict

    return check, right, wrong


def test_an_answer_outside_of_reasoning_counts(case: tuple[Check, str, str]) -> None:
    check, right, wrong = case
    for text in (
        f"<think>\n{wrong}\n</think>\n{right}",
        f"<thinking>\n{wrong}\n</thinking>\n\n{right}",
        f"<think>a <think>b</think> {wrong}</think>\n{right}",
        f"{wrong}\n</think>\n{right}",
        f'<think>Should I write `</think>` or "<think>"? {wrong}\n</think>\n{right}',
        CHANNEL.format("final", right),
        f"{CHANNEL.format('analysis', wrong)}<|end|><|start|>assistant{CHANNEL.format('final', right)}<|return|>",
        f"{wrong}<|end|><|start|>assistant{CHANNEL.format('final', right)}",
    ):
        verdict = check(text)
        assert verdict.status is Status.PASS, (text, verdict.detail)


def test_an_answer_within_reasoning_does_not_count(case: tuple[Check, str, str]) -> None:
    check, right, wrong = case
    for text in (
        f"<think>\n{right}\n</think>\n{wrong}",
        f"<think>\n{right}\n</think>",
        f"{right}\n</think>\n{wrong}",
        f"{right}\n</think>",
        f"{CHANNEL.format('analysis', right)}<|end|><|start|>assistant{CHANNEL.format('final', wrong)}<|return|>",
    ):
        assert check(text).status is Status.FAIL, text


def test_a_completion_that_ends_within_its_reasoning_has_no_answer(case: tuple[Check, str, str]) -> None:
    check, right, _ = case
    for text in (
        f"<think>\n{right}",
        f"<think>\n{right}\nWait, ",
        f"{right}\n<think>\nIs that right? I",
        f"<think>one</think>\n{right}\n<think>",
        f"<think>one <think>two</think>\n{right}",
        f"Sure.\n<THINK>\n{right}",
        CHANNEL.format("analysis", right),
        f"{CHANNEL.format('analysis', right)}<|end|>",
        f"{CHANNEL.format('analysis', right)}<|end|><|start|>assistant<|channel|>fin",
    ):
        verdict = check(text)
        assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID), (text, verdict.detail)
        assert "end" in verdict.detail, verdict.detail
