"""Numbers must be evaluated, and expressions of the prompt do not answer it."""

from collections.abc import Callable

import pytest

from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sympy import Sympy

Check = Callable[..., Verdict]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12", "7 + 5"),
        ("12", "24/2"),
        ("12", r"\frac{24}{2}"),
        ("12", "3 \\cdot 4"),
        ("1024", "2^{10}"),
        ("1024", "2^10"),
        ("12", r"\sqrt{144}"),
        ("6", "3!"),
        ("10", r"\binom{5}{2}"),
        ("4", r"\lfloor 4.7 \rfloor"),
        ("3", "|-3|"),
        ("3", r"\log_2 8"),
        ("1/2", r"\sin 30^\circ"),
        ("-1", "i^2"),
        ("-1", r"e^{i\pi}"),
        ("12", "12x/x"),
        ("12", "12 + x - x"),
        ("12", "x = 7 + 5"),
        ("12", "7 + 5 = 10 + 2"),
        ("x = 12", "x = 7 + 5"),
        (r"5\text{ cm}", r"2+3\text{ cm}"),
        (r"10\pi", r"2\pi\cdot 5"),
        (r"25\pi", r"\pi\cdot 5^2"),
        (r"\frac{\sqrt3}{2}", r"\sin 60^\circ"),
        ("2i", "(1+i)^2"),
        (r"2\sqrt3", r"\sqrt4\sqrt3"),
        (r"1+\sqrt2", r"\frac22+\sqrt2"),
        ("(12, 3)", "(7+5, 3)"),
        (r"\{12, 3\}", r"\{2\cdot 6, 3\}"),
        ("-2, 2", r"\pm(1+1)"),
        ("0.7", r"0.3+0.4"),
        ("50\\%", r"\frac14+\frac14"),
    ],
)
def test_calculation_is_no_number(check: Check, gold: str, answer: str) -> None:
    assert check(gold, answer).stage is Stage.FLAWED
    assert check(gold, answer, form="any").status is Status.PASS


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5/6", "10/12"),
        ("-1/2", r"\frac{-1}{2}"),
        ("-1/2", "-0.5"),
        ("7/2", r"3\frac12"),
        ("1/3", r"0.\overline{3}"),
        ("1/2", r"50\%"),
        ("12", "7 + 5 = 12"),
        ("12", "x = 12"),
        ("12", "x = 7 + 5 = 12"),
        ("300000000", r"3 \times 10^8"),
        ("1000000", "10^6"),
        ("0.001", "10^{-3}"),
        ("2^{10}", "1024"),
        ("2^{10}", "4^5"),
        (r"3\ln 2", r"\ln 8"),
        (r"\ln 2", r"\ln 2"),
        (r"\frac{\pi}{2}", r"90^\circ"),
        (r"2\sqrt3", r"\sqrt{12}"),
        (r"\frac{\sqrt3}{2}", r"\sqrt{\frac34}"),
        (r"\frac{3\sqrt2}{2}", r"\frac{3}{\sqrt2}"),
        (r"e^2", r"\exp(2)"),
        ("(1, 2)", r"(1.0, \frac42)"),
        ("-2, 2", r"\pm 2"),
        ("x^2+y^2 = 25", "x^2+y^2 = 5^2"),
        ("2x+2", "2(x+1)"),
        (r"\infty", r"\infty"),
        (r"\sqrt2x = 2", r"x = \sqrt2"),
    ],
)
def test_numbers_have_many_evaluated_forms(check: Check, gold: str, answer: str) -> None:
    verdict = check(gold, answer)
    assert verdict.status is Status.PASS, verdict.detail


def test_rounded_reference_is_answered_by_an_exact_number(check: Check) -> None:
    assert check("0.693", r"\ln 2", rtol=0.01).status is Status.PASS
    assert check("1.414", r"\sqrt2", atol=0.001).status is Status.PASS
    assert check("1.414", "0.7+0.714", atol=0.001).stage is Stage.FLAWED


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac12", r"\frac13+\frac16x^0"),
        (r"\frac12", r"\frac13+\frac{x}{6x}"),
        (r"\frac12", r"\frac13+\frac16\cdot\frac xx"),
        (r"\frac13", r"\frac{x}{3x}"),
        ("12", "12x^0"),
        ("12", "12+0x"),
        ("12", r"12\sin^2x+12\cos^2x"),
        ("12", "12+x-x"),
        ("12", r"12\cdot 1^x"),
        ("12", r"12\ln e"),
        ("12", "(x+12)-x"),
        ("12", r"|12|"),
        (r"\frac12", r"e^{-\ln 2}"),
        (r"\frac12", r"\frac{x}{2x}"),
        (r"\frac12", r"\sqrt{\frac14}"),
        (r"\frac12", r"\log_4 2"),
        (r"\frac12", r"\sin 30^\circ"),
        ("12", r"4\sqrt{9}"),
        ("5x", r"2x+3xy^0"),
        ("5x", "5x+y-y"),
        ("x+12", "x+7+y^0+4"),
    ],
)
def test_evaluated_is_not_dodged_by_variables(check: Check, gold: str, answer: str) -> None:
    assert check(gold, answer, form="evaluated").stage is Stage.FLAWED


def _verdict(task: str, gold: str, answer: str, form: str = "auto") -> Verdict:
    prompt = Prompt("p", task, reference={"answer": gold, "form": form})
    return Sympy().check(prompt, Completion("p", 0, rf"\boxed{{{answer}}}"))


@pytest.mark.parametrize(
    ("task", "gold", "answer"),
    [
        ("Expand (x+1)^2.", "x^2+2x+1", "(x+1)^2"),
        ("Expand (x+1)^2.", "x^2+2x+1", "(1+x)^2"),
        ("Expand (x+1)^2.", "x^2+2x+1", "(x+1)(x+1)"),
        ("Expand (x+1)^2.", "x^2+2x+1", "1(x+1)^2+0"),
        (r"Expand $\left(x+1\right)^{2}$.", "x^2+2x+1", "(x+1)^2"),
        (r"Expand \[(x+1)(x+2).\]", "x^2+3x+2", "(x+2)(x+1)"),
        ("Let f(x) = (x+1)^2. Expand f(x).", "x^2+2x+1", "(x+1)^2"),
        ("Factor x^2-1.", "(x-1)(x+1)", "x^2-1"),
        ("Factor x^2-1.", "(x-1)(x+1)", "-1+x^2"),
        ("Solve 2x+3=7.", "x = 2", "2x+3=7"),
        ("Solve 2x+3=7.", "x = 2", "7=3+2x"),
        ("Solve 2x > 4 for x.", "x > 2", "2x > 4"),
        (r"Simplify $\sqrt{12}$.", r"2\sqrt3", r"\sqrt{12}"),
        (r"Simplify \(\frac{x^2-1}{x-1}\).", "x+1", r"\frac{x^2-1}{x-1}"),
        (r"Simplify \(\frac{x^2-1}{x-1}\).", "x+1", r"y = (x^2-1)/(x-1)"),
        ("Reduce 10/12.", "5/6", r"\frac{10}{12}"),
    ],
)
def test_expression_of_the_prompt_is_no_answer(task: str, gold: str, answer: str) -> None:
    verdict = _verdict(task, gold, answer)
    assert verdict.stage is Stage.FLAWED
    assert "expression of the task" in verdict.detail
    assert _verdict(task, gold, answer, form="any").status is Status.PASS


@pytest.mark.parametrize(
    ("task", "gold", "answer"),
    [
        ("Expand (x+1)^2.", "x^2+2x+1", "1+2x+x^2"),
        ("Which is larger, 2^10 or 10^3?", "2^{10}", "2^{10}"),
        ("Which equals x^2-1: (x-1)(x+1) or (x-1)^2?", "(x-1)(x+1)", "(x+1)(x-1)"),
        ("Tom has 0.5 litres of 2 litres. What is half of one?", "1/2", "0.5"),
        ("A coat is 50% off. What is half?", "1/2", r"50\%"),
        ("Is it 1/2 or 1/3?", "0.5", "1/2"),
        ("What is the sum of a and b?", "a+b", "b+a"),
        ("Give the line y = mx + b with slope 2 through (0, 3).", "y = 2x+3", "y = 3+2x"),
        ("Name x.", "x", "x"),
        ("", "x^2+2x+1", "(x+1)^2"),
    ],
)
def test_numbers_and_what_the_reference_says_may_stand_in_the_prompt(
    task: str, gold: str, answer: str
) -> None:
    verdict = _verdict(task, gold, answer)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("task", "gold", "copies"),
    [
        ("What is 7 + 5?", "12", {r"\boxed{7 + 5}"}),
        ("Expand (x+1)^2.", "x^2+2x+1", {r"\boxed{(x+1)^2}"}),
        (r"Evaluate $\frac13+\frac16$.", "1/2", {r"\boxed{\frac13+\frac16}"}),
        ("Which is larger, 2^10 or 10^3?", "2^{10}", {r"\boxed{10^3}"}),
        ("Compute sin(pi/6)", "1/2", {r"\boxed{sin(pi/6)}"}),
        (r"Compute \[\int_0^1 x^2\,dx.\]", "1/3", {r"\boxed{\int_0^1 x^2\,dx}"}),
        ("Tom has 5 apples and 0.5 litres.", "1/2", set()),
        ("Solve 2x+3=7.", "2", {r"\boxed{2x+3=7}", r"\boxed{2 \cdot x + 3}"}),
    ],
)
def test_audit_tries_the_expressions_of_the_prompt(task: str, gold: str, copies: set[str]) -> None:
    prompt = Prompt("p", task, reference={"answer": gold})
    verifier = Sympy()
    assert set(verifier.copied_answers(prompt)) == copies
    for text in copies:
        assert verifier.check(prompt, Completion("p", 0, text)).status is Status.FAIL


def test_messages_are_searched_like_text() -> None:
    prompt = Prompt(
        "p", messages=({"role": "user", "content": "Expand (x+1)^2."},), reference={"answer": "x^2+2x+1"}
    )
    assert Sympy().check(prompt, Completion("p", 0, r"\boxed{(x+1)^2}")).status is Status.FAIL
    assert Sympy().copied_answers(prompt) == [r"\boxed{(x+1)^2}"]
    any_form = Prompt("p", "Expand (x+1)^2.", reference={"answer": "x^2+2x+1", "form": "any"})
    assert Sympy().copied_answers(any_form) == []
