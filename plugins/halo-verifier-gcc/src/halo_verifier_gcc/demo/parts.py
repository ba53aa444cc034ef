"""What the families of tasks have in common: functions of a number, in C and in Python, and tests of one."""

from __future__ import annotations

from collections.abc import Callable

from halo_verifier_gcc.demo.style import Pen
from halo_verifier_gcc.demo.tasks import Task

Two = Callable[[int, int], int]
One = Callable[[int], int]
Test = Callable[[int], bool]


def plus(k: int) -> One:
    """Add `k`."""
    return lambda v: v + k


def times(k: int) -> One:
    """Multiply by `k`."""
    return lambda v: v * k


def over(k: int) -> One:
    """Divide by `k`, rounding down."""
    return lambda v: v // k


def rest(k: int) -> One:
    """What is left over from `k`."""
    return lambda v: v % k


def divides(k: int) -> Test:
    """Whether `k` divides a number."""
    return lambda v: v % k == 0


TESTS: list[tuple[str, str, Test]] = [
    ("it is even", "{} % 2 == 0", lambda n: n % 2 == 0),
    ("it is odd", "{} % 2 != 0", lambda n: n % 2 != 0),
    ("it is positive", "{} > 0", lambda n: n > 0),
    ("it is negative", "{} < 0", lambda n: n < 0),
    *[(f"it is greater than {k}", f"{{}} > {k}", lambda n, k=k: n > k) for k in range(2, 10)],
    *[(f"it is less than {k}", f"{{}} < {k}", lambda n, k=k: n < k) for k in range(2, 10)],
    *[(f"it is at least {k}", f"{{}} >= {k}", lambda n, k=k: n >= k) for k in range(2, 10)],
    *[(f"it is divisible by {k}", f"{{}} % {k} == 0", divides(k)) for k in range(3, 8)],
]
"""In English, in C, in Python."""


def of_one(family: str, what: str, formula: str, value: One) -> Task:
    """Return the task of printing a formula of one number."""

    def write(pen: Pen) -> str:
        return pen.program([*pen.read(pen.n), *pen.show(formula.format(n=pen.n))])

    return Task(family, what, "count", value, write)
