"""Sentences that call an answer wrong, and those that call something else wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from halo_core.types import Status, Verdict

Check = Callable[..., Verdict]

DENIALS = [
    "The answer is not 12.",
    "That is not 12.",
    "This is wrong.",
    "This is incorrect.",
    "Wait, actually 13.",
    "I made a mistake.",
    "My answer is incorrect.",
    "The above is wrong.",
    "That answer is wrong.",
    "12 is wrong.",
    "12 is not correct.",
    "Wait, no, it is actually 13.",
    "Actually, that's not right.",
    "This answer is incorrect.",
    "But that is wrong.",
    "However, this is not correct.",
    "It is not 12.",
    "I take that back.",
    "Ignore that.",
    "No.",
    "Sorry, that is wrong.",
    "Hmm, I made an error above.",
    "The answer above is incorrect.",
    "So it isn't 12.",
    "So the answer cannot be 12.",
    "The final answer is not 12.",
    "Never mind, that is false.",
    "Wait, that's wrong.",
    "The correct answer is not 12.",
    "I think I made a mistake.",
    "On reflection, 12 is incorrect.",
    "Oops, I miscalculated.",
    "That's a mistake.",
    "My mistake.",
    "Disregard the above.",
    "Actually the answer is 13.",
    "Wait... 13.",
    "Edit: 13.",
    "EDIT: the answer is 13",
    "Correct answer: 13",
    "My previous answer was wrong.",
    "I was mistaken.",
    "Please ignore my answer.",
    "I retract this.",
    "This can't be right.",
    "That doesn't look right.",
    "This is not the right answer.",
    "But 12 is not the answer.",
    "The answer isn't 12.",
    "The answer is definitely not 12.",
    "Or is it 13?",
    "No, 13.",
    "It's not 12.",
    "That was a wrong answer.",
    "The result 12 is wrong.",
    "The value 12 is incorrect.",
    "I don't think 12 is right.",
    "I do not think that is correct.",
    "The real answer is 13.",
    "The true answer is $13$.",
    "Therefore the answer is 13.",
]
OTHERS = [
    "I made no mistake.",
    "This is correct.",
    "There is no mistake.",
    "The answer is not 13.",
    "The answer is not negative.",
    "It is not prime.",
    "13 is wrong.",
    "Answering 13 would be wrong.",
    "It is incorrect to divide by 4.",
    "This is not the same as 13.",
    "The sum is not 13.",
    "Note that the answer is not 13, since it is even.",
    "A common mistake is to answer 13.",
    "This makes sense.",
    "No further steps are needed.",
    "This is right.",
    "That is not a coincidence.",
    "If we had made a mistake, the check would fail.",
    "The alternative 13 is incorrect.",
    "Option A is wrong.",
    "I hope this helps!",
    "Actually, this can be seen directly.",
    "Let me know if I made a mistake.",
    "The answer 12 is correct.",
    "It cannot be 13.",
    "The wrong answers are 11 and 13.",
    "12 is not prime.",
    "This is not an odd number.",
    "So 12 is the answer.",
    "The method of adding is wrong in general.",
    "We double-checked: 12.",
]


@pytest.mark.parametrize(
    "statement", [r"The answer is \boxed{12}.", "The answer is 12.", "The answer is $12$."]
)
@pytest.mark.parametrize("sentence", DENIALS)
def test_an_answer_that_is_called_wrong_is_refused(
    check_completion: Check, statement: str, sentence: str
) -> None:
    for gap in (" ", "\n\n"):
        assert check_completion("12", statement + gap + sentence).status is Status.FAIL


@pytest.mark.parametrize(
    "statement", [r"The answer is \boxed{12}.", "The answer is 12.", "The answer is $12$."]
)
@pytest.mark.parametrize("sentence", OTHERS)
def test_what_is_said_of_something_else_changes_nothing(
    check_completion: Check, statement: str, sentence: str
) -> None:
    verdict = check_completion("12", f"{statement} {sentence}")
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    "text",
    [
        r"I do not think that the answer is \boxed{12}.",
        "It is not true that the answer is 12.",
        r"It is false that the answer is $12$.",
        r"I doubt that the answer is \boxed{12}.",
        "I doubt the answer is 12.",
        r"You cannot conclude that the answer is \boxed{12}.",
        "It is unlikely that the answer is 12.",
        "The answer isn't 12.",
        "The answer is not 12.",
        r"The answer is certainly not \boxed{12}.",
        r"I don't believe the final answer is \boxed{12}.",
    ],
)
def test_a_doubted_answer_is_refused(check_completion: Check, text: str) -> None:
    assert check_completion("12", text).status is Status.FAIL


@pytest.mark.parametrize(
    "text",
    [
        r"Since $x$ is not 3, the answer is \boxed{12}.",
        "13 is wrong, so the answer is 12.",
        "It is not hard to see that 3 times 4 is 12. The answer is 12.",
        r"I don't see another solution. Thus the answer is \boxed{12}.",
        r"The answer is \boxed{12}. Wait, that is wrong? Let me check: 3 times 4 is 12. So the answer is 12.",
        "The answer is not 13. The answer is 12.",
    ],
)
def test_doubts_about_something_else_change_nothing(check_completion: Check, text: str) -> None:
    verdict = check_completion("12", text)
    assert verdict.status is Status.PASS, verdict.detail
