"""Completions that are nothing but an answer, and nouns that name what a number counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from halo_core.types import Completion, Prompt, Status, Verdict
from halo_verifier_sympy import Sympy

Check = Callable[..., Verdict]


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("7", "x = 7"),
        ("7", "7"),
        ("7", "$7$"),
        ("7", "#### 7"),
        ("7", "**7**"),
        ("7", "\\(7\\)"),
        ("7", "  7.\n"),
        ("7", "$$7$$"),
        ("7", "\\[x=7\\]"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("x^2+1", "x^2+1"),
        ("(1,2)", "(1, 2)"),
        ("7", "= 7"),
        ("-3", "-3"),
        ("7", "\n\n7\n\n"),
        ("7", "x=7."),
        ("1/2", "$\\frac12$"),
        ("7", "<think>hm 8</think>7"),
        ("12", "3 + 9 = 12"),
        ("7", "`7`"),
        ("7", "####7"),
        ("7", "# 7"),
        ("7", "y = 7"),
        ("x=7", "x = 7"),
    ],
)
def test_a_completion_may_be_nothing_but_the_answer(check_completion: Check, gold: str, text: str) -> None:
    verdict = check_completion(gold, text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("7", r"\boxedness{7}"),
        ("7", "Seven, that is 7"),
        ("7", "not 7"),
        ("7", "7 or 8"),
        ("7", "maybe 7"),
        ("7", "7?"),
        ("7", "-7"),
        ("7", "7, 8"),
        ("7", "x \\ne 7"),
        ("7", "7 is wrong"),
        ("7", "about 7"),
        ("7", "around 7"),
        ("7", "7 or so"),
        ("7", "8\n7"),
        ("7", "x > 7"),
        ("7", "no 7"),
        ("7", "7!"),
        ("7", "7 8"),
        ("7", "I think 7 or 8"),
        ("7", "<think>7"),
        ("7", "7+0"),
        ("7", "6 + 1"),
        ("7", "~7"),
        ("7", "≈ 7"),
        ("7", "\\approx 7"),
        ("7", "not $7$"),
        ("7", "$7$?"),
        ("7", "$7$ or $8$"),
        ("7", "$\\phantom{7}$"),
        ("7", "%7"),
        ("7", "7%"),
        ("7", "$7\\%$"),
        ("7", "x = 7 = 8"),
        ("7", "7 \\cdot 10"),
        ("7", "7 dozen"),
    ],
)
def test_a_bare_line_with_more_than_the_answer_is_not_the_answer(
    check_completion: Check, gold: str, text: str
) -> None:
    assert check_completion(gold, text).status is Status.FAIL


@pytest.mark.parametrize("where", ["box", "phrase"])
def test_a_bare_answer_counts_only_where_any_place_does(check_completion: Check, where: str) -> None:
    assert check_completion("7", "7", {"where": where}).status is Status.FAIL


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("12", "12 apples"),
        ("6", "\\boxed{6 \\text{ sides}}"),
        ("6", "\\boxed{6\\text{ sides}}"),
        ("6", "The answer is 6 sides."),
        ("6", "\\boxed{6 sides}"),
        ("6", "\\boxed{6~\\text{apples}}"),
        ("6", "\\boxed{6} sides"),
        ("6", "The answer is $6$ sides."),
        ("6", "The answer is $6 \\text{ sides}$."),
        ("6", "\\boxed{6 \\text{ ways}}"),
        ("6", "\\boxed{6\\ \\text{students}}"),
        ("6", "\\boxed{6 \\text{ people}}"),
        ("6", "\\boxed{6\\text{ children}}"),
        ("6", "6 sides"),
        ("6", "\\boxed{6\\,\\mathrm{marbles}}"),
        ("6", "\\boxed{6 \\text{ red balls}}"),
        ("6", "The answer is 6 red balls."),
        ("6", "\\boxed{6 \\textbf{ boxes}}"),
        ("6", "\\boxed{6 \\text{ guesses}}"),
        ("6\\text{ apples}", "\\boxed{6\\text{ apples}}"),
    ],
)
def test_a_noun_may_say_what_the_number_counts(check_completion: Check, gold: str, text: str) -> None:
    verdict = check_completion(gold, text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("6", "\\boxed{6 \\text{ dozens}}"),
        ("6", "\\boxed{6 \\text{ dozen}}"),
        ("6", "\\boxed{6 \\text{ hundreds}}"),
        ("6", "\\boxed{6 \\text{ percents}}"),
        ("6", "\\boxed{6 \\text{ percent}}"),
        ("6", "\\boxed{6 \\text{ cm}}"),
        ("6", "\\boxed{6 \\text{ hours}}"),
        ("6", "\\boxed{6 \\text{ thirds}}"),
        ("6", "\\boxed{6 \\text{ pairs}}"),
        ("6", "\\boxed{6 \\text{ times}}"),
        ("6", "\\boxed{6 \\text{ halves}}"),
        ("6", "\\boxed{6 \\text{ tenths}}"),
        ("6", "\\boxed{6 \\text{ millions}}"),
        ("6", "\\boxed{6 \\text{ degrees}}"),
        ("6", "\\boxed{6 \\text{ squares of 2}}"),
        ("6", "\\boxed{6 \\text{ volts}}"),
        ("6", "\\boxed{6 \\text{ is wrong}}"),
        ("6", "\\boxed{6 \\text{ or more}}"),
        ("6", "\\boxed{6 \\text{ more apples than 3}}"),
        ("6", "\\boxed{6 \\text{ less}}"),
        ("6", "\\boxed{6 \\text{ squared}}"),
        ("6", "\\boxed{6 \\text{ minus apples}}"),
        ("6", "\\boxed{6 \\text{ no sides}}"),
        ("6", "\\boxed{6 \\text{ scores}}"),
        ("6", "\\boxed{6 \\text{ quarters}}"),
        ("6", "\\boxed{6 \\text{ plus}}"),
        ("6", "\\boxed{6 \\text{ minus}}"),
        ("6", "\\boxed{5 \\text{ sides}}"),
        ("6", "\\boxed{6 \\text{ kilograms}}"),
        ("6", "\\boxed{6 \\text{ gallons}}"),
        ("6", "\\boxed{6 \\text{ apples per box}}"),
        ("6", "\\boxed{6 \\text{ square sides}}"),
        ("6", "\\boxed{6 \\text{ trios}}"),
        ("6", "\\boxed{6 \\text{ couples}}"),
        ("6", "\\boxed{6 \\text{ weeks}}"),
        ("6", "\\boxed{6 \\text{ units}}"),
        ("6", "\\boxed{6 \\text{ thousandths}}"),
        ("6", "\\boxed{6 \\text{ multiples}}"),
        ("6", "\\boxed{6 \\text{ double apples}}"),
        ("6", "\\boxed{6 \\text{ minus signs}}"),
        ("6", "\\boxed{6 \\text{ wrong answers}}"),
        ("6", "\\boxed{6 \\text{ factorials}}"),
        ("6\\text{ apples}", "\\boxed{6\\text{ pears}}"),
        ("6\\text{ apples}", "\\boxed{6}"),
    ],
)
def test_units_multipliers_and_other_words_are_no_such_nouns(
    check_completion: Check, gold: str, text: str
) -> None:
    assert check_completion(gold, text).status is Status.FAIL


@pytest.mark.parametrize(
    ("task", "text", "right"),
    [
        ("How many sheep are there?", "\\boxed{6 \\text{ sheep}}", True),
        ("How many?", "\\boxed{6 \\text{ sheep}}", False),
        ("How many dozen eggs?", "\\boxed{6 \\text{ dozen}}", False),
        ("How many cm?", "\\boxed{6 \\text{ cm}}", False),
        ("How many fish?", "The answer is 6 fish.", True),
        ("How many hardy sheep?", r"\boxed{6 \text{ hardy sheep}}", True),
        ("How many sheep, and not goats?", r"\boxed{6 \text{ not sheep}}", False),
    ],
)
def test_a_noun_of_the_prompt_counts_whatever_its_form(task: str, text: str, right: bool) -> None:
    for prompt in (
        Prompt("p", task, reference={"answer": "6"}),
        Prompt("p", messages=({"role": "user", "content": task},), reference={"answer": "6"}),
    ):
        assert (Sympy().check(prompt, Completion("p", 0, text)).status is Status.PASS) == right
