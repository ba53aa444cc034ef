"""The demo's tasks: question, answer and one intermediate step.

The tasks need rules rather than arithmetic, which a tiny model learns slowly. The answers are built here from these
rules, never by the verifier. Each family has a function that draws a task and writes its answer in one of many
correct forms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from halo_verifier_sympy_demo.notation import combined, fraction, negated, product

_LETTERS = "abckmnpq"


@dataclass(frozen=True)
class Task:
    """One exercise."""

    family: str
    question: str
    """Question as a formula or in words; unique within the family."""
    reference: Mapping[str, Any]
    """Reference for the verifier."""
    working: str
    """Step before the answer; may be empty."""
    write: Callable[[random.Random], str] = field(compare=False)
    """Return the answer in a random notation."""

    @property
    def key(self) -> str:
        """Return a name that is unique among all tasks and stable across runs."""
        return f"{self.family}: {self.question}"


def _equation(rng: random.Random) -> Task:
    a, b, c = rng.sample(_LETTERS, 3)
    sign = rng.choice("+-")
    moved = combined(c, "-" if sign == "+" else "+", b)
    question, working, numerator, denominator = rng.choice(
        [
            (f"x {sign} {b} = {c}", "", moved, ""),
            (f"{a}x = {c}", "", c, a),
            (f"{a}x {sign} {b} = {c}", f"{a}x = {moved}", moved, a),
            (f"x/{a} {sign} {b} = {c}", f"x/{a} = {moved}", product(a, moved), ""),
            (f"{c} = {a}x {sign} {b}", f"{a}x = {moved}", moved, a),
        ]
    )
    answer = f"({numerator})/{denominator}" if denominator else numerator

    def write(rng: random.Random) -> str:
        text = (
            fraction(numerator, denominator, rng)
            if denominator
            else rng.choice((numerator, numerator, _reordered(numerator)))
        )
        return rng.choice((text, f"x = {text}", f"x={text}"))

    return Task("equation", question, {"answer": answer}, working, write)


def _reordered(text: str) -> str:
    """Return c - b as -b + c, and b + c as c + b."""
    parts = text.split(" ")
    if len(parts) != 3 or "(" in text:
        return text
    left, sign, right = parts
    return f"{right} + {left}" if sign == "+" else f"-{right} + {left}"


def _inequality(rng: random.Random) -> Task:
    b, c = rng.sample(_LETTERS, 2)
    sign, relation = rng.choice("+-"), rng.choice(("<", ">", "<=", ">="))
    minus = rng.random() < 0.4
    bound = combined(c, "-" if sign == "+" else "+", b)
    flipped = relation.translate(str.maketrans("<>", "><"))
    if minus:
        question, solved = f"-x {sign} {b} {relation} {c}", flipped
        working, bound = f"-x {relation} {bound}", negated(bound)
    else:
        question, solved, working = f"x {sign} {b} {relation} {c}", relation, ""
    mirrored = solved.translate(str.maketrans("<>", "><"))

    def write(rng: random.Random) -> str:
        text = rng.choice((f"x {solved} {bound}", f"x {solved} {_reordered(bound)}", f"{bound} {mirrored} x"))
        return text.replace("<=", r"\le").replace(">=", r"\ge") if rng.random() < 0.5 else text

    return Task("inequality", question, {"answer": f"x {solved} {bound}", "form": "solved"}, working, write)


def _term(rng: random.Random) -> tuple[str, str]:
    """Return a function of x and its derivative."""
    k, a = rng.randint(2, 9), rng.choice("abc")
    return rng.choice(
        [
            (f"x^{k}", f"{k}x^{k - 1}" if k > 2 else "2x"),
            (f"{a}x^{k}", f"{k}{a}x^{k - 1}" if k > 2 else f"2{a}x"),
            (f"{k}x", f"{k}"),
            (f"sin({k}x)", rf"{k}\cos({k}x)"),
            (f"cos({k}x)", rf"-{k}\sin({k}x)"),
            (f"e^({k}x)", f"{k}e^{{{k}x}}"),
            ("ln(x)", r"\frac{1}{x}"),
        ]
    )


def _derivative(rng: random.Random) -> Task:
    (left, first), (right, second) = _term(rng), _term(rng)
    while left == right:
        right, second = _term(rng)
    sign = rng.choice("+-")
    second = negated(second) if sign == "-" else second
    answer = f"{first} - {second[1:]}" if second.startswith("-") else f"{first} + {second}"

    def write(rng: random.Random) -> str:
        swapped = f"{second} - {first[1:]}" if first.startswith("-") else f"{second} + {first}"
        return rng.choice((answer, answer, swapped, answer.replace(r"\cos", "cos").replace(r"\sin", "sin")))

    return Task("derivative", f"{left} {sign} {right}", {"answer": answer}, "", write)


def _expansion(rng: random.Random) -> Task:
    a, b, c = rng.sample(_LETTERS, 3)
    sign = rng.choice("+-")
    other = "-" if sign == "+" else "+"
    question, terms = rng.choice(
        [
            (f"{a}({b} {sign} {c})", (a + b, f"{sign}{a}{c}")),
            (f"(x + {a})(x {sign} {b})", ("x^2", f"{sign}{b}x", f"+{a}x", f"{sign}{a}{b}")),
            (f"({a} {sign} {b})^2", (f"{a}^2", f"{sign}2{a}{b}", f"+{b}^2")),
            (f"({a} {sign} {b})({a} {other} {b})", (f"{a}^2", f"-{b}^2")),
            (f"x(x {sign} {a})", ("x^2", f"{sign}{a}x")),
        ]
    )

    def write(rng: random.Random) -> str:
        order = list(terms) if rng.random() < 0.6 else [terms[0], *reversed(terms[1:])]
        text = "".join(order)
        return text if rng.random() < 0.4 else text.replace("+", " + ").replace("-", " - ")

    return Task("expansion", question, {"answer": "".join(terms), "form": "expanded"}, "", write)


def _interval(rng: random.Random) -> Task:
    low, high = sorted(rng.sample(range(-9, 30), 2))
    left, right = rng.choice(("more than", "at least")), rng.choice(("less than", "at most"))
    brackets = ("[" if left == "at least" else "(", "]" if right == "at most" else ")")
    ends, phrase = rng.choice(
        [
            ((low, high), f"{left} {low} and {right} {high}"),
            ((low, high), f"{right} {high} and {left} {low}"),
            ((low, r"\infty"), f"{left} {low}"),
            ((r"-\infty", high), f"{right} {high}"),
        ]
    )
    opening = "(" if ends[0] == r"-\infty" else brackets[0]
    closing = ")" if ends[1] == r"\infty" else brackets[1]
    answer = f"{opening}{ends[0]}, {ends[1]}{closing}"
    like_a_point = opening + closing == "()" and "infty" not in answer  # x in (2, 3) would read as a point

    def write(rng: random.Random) -> str:
        with_left_right = rf"\left{opening}{ends[0]}, {ends[1]}\right{closing}"
        forms = (answer, answer, answer.replace(" ", ""), with_left_right)
        return rng.choice(forms if like_a_point else (*forms, rf"x \in {answer}"))

    return Task("interval", phrase, {"answer": answer}, "", write)


def _reflection(rng: random.Random) -> Task:
    x, y = (rng.choice([n for n in range(-12, 13) if n]) for _ in range(2))
    mirror, image = rng.choice(
        [
            ("the x-axis", (x, -y)),
            ("the y-axis", (-x, y)),
            ("the origin", (-x, -y)),
            ("the line y = x", (y, x)),
        ]
    )

    def write(rng: random.Random) -> str:
        coordinates = [rng.choice((f"{value}", f"{value}", f"{value}.0")) for value in image]
        return rng.choice((f"({', '.join(coordinates)})", f"({','.join(coordinates)})"))

    return Task("reflection", f"({x}, {y}) in {mirror}", {"answer": f"{image}"}, "", write)


FAMILIES: Mapping[str, tuple[Callable[[random.Random], Task], tuple[str, ...]]] = {
    "equation": (_equation, ("Solve {} for x.", "Find x if {}.", "What is x when {}?")),
    "inequality": (_inequality, ("Solve {} for x.", "For which x is {}?")),
    "derivative": (_derivative, ("Differentiate {}.", "What is the derivative of {}?")),
    "expansion": (_expansion, ("Expand {}.", "Multiply out {}.")),
    "interval": (_interval, ("Write as an interval: all x {}.", "Which interval holds all x {}?")),
    "reflection": (_reflection, ("Reflect {}.", "What is the image of {}?")),
}
"""For each family: the function that draws a task, and the wordings of the question."""


def draw(family: str, rng: random.Random) -> Task:
    """Return a random task of the family."""
    return FAMILIES[family][0](rng)


def phrase(task: Task, rng: random.Random) -> str:
    """Return the question in one of several wordings."""
    return rng.choice(FAMILIES[task.family][1]).format(task.question)


def solution(task: Task, rng: random.Random) -> str:
    """Return a correct answer in one of several notations."""
    box = rf"\boxed{{{task.write(rng)}}}"
    intro = rng.choice(("{}\n", "{}, so ", "{} gives ")).format(task.working) if task.working else ""
    return (intro or rng.choice(("", "", "It is "))) + box + rng.choice(("", "", "."))
