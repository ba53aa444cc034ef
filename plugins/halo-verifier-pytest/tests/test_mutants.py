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


def test_mutants_differ_from_the_program_and_from_each_other() -> None:
    found = mutate(PROGRAM, 1000)
    assert len(found) > 25
    assert len(set(found)) == len(found)
    assert ast.unparse(ast.parse(PROGRAM)) not in found
    for text in found:
        assert '"""Doubles what is above k."""' in text


def test_they_are_the_same_each_time_and_spread_over_the_program() -> None:
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
def test_slips(program: str, mutant: str) -> None:
    assert f"z = {mutant}" in mutate(f"z = {program}", 100)


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    mutate(text, 5)


def test_nothing_comes_of_what_is_not_python() -> None:
    assert mutate("def f(:", 5) == []


def of(solution: str, *tests: dict[str, object]) -> Prompt:
    return Prompt("p", "t", reference={"entry_point": "f", "tests": list(tests), "solution": solution})


def test_mutants_of_a_prompt_do_something_else() -> None:
    prompt = of("def f(x):\n    return x + 0 * 5\n", {"args": [3], "expected": 3})
    texts = Pytest().mutants(prompt)
    assert texts == Pytest().mutants(prompt)
    assert "def f(x):\n    return x - 0 * 5" not in texts
    assert "def f(x):\n    return x + 1 * 5" in texts


def test_tests_too_few_are_seen_by_a_mutant_that_passes() -> None:
    weak = of(
        "def f(x):\n    return x > 3\n", {"args": [9], "expected": True}, {"args": [0], "expected": False}
    )
    strong = of(
        "def f(x):\n    return x > 3\n",
        *({"args": [n], "expected": n > 3} for n in (2, 3, 4, 5)),
    )
    verifier = Pytest()
    for prompt, some in ((weak, True), (strong, False)):
        verdicts = [verifier.check(prompt, Completion("p", 0, text)) for text in verifier.mutants(prompt)]
        assert verdicts
        assert any(verdict.status is Status.PASS for verdict in verdicts) == some


@pytest.mark.parametrize("prompt", [attacks.VALUES, attacks.ASSERTS, attacks.FILES])
def test_references_pass_and_mutants_do_not(prompt: Prompt) -> None:
    verifier = Pytest()
    assert [
        verifier.check(prompt, Completion("p", 0, text)).status for text in verifier.references(prompt)
    ] == ["pass"]
    mutants = verifier.mutants(prompt)
    assert mutants
    assert {verifier.check(prompt, Completion("p", 0, text)).status for text in mutants} == {Status.FAIL}


def test_without_a_solution_there_is_nothing_to_go_by() -> None:
    assert not Pytest().references(attacks.SHARED)
    assert not Pytest().mutants(attacks.SHARED)
