"""Sentences after an answer that take it back, and those that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from halo_core.types import Status, Verdict

Check = Callable[..., Verdict]


@pytest.mark.parametrize(
    "text",
    [
        r"The answer is \boxed{12}. No, wait, it is 13.",
        "The answer is 12. No, wait, it is 13.",
        "The answer is $12$. No, wait, it is $13$.",
        "The answer is $12$. Actually, it should be 13.",
        r"The answer is \boxed{12}. Sorry, I meant 13.",
        r"The answer is \boxed{12}. Correction: 13.",
        r"The answer is \boxed{12}. Hmm, no. It's 13.",
        "The answer is \\boxed{12}.\nWait, I made a mistake. The answer should be 13.",
        "The answer is \\boxed{12}.\n\nOn second thought, the correct answer is 13.",
        r"The answer is \boxed{12}. Make that 13.",
        r"The answer is \boxed{12}. Scratch that, 13.",
        r"\boxed{12}. Actually 13.",
        r"\boxed{12}. No, 13!",
        r"$\boxed{12}$. Oops, it is $x=13$.",
        r"\boxed{12} - wait, no, 13.",
        r"\boxed{12}. Wait, it is thirteen.",
        r"\boxed{12} is wrong.",
        r"\boxed{12} is not the answer.",
        r"The answer is \boxed{12}. So the final answer is 13.",
        r"The answer is \boxed{12}. No, that is wrong.",
        r"The answer is \boxed{12}. Let me correct that: it is 13.",
        r"The answer is \boxed{12}. I was wrong, it is 13.",
        r"The answer is \boxed{12}? No, 13.",
        r"The answer is \boxed{12}. That was wrong; the result is 13.",
        r"The answer is \boxed{12}. Actually, the answer is $13$.",
        "The answer is 12. Actually, $13$.",
        r"The answer is \boxed{12}. Or rather 13.",
        r"The answer is \boxed{12}. Or 13.",
        r"The answer is \boxed{12}. It could also be 13.",
        r"The answer is \boxed{12}. But I think it is 13.",
        r"The answer is \boxed{12}. Wait. It must be 13.",
        "The answer is 12. Or maybe 13.",
    ],
)
def test_an_answer_that_is_taken_back_is_not_the_answer(check_completion: Check, text: str) -> None:
    assert check_completion("12", text).status is Status.FAIL


@pytest.mark.parametrize(
    "text",
    [
        r"The answer is \boxed{12}. Let me check: $3 \cdot 4 = 12$. Correct.",
        r"The answer is \boxed{12}. Actually, it is 3 times 4.",
        r"The answer is \boxed{12}, not 13.",
        r"The answer is \boxed{12}. It is not 13.",
        r"The answer is \boxed{12}. Wait, let me double check: 5 + 7 = 12. Yes.",
        r"The answer is \boxed{12}. No other value is possible, since $x > 11$.",
        r"The answer is \boxed{12}. This is the sum of 5 and 7.",
        r"The answer is \boxed{12}. Actually, it is 12.",
        r"The answer is \boxed{12}. So the answer is 12.",
        r"The answer is \boxed{12}. (A common mistake is 13, which is wrong.)",
        r"The answer is \boxed{12}. Note that 13 is wrong because it is odd.",
        r"The answer is \boxed{12}. It is the only even one of 11, 12 and 13.",
        r"The answer is \boxed{12}. That is, 12.",
        "The answer is 12. It is even.",
        r"The answer is $12$. Indeed, $3 \cdot 4 = 12$.",
        r"The answer is \boxed{12}. No need to simplify: it is an integer.",
        r"The answer is \boxed{12}. I mean the number of apples.",
        r"The answer is \boxed{12}. Some get 13, but actually the correct answer is 12.",
        "The answer is 12. There are 12 months.",
        r"The answer is \boxed{12}. The answer is correct.",
        r"No, wait, it is 13. Hmm, no. The answer is \boxed{12}.",
        r"The answer is \boxed{12}. If $n$ was 5 instead, the answer would be 13.",
        r"The answer is \boxed{12}. The answer is unique.",
        r"\boxed{12} is not prime.",
        r"The answer is \boxed{12}. Wait, is it 13? No, it is 12.",
        r"The answer is \boxed{12}. Actually, the answer is 12 apples.",
        r"The answer is \boxed{12}. So the answer is 12, as 3 · 4 = 12.",
    ],
)
def test_other_sentences_after_an_answer_change_nothing(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("13", r"The answer is \boxed{12}. No, wait, it is 13."),
        ("x+1", r"\boxed{x+1}. Actually, it is $1+x$."),
        (r"\frac{1}{2}", r"\boxed{\frac{1}{2}}. Wait, it should be 0.5."),
    ],
)
def test_a_correction_must_agree_with_the_box(check_completion: Check, gold: str, text: str) -> None:
    assert (check_completion(gold, text).status is Status.PASS) == (gold != "13")
