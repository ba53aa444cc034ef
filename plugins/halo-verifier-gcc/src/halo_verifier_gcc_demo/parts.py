"""Parts that several families share: functions of a number, and predicates on a number in C and in Python."""

from __future__ import annotations

from collections.abc import Callable

from halo_verifier_gcc_demo.style import Style
from halo_verifier_gcc_demo.tasks import Task

Binary = Callable[[int, int], int]
Unary = Callable[[int], int]
Predicate = Callable[[int], bool]


def plus(k: int) -> Unary:
    """Return a function that adds `k`."""
    return lambda v: v + k


def times(k: int) -> Unary:
    """Return a function that multiplies by `k`."""
    return lambda v: v * k


def divided_by(k: int) -> Unary:
    """Return a function that divides by `k`, rounding down."""
    return lambda v: v // k


def remainder(k: int) -> Unary:
    """Return a function that gives the remainder of a division by `k`."""
    return lambda v: v % k


def divisible_by(k: int) -> Predicate:
    """Return a predicate that is true for multiples of `k`."""
    return lambda v: v % k == 0


PREDICATES: list[tuple[str, str, Predicate]] = [
    ("it is even", "{} % 2 == 0", lambda n: n % 2 == 0),
    ("it is odd", "{} % 2 != 0", lambda n: n % 2 != 0),
    ("it is positive", "{} > 0", lambda n: n > 0),
    ("it is negative", "{} < 0", lambda n: n < 0),
    *[(f"it is greater than {k}", f"{{}} > {k}", lambda n, k=k: n > k) for k in range(2, 10)],
    *[(f"it is less than {k}", f"{{}} < {k}", lambda n, k=k: n < k) for k in range(2, 10)],
    *[(f"it is at least {k}", f"{{}} >= {k}", lambda n, k=k: n >= k) for k in range(2, 10)],
    *[(f"it is divisible by {k}", f"{{}} % {k} == 0", divisible_by(k)) for k in range(3, 8)],
]
"""The predicates in English, C and Python."""


def formula_task(family: str, request: str, formula: str, value: Unary) -> Task:
    """Return a task that prints a formula of one number."""

    def write(style: Style) -> str:
        return style.program([*style.read(style.n), *style.print_value(formula.format(n=style.n))])

    return Task(family, request, "count", value, write)
