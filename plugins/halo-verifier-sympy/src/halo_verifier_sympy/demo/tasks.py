"""The demo's tasks: what is asked, what is right, and one line on the way there.

Answers are computed here, with fractions, and never by the verifier. Each family has a `draw` that makes a task
from a random generator, and writes its answer in one of many correct forms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from halo_verifier_sympy.demo.notation import fraction, joined, number, polynomial, signed


@dataclass(frozen=True)
class Task:
    """One exercise."""

    family: str
    question: str
    """What is asked for, as a formula or words; names the task within its family."""
    reference: Mapping[str, Any]
    """What the verifier judges by."""
    working: str
    """The step before the answer."""
    write: Callable[[random.Random], str] = field(compare=False)
    """The answer in one author's notation."""

    @property
    def key(self) -> str:
        """A name that is unique among all tasks and stable across runs."""
        return f"{self.family}: {self.question}"


_SHIFTS = [*range(-5, 0), *range(1, 7)]


def _linear(rng: random.Random) -> Task:
    slope, root, shift = rng.randint(2, 5), rng.randint(-3, 8), rng.choice(_SHIFTS)
    right = slope * root + shift
    question = f"{slope}x {signed(shift)} = {right}"
    working = f"{slope}x = {right - shift}"
    return Task(
        "equation", question, {"answer": str(root)}, working, lambda pen: _named(number(root, pen), pen)
    )


def _inequality(rng: random.Random) -> Task:
    slope, root, shift = rng.choice((-3, -2, 2, 3, 4)), rng.randint(-3, 6), rng.choice(_SHIFTS)
    sign = rng.choice("<>")
    right = slope * root + shift
    turned = sign if slope > 0 else "<>"[sign == "<"]
    working = f"{slope}x {sign} {right - shift}"
    reference = {"answer": f"x {turned} {root}", "form": "solved"}
    other = "<>"[turned == "<"]

    def write(pen: random.Random) -> str:
        return pen.choice((f"x {turned} {root}", f"x{turned}{root}", f"{root} {other} x"))

    return Task("inequality", f"{slope}x {signed(shift)} {sign} {right}", reference, working, write)


def _derivative(rng: random.Random) -> Task:
    degrees = sorted(rng.sample(range(1, 4), 2), reverse=True)
    terms = {degree: rng.choice(_SHIFTS) for degree in degrees}
    result = {degree - 1: degree * factor for degree, factor in terms.items()}
    working = ", ".join(f"{degree} * {factor} = {degree * factor}" for degree, factor in terms.items())
    reference = {"answer": polynomial(result)}
    return Task("derivative", polynomial(terms), reference, working, lambda pen: polynomial(result, pen))


def _expansion(rng: random.Random) -> Task:
    one, two = (rng.choice(_SHIFTS) for _ in range(2))
    result = {2: 1, 1: one + two, 0: one * two}
    working = f"x^2 {signed(one)}x {signed(two)}x {signed(one * two)}"
    reference = {"answer": polynomial(result), "form": "expanded"}
    question = f"(x {signed(one)})(x {signed(two)})"
    return Task("expansion", question, reference, working, lambda pen: polynomial(result, pen))


def _roots(rng: random.Random) -> Task:
    one, two = sorted(rng.sample(range(-3, 7), 2))
    square = polynomial({2: 1, 1: -one - two, 0: one * two})
    working = "".join("x" if root == 0 else f"(x {signed(-root)})" for root in (one, two))
    reference = {"answer": f"{one}, {two}", "ordered": False}
    return Task("roots", f"{square} = 0", reference, working, lambda pen: joined((one, two), pen))


def _midpoint(rng: random.Random) -> Task:
    points = [(rng.randint(-2, 6), rng.randint(-2, 6)) for _ in range(2)]
    sums = [one + two for one, two in zip(*points, strict=True)]
    middle = [Fraction(total, 2) for total in sums]
    working = ", ".join(f"{total}/2" for total in sums)
    reference = {"answer": f"({middle[0]}, {middle[1]})"}

    def write(pen: random.Random) -> str:
        return f"({fraction(middle[0], pen)}, {fraction(middle[1], pen)})"

    return Task("midpoint", "{} and {}".format(*points), reference, working, write)


def _named(value: str, pen: random.Random) -> str:
    return pen.choice((value, f"x = {value}", f"x={value}"))


FAMILIES: Mapping[str, tuple[Callable[[random.Random], Task], tuple[str, ...]]] = {
    "equation": (_linear, ("Solve {}.", "Find x if {}.", "What is x when {}?")),
    "inequality": (_inequality, ("Solve {}.", "For which x is {}?")),
    "derivative": (_derivative, ("Differentiate {}.", "What is the derivative of {}?")),
    "expansion": (_expansion, ("Expand {}.", "Multiply out {}.")),
    "roots": (_roots, ("Solve {}.", "Find the roots of {}.", "Which x solve {}?")),
    "midpoint": (_midpoint, ("What is the midpoint of {}?", "Find the point halfway between {}.")),
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
    lead = rng.choice(("{}\n", "{}\n", "{}, so ", "{} gives ")).format(task.working)
    return lead + box + rng.choice(("", "", "."))
