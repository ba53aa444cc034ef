"""Families without a loop: a formula, a choice, a way to write two numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

from halo_verifier_gcc.demo.parts import TESTS, One, Test, Two, of_one, over, plus, times
from halo_verifier_gcc.demo.style import Pen
from halo_verifier_gcc.demo.tasks import Task


def arithmetic() -> Iterator[Task]:
    """A sum, difference or product of two integers, with something done to it."""
    plain: list[tuple[str, str, Two]] = [
        ("their sum", "{a} + {b}", lambda a, b: a + b),
        ("their product", "{a} * {b}", lambda a, b: a * b),
        ("the first minus the second", "{a} - {b}", lambda a, b: a - b),
        ("the second minus the first", "{b} - {a}", lambda a, b: b - a),
    ]
    for formula in plain:
        yield _arithmetic(*formula)
        for k in range(2, 8):
            yield _arithmetic(*_then(formula, f" plus {k}", f"{{}} + {k}", plus(k)))
            yield _arithmetic(*_then(formula, f" minus {k}", f"{{}} - {k}", plus(-k)))
            yield _arithmetic(*_then(formula, f" times {k}", f"({{}}) * {k}", times(k)))


def _then(base: tuple[str, str, Two], words: str, c: str, change: One) -> tuple[str, str, Two]:
    what, formula, value = base
    return what + words, c.replace("{}", formula), lambda a, b: change(value(a, b))


def _arithmetic(what: str, formula: str, value: Two) -> Task:
    def write(pen: Pen) -> str:
        return pen.program([*pen.read(pen.a, pen.b), *pen.show(formula.format(a=pen.a, b=pen.b))])

    return Task("arithmetic", what, "two", value, write)


def linear() -> Iterator[Task]:
    """A multiple of an integer, plus or minus a constant."""
    for k, sign, c in product(range(2, 8), "+-", range(1, 9)):
        yield _linear(k, sign, c)


def _linear(k: int, sign: str, c: int) -> Task:
    def write(pen: Pen) -> str:
        value = pen.pick([f"{k} * {pen.n}", f"{pen.n} * {k}"])
        return pen.program([*pen.read(pen.n), *pen.show(f"{value} {sign} {c}")])

    word, shift = ("plus", c) if sign == "+" else ("minus", -c)
    return Task("linear", f"{k} times it {word} {c}", "one", lambda n: k * n + shift, write)


UNITS = (("weeks", "days", 7), ("hours", "minutes", 60), ("days", "hours", 24), ("feet", "inches", 12),
         ("years", "months", 12), ("minutes", "seconds", 60), ("metres", "centimetres", 100),
         ("pounds", "ounces", 16), ("yards", "feet", 3), ("decades", "years", 10))  # fmt: skip


def convert() -> Iterator[Task]:
    """Units, down to a smaller one, up to full larger ones, and up with what is left over."""
    for big, small, k in UNITS:
        yield of_one("convert", f"how many {small} are in that many {big}", f"{{n}} * {k}", times(k))
        yield of_one("convert", f"how many full {big} are in that many {small}", f"{{n}} / {k}", over(k))
        yield _left_over(big, small, k)


def _left_over(big: str, small: str, k: int) -> Task:
    def write(pen: Pen) -> str:
        shown = f'printf("%d %d{pen.newline}", {pen.n} / {k}, {pen.n} % {k});'
        return pen.program([*pen.read(pen.n), shown])

    what = f"that many {small} as full {big} and {small}"
    return Task("convert", what, "count", lambda n: f"{n // k} {n % k}", write)


def extreme() -> Iterator[Task]:
    """The larger or smaller of two or three integers, with something done to it."""
    changes: list[tuple[str, str, One]] = [("", "{}", lambda v: v)]
    for k in range(2, 7):
        changes.append((f" plus {k}", f"{{}} + {k}", plus(k)))
        changes.append((f" times {k}", f"{{}} * {k}", times(k)))
    for larger, (tail, c, change) in product((True, False), changes):
        yield _extreme_of_two(larger, tail, c, change)
        yield _extreme_of_three(larger, tail, c, change)


def _extreme_of_two(larger: bool, tail: str, c: str, change: One) -> Task:
    def write(pen: Pen) -> str:
        a, b, op = pen.a, pen.b, ">" if larger else "<"
        if c == "{}" and pen.rng.random() < 0.6:
            body = [*pen.block(f"if ({a} {op} {b})", pen.show(a)), *pen.block("else", pen.show(b))]
            return pen.program([*pen.read(a, b), *body])
        best = pen.pick(["m", "best"])
        forms = [[f"int {best} = {a} {op} {b} ? {a} : {b};"],
                 [f"int {best} = {a};", *pen.block(f"if ({b} {op} {best})", [f"{best} = {b};"])]]  # fmt: skip
        return pen.program([*pen.read(a, b), *pen.pick(forms), *pen.show(c.format(best))])

    what = f"the {'larger' if larger else 'smaller'} one{tail}"
    return Task("extreme", what, "two", lambda a, b: change(max(a, b) if larger else min(a, b)), write)


def _extreme_of_three(larger: bool, tail: str, c: str, change: One) -> Task:
    def write(pen: Pen) -> str:
        names, op, best = (pen.a, pen.b, pen.c), ">" if larger else "<", pen.pick(["m", "best"])
        tests = [line for x in names[1:] for line in pen.block(f"if ({x} {op} {best})", [f"{best} = {x};"])]
        start = [*pen.read(*names), f"int {best} = {names[0]};"]
        return pen.program([*start, *tests, *pen.show(c.format(best))])

    what = f"the {'largest' if larger else 'smallest'}{tail}"
    return Task("extreme", what, "three", lambda *v: change(max(v) if larger else min(v)), write)


WORDS = (("yes", "no"), ("YES", "NO"), ("true", "false"), ("good", "bad"), ("1", "0"), ("win", "lose"))


def check() -> Iterator[Task]:
    """One of two words, by a test on an integer."""
    for (what, condition, holds), (yes, no) in product(TESTS, WORDS):
        yield _check(what, condition, holds, yes, no)


def _check(what: str, condition: str, holds: Test, yes: str, no: str) -> Task:
    def write(pen: Pen) -> str:
        return pen.program([*pen.read(pen.n), *pen.choose(condition.format(pen.n), yes, no)])

    return Task("check", f"{yes} if {what} and {no} if not", "one", lambda n: yes if holds(n) else no, write)


def relate() -> Iterator[Task]:
    """One of two words, by a test on two integers."""
    relations: list[tuple[str, str, Callable[[int, int], bool]]] = [
        ("the first is greater than the second", "{a} > {b}", lambda a, b: a > b),
        ("the first is less than the second", "{a} < {b}", lambda a, b: a < b),
        ("their sum is even", "({a} + {b}) % 2 == 0", lambda a, b: (a + b) % 2 == 0),
        ("their sum is positive", "{a} + {b} > 0", lambda a, b: a + b > 0),
        ("both are positive", "{a} > 0 && {b} > 0", lambda a, b: a > 0 and b > 0),
        *[(f"their sum is greater than {k}", f"{{a}} + {{b}} > {k}", lambda a, b, k=k: a + b > k)
          for k in range(2, 8)],
    ]  # fmt: skip
    for (what, condition, holds), (yes, no) in product(relations, WORDS):
        yield _relate(what, condition, holds, yes, no)


def _relate(what: str, condition: str, holds: Callable[[int, int], bool], yes: str, no: str) -> Task:
    def write(pen: Pen) -> str:
        test = condition.format(a=pen.a, b=pen.b)
        return pen.program([*pen.read(pen.a, pen.b), *pen.choose(test, yes, no)])

    what = f"{yes} if {what} and {no} if not"
    return Task("relate", what, "two", lambda a, b: yes if holds(a, b) else no, write)


def layout() -> Iterator[Task]:
    """Two integers, written in a given form."""
    joints = {"a comma": ",", "a colon": ":", "a slash": "/", "a dash": "-", "a dot": ".", "a star": "*"}
    brackets = (("round", "({},{})"), ("square", "[{},{}]"))
    forms = [(f"with {name} between", "{}" + sign + "{}") for name, sign in joints.items()]
    forms += [(f"in {name} brackets with a comma between", form) for name, form in brackets]
    for (words, form), swapped in product(forms, (False, True)):
        yield _layout(f"them in reverse order {words}" if swapped else f"them {words}", form, swapped)
    for swapped in (False, True):
        yield _layout("them in reverse order" if swapped else "them again", "{} {}", swapped)


def _layout(what: str, form: str, swapped: bool) -> Task:
    def write(pen: Pen) -> str:
        names = (pen.b, pen.a) if swapped else (pen.a, pen.b)
        shown = f'printf("{form.format("%d", "%d")}{pen.newline}", {", ".join(names)});'
        return pen.program([*pen.read(pen.a, pen.b), shown])

    return Task("layout", what, "two", lambda a, b: form.format(*((b, a) if swapped else (a, b))), write)


def real() -> Iterator[Task]:
    """Arithmetic on real numbers, to some decimals.

    The inputs are eighths and the decimals at most three, so that no result lies on the edge of rounding
    differently in C and in Python.
    """
    formulas: list[tuple[str, str, Callable[[float, float], float]]] = [
        ("their sum", "{a} + {b}", lambda a, b: a + b),
        ("their difference", "{a} - {b}", lambda a, b: a - b),
        ("their product", "{a} * {b}", lambda a, b: a * b),
        ("their average", "({a} + {b}) / 2", lambda a, b: (a + b) / 2),
        ("the first divided by the second", "{a} / {b}", lambda a, b: a / b),
        ("the length of the hypotenuse", "sqrt({a} * {a} + {b} * {b})", math.hypot),
    ]
    for (what, formula, value), decimals in product(formulas, range(1, 5)):
        yield _real(what, formula, value, decimals)


def _real(what: str, formula: str, value: Callable[[float, float], float], decimals: int) -> Task:
    def write(pen: Pen) -> str:
        shown = pen.show(formula.format(a=pen.a, b=pen.b), f"%.{decimals}f", "double")
        headers = ["math"] if "sqrt" in formula else []
        return pen.program([*pen.read(pen.a, pen.b, kind="double"), *shown], *headers)

    def answer(a: float, b: float) -> str:
        return f"{value(a, b):.{decimals}f}"

    return Task("real", f"{what} with {decimals} decimals", "reals", answer, write)
