import pytest

from halo_verifier_sympy.extract import Where, final_answers
from halo_verifier_sympy.tree import Refused, Unreadable


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"So \boxed{5}.", ["5"]),
        (r"\boxed{\frac{1}{2}} is it", [r"\frac{1}{2}"]),
        (r"\boxed{5}, again \boxed{ 5 }", ["5"]),
        (r"\boxed5", ["5"]),
        (r"\boxed{5} or \boxed{6}", ["5", "6"]),
        (r"\boxed {5}", ["5"]),
        (r"\fboxed{5}", ["5"]),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
        (r"\boxed{\}}", [r"\}"]),
        (r"20% of 50 is \boxed{10}", ["10"]),
        (r"20 % of 50 is \boxed{10}", ["10"]),
        (r"20\% of 50 is \boxed{10}", ["10"]),
        ("a comment % here\n" + r"\boxed{10}", ["10"]),
        (r"the answer is 4, in short \boxed{5}", ["5"]),
        (r"x = 2 \iff y = 3 so \boxed{5}", ["5"]),
        ("The answer is 5.", ["5"]),
        ("The answer is 5. I am sure.", ["5"]),
        ("the answer is 2.5.", ["2.5"]),
        ("**Answer:** 5", ["5"]),
        ("The final answer is: **5**", ["5"]),
        ("Answer = 5\nThanks", ["5"]),
        (r"The answer is $\frac{1}{2}$, clearly.", [r"\frac{1}{2}"]),
        (r"The answer is \(x+1\).", ["x+1"]),
        ("The answer is 5. No, the answer is 6.", ["5", "6"]),
    ],
)
def test_finds_the_final_answer(text: str, found: list[str]) -> None:
    assert [answer.text for answer in final_answers(text, "auto")] == found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", Unreadable),
        ("five", Unreadable),
        (r"\boxed{}", Unreadable),
        (r"\boxed{5} \boxed{ }", Unreadable),
        (r"\boxed{5", Unreadable),
        (r"\boxed{5} and \boxed{5", Unreadable),
        (r"\boxed", Unreadable),
        (r"\boxed+", Unreadable),
        (r"\boxed{5\}", Unreadable),
        (r"It is \boxedness{5}", Unreadable),
        (" ".join(rf"\boxed{{{n}}}" for n in range(5)), Refused),
        (r"\boxed{5} " * 65, Refused),
        (r"It is x. % \boxed{5}", Refused),
        (r"It is x.% \boxed{5}", Refused),
        (r"<!-- \boxed{5} -->", Refused),
        (r"\begin{comment} \boxed{5} \end{comment}", Refused),
        (r"\iffalse \boxed{5} \fi", Refused),
        (r"\phantom{\boxed{5}}", Refused),
        (r"\color{white}\boxed{5}", Refused),
        (r"\def\x{6}\boxed{5}", Refused),
        ("<!-- the answer is 5 -->", Refused),
        (r"\boxed{5}" + "x" * 200_000, Unreadable),
    ],
)
def test_refuses_missing_or_hidden_answers(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        final_answers(text, "auto")


def test_location_is_an_option() -> None:
    def texts(text: str, where: Where) -> list[str]:
        return [answer.text for answer in final_answers(text, where)]

    assert texts("The answer is 5", "phrase") == ["5"]
    assert texts(r"\boxed{4}, the answer is 5", "phrase") == ["5"]
    assert texts("First $1+1$, then $2+3$.", "last") == ["2+3"]
    assert texts("First\nx = 5.\n\n", "last") == ["x = 5"]
    with pytest.raises(Unreadable):
        final_answers("The answer is 5", "box")
