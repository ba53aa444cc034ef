import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.types import Completion, Prompt, Status
from halo_verifier_pytest import Pytest, attacks
from halo_verifier_pytest.mutants import mutate

PROGRAM = '''
def f(xs, k=2):
    """Doubles what is above k."""
    total = 0
    for x in xs:
        if x > k and x % 2 == 0:
            total += max(x, 3) * 2
    return [y for y in (total, -1) if y in xs] + ["a"]
'''


def test_mutants_are_distinct() -> None:
    found = mutate(PROGRAM, 1000)
    assert len(found) > 25
    assert len(set(found)) == len(found)
    assert ast.unparse(ast.parse(PROGRAM)) not in found
    for text in found:
        assert '"""Doubles what is above k."""' in text


def test_mutants_are_deterministic_and_spread_over_the_program() -> None:
    assert mutate(PROGRAM, 6) == mutate(PROGRAM, 6)
    assert len(mutate(PROGRAM, 6)) == 6
    assert mutate(PROGRAM, 6)[-1] in mutate(PROGRAM, 1000)[-8:]


@pytest.mark.parametrize(
    ("program", "mutant"),
    [
        ("x > 1", "x >= 1"),
        ("x > 1", "x > 2"),
        ("x == y", "x != y"),
        ("a and b", "a or b"),
        ("min(x)", "max(x)"),
        ("[y for y in x if y]", "[y for y in x]"),
        ("-x", "+x"),
        ("x + y", "x - y"),
        ("'abc'[x]", "'ab'[x]"),
    ],
)
def test_kinds_of_mutants(program: str, mutant: str) -> None:
    assert f"z = {mutant}" in mutate(f"z = {program}", 100)


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    mutate(text, 5)


def test_invalid_python_has_no_mutants() -> None:
    assert mutate("def f(:", 5) == []


def make_prompt(solution: str, *tests: dict[str, object]) -> Prompt:
    return Prompt("p", "t", reference={"entry_point": "f", "tests": list(tests), "solution": solution})


def test_equivalent_mutants_are_omitted() -> None:
    prompt = make_prompt("def f(x):\n    return x + 0 * 5\n", {"args": [3], "expected": 3})
    texts = Pytest().mutants(prompt)
    assert texts == Pytest().mutants(prompt)
    assert "def f(x):\n    return x - 0 * 5" not in texts
    assert "def f(x):\n    return x + 1 * 5" in texts


def test_mutants_reveal_weak_tests() -> None:
    weak = make_prompt(
        "def f(x):\n    return x > 3\n", {"args": [9], "expected": True}, {"args": [0], "expected": False}
    )
    strong = make_prompt(
        "def f(x):\n    return x > 3\n",
        *({"args": [n], "expected": n > 3} for n in (2, 3, 4, 5)),
    )
    verifier = Pytest()
    for prompt, some in ((weak, True), (strong, False)):
        verdicts = [verifier.check(prompt, Completion("p", 0, text)) for text in verifier.mutants(prompt)]
        assert verdicts
        assert any(verdict.status is Status.PASS for verdict in verdicts) == some


@pytest.mark.parametrize("prompt", [attacks.VALUES, attacks.ASSERTS, attacks.FILES])
def test_references_pass_and_mutants_fail(prompt: Prompt) -> None:
    verifier = Pytest()
    assert [
        verifier.check(prompt, Completion("p", 0, text)).status for text in verifier.references(prompt)
    ] == ["pass"]
    mutants = verifier.mutants(prompt)
    assert mutants
    assert {verifier.check(prompt, Completion("p", 0, text)).status for text in mutants} == {Status.FAIL}


def test_prompts_without_solution_have_no_references_or_mutants() -> None:
    assert not Pytest().references(attacks.SHARED)
    assert not Pytest().mutants(attacks.SHARED)
