"""The demo's tasks: what is asked, what is right, and one line on the way there.

They need rules rather than arithmetic, which a tiny model is slow to learn. Answers are put together here, by
those rules, and never by the verifier. Each family has a function that draws a task, and writes its answer in one
of many correct forms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from halo_verifier_sympy.demo.notation import added, fraction, negated, times

_LETTERS = "abckmnpq"


@dataclass(frozen=True)
class Task:
    """One exercise."""

    family: str
    question: str
    """What is asked for, as a formula or words; names the task within its family."""
    reference: Mapping[str, Any]
    """What the verifier judges by."""
    working: str
    """The step before the answer; empty when there is none."""
    write: Callable[[random.Random], str] = field(compare=False)
    """The answer in one author's notation."""

    @property
    def key(self) -> str:
        """A name that is unique among all tasks and stable across runs."""
        return f"{self.family}: {self.question}"


def _equation(rng: random.Random) -> Task:
    a, b, c = rng.sample(_LETTERS, 3)
    sign = rng.choice("+-")
    moved = added("-" if sign == "+" else "+", c, b)
    question, working, above, below = rng.choice(
        [
            (f"x {sign} {b} = {c}", "", moved, ""),
            (f"{a}x = {c}", "", c, a),
            (f"{a}x {sign} {b} = {c}", f"{a}x = {moved}", moved, a),
            (f"x/{a} {sign} {b} = {c}", f"x/{a} = {moved}", times(a, moved), ""),
            (f"{c} = {a}x {sign} {b}", f"{a}x = {moved}", moved, a),
        ]
    )
    answer = f"({above})/{below}" if below else above

    def write(pen: random.Random) -> str:
        text = fraction(above, below, pen) if below else pen.choice((above, above, _turned(above)))
        return pen.choice((text, f"x = {text}", f"x={text}"))

    return Task("equation", question, {"answer": answer}, working, write)


def _turned(text: str) -> str:
    """Return c - b as -b + c, b + c as c + b."""
    parts = text.split(" ")
    if len(parts) != 3 or "(" in text:
        return text
    one, sign, two = parts
    return f"{two} + {one}" if sign == "+" else f"-{two} + {one}"


def _inequality(rng: random.Random) -> Task:
    b, c = rng.sample(_LETTERS, 2)
    sign, relation = rng.choice("+-"), rng.choice(("<", ">", "<=", ">="))
    minus = rng.random() < 0.4
    bound = added("-" if sign == "+" else "+", c, b)
    turned = relation.translate(str.maketrans("<>", "><"))
    if minus:
        question, given = f"-x {sign} {b} {relation} {c}", turned
        working, bound = f"-x {relation} {bound}", negated(bound)
    else:
        question, given, working = f"x {sign} {b} {relation} {c}", relation, ""
    back = given.translate(str.maketrans("<>", "><"))

    def write(pen: random.Random) -> str:
        text = pen.choice((f"x {given} {bound}", f"x {given} {_turned(bound)}", f"{bound} {back} x"))
        return text.replace("<=", r"\le").replace(">=", r"\ge") if pen.random() < 0.5 else text

    return Task("inequality", question, {"answer": f"x {given} {bound}", "form": "solved"}, working, write)


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
    (one, first), (two, second) = _term(rng), _term(rng)
    while one == two:
        two, second = _term(rng)
    sign = rng.choice("+-")
    second = negated(second) if sign == "-" else second
    answer = f"{first} - {second[1:]}" if second.startswith("-") else f"{first} + {second}"

    def write(pen: random.Random) -> str:
        swapped = f"{second} - {first[1:]}" if first.startswith("-") else f"{second} + {first}"
        return pen.choice((answer, answer, swapped, answer.replace(r"\cos", "cos").replace(r"\sin", "sin")))

    return Task("derivative", f"{one} {sign} {two}", {"answer": answer}, "", write)


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

    def write(pen: random.Random) -> str:
        order = list(terms) if pen.random() < 0.6 else [terms[0], *reversed(terms[1:])]
        text = "".join(order)
        return text if pen.random() < 0.4 else text.replace("+", " + ").replace("-", " - ")

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

    point = opening + closing == "()" and "infty" not in answer  # then x in (2, 3) is no interval to a reader

    def write(pen: random.Random) -> str:
        sized = rf"\left{opening}{ends[0]}, {ends[1]}\right{closing}"
        forms = (answer, answer, answer.replace(" ", ""), sized)
        return pen.choice(forms if point else (*forms, rf"x \in {answer}"))

    return Task("interval", phrase, {"answer": answer}, "", write)


def _reflection(rng: random.Random) -> Task:
    x, y = (rng.choice([n for n in range(-12, 13) if n]) for _ in range(2))
    where, image = rng.choice(
        [
            ("the x-axis", (x, -y)),
            ("the y-axis", (-x, y)),
            ("the origin", (-x, -y)),
            ("the line y = x", (y, x)),
        ]
    )

    def write(pen: random.Random) -> str:
        ends = [pen.choice((f"{value}", f"{value}", f"{value}.0")) for value in image]
        return pen.choice((f"({ends[0]}, {ends[1]})", f"({ends[0]},{ends[1]})"))

    return Task("reflection", f"({x}, {y}) in {where}", {"answer": f"{image}"}, "", write)


FAMILIES: Mapping[str, tuple[Callable[[random.Random], Task], tuple[str, ...]]] = {
    "equation": (_equation, ("Solve {} for x.", "Find x if {}.", "What is x when {}?")),
    "inequality": (_inequality, ("Solve {} for x.", "For which x is {}?")),
    "derivative": (_derivative, ("Differentiate {}.", "What is the derivative of {}?")),
    "expansion": (_expansion, ("Expand {}.", "Multiply out {}.")),
    "interval": (_interval, ("Write as an interval: all x {}.", "Which interval holds all x {}?")),
    "reflection": (_reflection, ("Reflect {}.", "What is the image of {}?")),
}
"""For each family: how to draw a task, and how the question is put."""


def draw(family: str, rng: random.Random) -> Task:
    """Return a random task of a family."""
    return FAMILIES[family][0](rng)


def phrase(task: Task, rng: random.Random) -> str:
    """Return the task in English, in one of several wordings."""
    return rng.choice(FAMILIES[task.family][1]).format(task.question)


def solution(task: Task, rng: random.Random) -> str:
    """Return a right answer as one of several authors would write it."""
    box = rf"\boxed{{{task.write(rng)}}}"
    lead = rng.choice(("{}\n", "{}, so ", "{} gives ")).format(task.working) if task.working else ""
    return (lead or rng.choice(("", "", "It is "))) + box + rng.choice(("", "", "."))
