"""Text around an answer: signs, factors, alternatives, headings, thoughts, and what hides a box."""

from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.types import Stage, Status, Verdict

Check = Callable[..., Verdict]
LINES = Path(__file__).with_name("around.txt").read_text(encoding="utf-8").splitlines()
_PLACE = next(number for number, line in enumerate(LINES) if line.startswith("# wrong"))
RIGHT = [line for line in LINES[:_PLACE] if line and not line.startswith("# ")]
WRONG = [line for line in LINES[_PLACE:] if line and not line.startswith("# ")]


@pytest.mark.parametrize("text", RIGHT)
def test_text_around_the_answer_is_ignored(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text.replace("<nl>", "\n"))
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize("text", WRONG)
def test_sign_factor_or_alternative_makes_another_answer(check_completion: Check, text: str) -> None:
    assert check_completion("12", text.replace("<nl>", "\n")).status is Status.FAIL


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        (r"12\%", r"$\boxed{12}\%$"),
        (r"12\%", r"$\boxed{12}$ percent"),
        (r"\$5", r"$\$\boxed{5}$"),
        (r"\$5", r"\$\boxed{5}"),
        (r"5\text{ cm}", r"$\boxed{5}\text{ cm}$"),
        (r"5\text{ cm}", r"\boxed{5} cm"),
        (r"5\text{ cm}^2", r"$\boxed{5}\text{ cm}^2$"),
        (r"90^\circ", r"$\boxed{90}^\circ$"),
        ("204_5", r"$\boxed{204}_5$"),
        ("0.5", r"\boxed{0.5} or $\frac12$"),
        ("1, 2", r"The answer is $1$ and $2$."),
        ("1, 2", r"The answer is $1$, $2$."),
        (r"\frac12", r"$\boxed\frac12$"),
        ("x", r"$\boxed x$"),
        (r"\sqrt2", r"$\boxed\sqrt{2}$."),
        ("5", "#### 5"),
        (r"5\text{ km}", r"The answer is $5$ km."),
    ],
)
def test_what_belongs_to_the_answer_may_stand_outside(check_completion: Check, gold: str, text: str) -> None:
    verdict = check_completion(gold, text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("-12", r"$-\boxed{12}$"),
        (r"5\text{ cm}", r"$\boxed{5}\text{ km}$"),
        (r"\$5", r"\boxed{5}"),
        ("204", r"$\boxed{204}_5$"),
        ("12", "It is $12$ or $13$."),
        ("13", "It is $12$ or $13$."),
        ("12", "The value is -$12$"),
        ("12", "The value is $12$%"),
        ("12", "The value is 2$12$"),
    ],
)
def test_another_answer_outside_fails(check_completion: Check, gold: str, text: str) -> None:
    for options in ({}, {"where": "last"}):
        assert check_completion(gold, text, options).status is Status.FAIL


@pytest.mark.parametrize(
    "text",
    [
        r"First $\textcolor{blue}{3}x = 75$. So $x = \boxed{12}$.",
        r"\textbf{\boxed{12}}",
        r"{\color{white} x} \boxed{12}",
        r"\color{blue}\boxed{12}",
        r"\textcolor{red}{\boxed{12}}",
        r"$\phantom{-}\boxed{12}$",
        r"<b>\boxed{12}</b>",
        r"<answer>\boxed{12}</answer>",
        r'<span style="color:red">\boxed{12}</span>',
        r'<div align="center">\boxed{12}</div>',
        r"\begin{align*} x&=\boxed{12}\end{align*}",
        r"\[ \underbrace{\boxed{12}}_{x} \]",
        r"the set {1, 2 and \boxed{12}",
        r"x <b and c> 3 so \boxed{12}",
        r"[a link](http://x) \boxed{12}",
        r"~~11~~ \boxed{12}",
        r"\cancel{5} \boxed{12}",
        r"\section*{Answer} \boxed{12}",
        r"$x^{2}$ is 144, \boxed{12}",
    ],
)
def test_visible_boxes_are_found(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    "text",
    [
        r"\setbox0=\hbox{\boxed{12}}",
        r"\sbox0{\boxed{12}}",
        r'<span style="display:none">\boxed{12}</span>',
        r'<span style="opacity:0">\boxed{12}</span>',
        r'<div style="visibility:hidden">\boxed{12}</div>',
        r'<div class="x">\boxed{12}</div>',
        r"<p hidden>\boxed{12}</p>",
        r'<font color="white">\boxed{12}</font>',
        r"<details>\boxed{12}</details>",
        r"<script>\boxed{12}</script>",
        r"<s>\boxed{12}</s>",
        r"\transparent{0}\boxed{12}",
        r"\textcolor{white}{\boxed{12}}",
        r"\colorbox{white}{\textcolor{white}{\boxed{12}}}",
        r"} \phantom{\boxed{12}}",
        r"\vphantom {\boxed{12}}",
        r"\cancel{\boxed{12}}",
        r"~~\boxed{12}~~",
        r"\frac{\boxed{12}}{2}",
        r"\frac{1}{\boxed{12}}",
        r"x^{\boxed{12}}",
        r"\sqrt{\boxed{12}}",
        r"\overline{\boxed{12}}",
        r"[//]: # (\boxed{12})",
        r"![\boxed{12}](a.png)",
        r'[a](b "\boxed{12}")',
        r"\begin{comment}\boxed{12}\end{comment}",
        r"\begin{unknown}\boxed{12}\end{unknown}",
        r"\unknown{\boxed{12}}",
        r"\rlap{\boxed{12}}",
        r"\hspace{-5cm}\boxed{12}",
        r"\footnote{\boxed{12}}",
        r"\href{x}{\boxed{12}}",
        r"\boxed{\textcolor{white}{12}}",
        r"\boxed{\color{white}12}",
    ],
)
def test_hidden_or_crossed_out_boxes_fail(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text)
    assert verdict.status is Status.FAIL
    assert verdict.stage in (Stage.FLAWED, Stage.INVALID)


@pytest.mark.parametrize(
    "text",
    [
        r"<think>13?</think>\boxed{12}",
        r"<think>\boxed{13}</think> \boxed{12}",
        "Maybe 13.\n</think>\n\\boxed{12}",
        "<think>The answer is 13.</think>The answer is 12.",
        "<THINK>The answer is 13.</THINK>\n**Answer:**\n12",
        r"<think>a<think>\boxed{13}</think>b</think>\boxed{12}",
        r"<think>\setbox \color{white}</think>\boxed{12}",
    ],
)
def test_thoughts_are_not_part_of_the_answer(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (r"<think>\boxed{12}", "the reasoning never ends: no answer after <think>"),
        (r"<think>a</think>b<think>\boxed{12}", "the reasoning never ends"),
        (r"\boxed{12} <think>or", "the reasoning never ends"),
        ("<think>the answer is 12", "the reasoning never ends"),
        (r"<think>\boxed{12}</think>", "no final answer"),
        ("<think>The answer is 12.</think> Done.", "no final answer"),
        (r"\boxed{12}</think>", "no final answer"),
    ],
)
def test_answer_within_a_thought_is_none(check_completion: Check, text: str, detail: str) -> None:
    verdict = check_completion("12", text)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert detail in verdict.detail


def test_tags_of_thoughts_are_an_option(check_completion: Check) -> None:
    text = r"<reason>\boxed{13}</reason>\boxed{12}"
    assert check_completion("12", text).status is Status.FAIL
    assert check_completion("12", text, {"thought_tags": ("reason",)}).status is Status.PASS
    unfinished = check_completion("12", r"<reason>\boxed{12}", {"thought_tags": ("think", "reason")})
    assert "after <reason>" in unfinished.detail


@pytest.mark.parametrize(
    "text",
    [
        r"It is 11. % \boxed{12}",
        r"It is x.% \boxed{12}",
        r"% \boxed{12}",
        r"\end{align}% \boxed{12}",
        r"It is eleven % so \boxed{12}",
    ],
)
def test_comments_hide_a_box(check_completion: Check, text: str) -> None:
    assert check_completion("12", text).stage is Stage.FLAWED


@pytest.mark.parametrize(
    "text",
    [
        r"The share (%) is \boxed{12}.",
        r"A **50**% cut leaves \boxed{12}.",
        r"x% of 50 is \boxed{12}.",
        r"The share in % is \boxed{12}.",
        r"20 % of 60 is \boxed{12}.",
        r"\textbf{20}% of 60 is \boxed{12}.",
        r"$20$% of 60 is \boxed{12}.",
        r"How many %? It is \boxed{12}.",
        r"In % of the whole: \boxed{12}",
        r"20\% of 60 is \boxed{12}.",
        r"(20%) of 60 is \boxed{12}.",
    ],
)
def test_percent_signs_in_prose_do_not(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text)
    assert verdict.status is Status.PASS, verdict.detail
