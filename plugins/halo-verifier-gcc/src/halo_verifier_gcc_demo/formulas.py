"""Families without a loop: formulas, choices and layouts of two numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

from halo_verifier_gcc_demo.parts import (
    PREDICATES,
    Binary,
    Predicate,
    Unary,
    divided_by,
    formula_task,
    plus,
    times,
)
from halo_verifier_gcc_demo.style import Style
from halo_verifier_gcc_demo.tasks import Task


def arithmetic() -> Iterator[Task]:
    """Yield tasks on a sum, difference or product of two integers, optionally changed by a constant."""
    plain: list[tuple[str, str, Binary]] = [
        ("their sum", "{a} + {b}", lambda a, b: a + b),
        ("their product", "{a} * {b}", lambda a, b: a * b),
        ("the first minus the second", "{a} - {b}", lambda a, b: a - b),
        ("the second minus the first", "{b} - {a}", lambda a, b: b - a),
    ]
    for formula in plain:
        yield _arithmetic(*formula)
        for k in range(2, 8):
            yield _arithmetic(*_compose(formula, f" plus {k}", f"{{}} + {k}", plus(k)))
            yield _arithmetic(*_compose(formula, f" minus {k}", f"{{}} - {k}", plus(-k)))
            yield _arithmetic(*_compose(formula, f" times {k}", f"({{}}) * {k}", times(k)))


def _compose(base: tuple[str, str, Binary], words: str, c: str, change: Unary) -> tuple[str, str, Binary]:
    request, formula, value = base
    return request + words, c.replace("{}", formula), lambda a, b: change(value(a, b))


def _arithmetic(request: str, formula: str, value: Binary) -> Task:
    def write(style: Style) -> str:
        return style.program(
            [*style.read(style.a, style.b), *style.print_value(formula.format(a=style.a, b=style.b))]
        )

    return Task("arithmetic", request, "two", value, write)


def linear() -> Iterator[Task]:
    """Yield tasks on a multiple of an integer, plus or minus a constant."""
    for k, sign, c in product(range(2, 8), "+-", range(1, 9)):
        yield _linear(k, sign, c)


def _linear(k: int, sign: str, c: int) -> Task:
    def write(style: Style) -> str:
        value = style.pick([f"{k} * {style.n}", f"{style.n} * {k}"])
        return style.program([*style.read(style.n), *style.print_value(f"{value} {sign} {c}")])

    word, shift = ("plus", c) if sign == "+" else ("minus", -c)
    return Task("linear", f"{k} times it {word} {c}", "one", lambda n: k * n + shift, write)


UNITS = (("weeks", "days", 7), ("hours", "minutes", 60), ("days", "hours", 24), ("feet", "inches", 12),
         ("years", "months", 12), ("minutes", "seconds", 60), ("metres", "centimetres", 100),
         ("pounds", "ounces", 16), ("yards", "feet", 3), ("decades", "years", 10))  # fmt: skip


def convert() -> Iterator[Task]:
    """Yield tasks on unit conversion: to the smaller unit, to full larger units, and the same with the remainder."""
    for big, small, k in UNITS:
        yield formula_task("convert", f"how many {small} are in that many {big}", f"{{n}} * {k}", times(k))
        yield formula_task(
            "convert", f"how many full {big} are in that many {small}", f"{{n}} / {k}", divided_by(k)
        )
        yield _with_remainder(big, small, k)


def _with_remainder(big: str, small: str, k: int) -> Task:
    def write(style: Style) -> str:
        shown = f'printf("%d %d{style.newline}", {style.n} / {k}, {style.n} % {k});'
        return style.program([*style.read(style.n), shown])

    request = f"that many {small} as full {big} and {small}"
    return Task("convert", request, "count", lambda n: f"{n // k} {n % k}", write)


def extreme() -> Iterator[Task]:
    """Yield tasks on the largest or smallest of two or three integers, optionally changed by a constant."""
    changes: list[tuple[str, str, Unary]] = [("", "{}", lambda v: v)]
    for k in range(2, 7):
        changes.append((f" plus {k}", f"{{}} + {k}", plus(k)))
        changes.append((f" times {k}", f"{{}} * {k}", times(k)))
    for larger, (tail, c, change) in product((True, False), changes):
        yield _extreme_of_two(larger, tail, c, change)
        yield _extreme_of_three(larger, tail, c, change)


def _extreme_of_two(larger: bool, tail: str, c: str, change: Unary) -> Task:
    def write(style: Style) -> str:
        a, b, op = style.a, style.b, ">" if larger else "<"
        if c == "{}" and style.rng.random() < 0.6:
            body = [
                *style.block(f"if ({a} {op} {b})", style.print_value(a)),
                *style.block("else", style.print_value(b)),
            ]
            return style.program([*style.read(a, b), *body])
        best = style.pick(["m", "best"])
        forms = [[f"int {best} = {a} {op} {b} ? {a} : {b};"],
                 [f"int {best} = {a};", *style.block(f"if ({b} {op} {best})", [f"{best} = {b};"])]]  # fmt: skip
        return style.program([*style.read(a, b), *style.pick(forms), *style.print_value(c.format(best))])

    request = f"the {'larger' if larger else 'smaller'} one{tail}"
    return Task("extreme", request, "two", lambda a, b: change(max(a, b) if larger else min(a, b)), write)


def _extreme_of_three(larger: bool, tail: str, c: str, change: Unary) -> Task:
    def write(style: Style) -> str:
        names, op, best = (style.a, style.b, style.c), ">" if larger else "<", style.pick(["m", "best"])
        tests = [line for x in names[1:] for line in style.block(f"if ({x} {op} {best})", [f"{best} = {x};"])]
        start = [*style.read(*names), f"int {best} = {names[0]};"]
        return style.program([*start, *tests, *style.print_value(c.format(best))])

    request = f"the {'largest' if larger else 'smallest'}{tail}"
    return Task("extreme", request, "three", lambda *v: change(max(v) if larger else min(v)), write)


WORDS = (("yes", "no"), ("YES", "NO"), ("true", "false"), ("good", "bad"), ("1", "0"), ("win", "lose"))


def check() -> Iterator[Task]:
    """Yield tasks that choose one of two words by a predicate on an integer."""
    for (words, condition, predicate), (yes, no) in product(PREDICATES, WORDS):
        yield _check(words, condition, predicate, yes, no)


def _check(words: str, condition: str, predicate: Predicate, yes: str, no: str) -> Task:
    def write(style: Style) -> str:
        return style.program([*style.read(style.n), *style.print_either(condition.format(style.n), yes, no)])

    return Task(
        "check", f"{yes} if {words} and {no} if not", "one", lambda n: yes if predicate(n) else no, write
    )


def relate() -> Iterator[Task]:
    """Yield tasks that choose one of two words by a predicate on two integers."""
    relations: list[tuple[str, str, Callable[[int, int], bool]]] = [
        ("the first is greater than the second", "{a} > {b}", lambda a, b: a > b),
        ("the first is less than the second", "{a} < {b}", lambda a, b: a < b),
        ("their sum is even", "({a} + {b}) % 2 == 0", lambda a, b: (a + b) % 2 == 0),
        ("their sum is positive", "{a} + {b} > 0", lambda a, b: a + b > 0),
        ("both are positive", "{a} > 0 && {b} > 0", lambda a, b: a > 0 and b > 0),
        *[(f"their sum is greater than {k}", f"{{a}} + {{b}} > {k}", lambda a, b, k=k: a + b > k)
          for k in range(2, 8)],
    ]  # fmt: skip
    for (words, condition, predicate), (yes, no) in product(relations, WORDS):
        yield _relate(words, condition, predicate, yes, no)


def _relate(words: str, condition: str, predicate: Callable[[int, int], bool], yes: str, no: str) -> Task:
    def write(style: Style) -> str:
        test = condition.format(a=style.a, b=style.b)
        return style.program([*style.read(style.a, style.b), *style.print_either(test, yes, no)])

    request = f"{yes} if {words} and {no} if not"
    return Task("relate", request, "two", lambda a, b: yes if predicate(a, b) else no, write)


def layout() -> Iterator[Task]:
    """Yield tasks that print two integers in a given layout."""
    separators = {"a comma": ",", "a colon": ":", "a slash": "/", "a dash": "-", "a dot": ".", "a star": "*"}
    brackets = (("round", "({},{})"), ("square", "[{},{}]"))
    forms = [(f"with {name} between", "{}" + sign + "{}") for name, sign in separators.items()]
    forms += [(f"in {name} brackets with a comma between", form) for name, form in brackets]
    for (words, form), swapped in product(forms, (False, True)):
        yield _layout(f"them in reverse order {words}" if swapped else f"them {words}", form, swapped)
    for swapped in (False, True):
        yield _layout("them in reverse order" if swapped else "them again", "{} {}", swapped)


def _layout(request: str, form: str, swapped: bool) -> Task:
    def write(style: Style) -> str:
        names = (style.b, style.a) if swapped else (style.a, style.b)
        shown = f'printf("{form.format("%d", "%d")}{style.newline}", {", ".join(names)});'
        return style.program([*style.read(style.a, style.b), shown])

    return Task("layout", request, "two", lambda a, b: form.format(*((b, a) if swapped else (a, b))), write)


def real() -> Iterator[Task]:
    """Yield tasks on real numbers, printed with a given number of decimals.

    The inputs are eighths and the decimals at most four, so that C and Python round every result alike.
    """
    formulas: list[tuple[str, str, Callable[[float, float], float]]] = [
        ("their sum", "{a} + {b}", lambda a, b: a + b),
        ("their difference", "{a} - {b}", lambda a, b: a - b),
        ("their product", "{a} * {b}", lambda a, b: a * b),
        ("their average", "({a} + {b}) / 2", lambda a, b: (a + b) / 2),
        ("the first divided by the second", "{a} / {b}", lambda a, b: a / b),
        ("the length of the hypotenuse", "sqrt({a} * {a} + {b} * {b})", math.hypot),
    ]
    for (request, formula, value), decimals in product(formulas, range(1, 5)):
        yield _real(request, formula, value, decimals)


def _real(request: str, formula: str, value: Callable[[float, float], float], decimals: int) -> Task:
    def write(style: Style) -> str:
        shown = style.print_value(formula.format(a=style.a, b=style.b), f"%.{decimals}f", "double")
        headers = ["math"] if "sqrt" in formula else []
        return style.program([*style.read(style.a, style.b, kind="double"), *shown], *headers)

    def answer(a: float, b: float) -> str:
        return f"{value(a, b):.{decimals}f}"

    return Task("real", f"{request} with {decimals} decimals", "reals", answer, write)
