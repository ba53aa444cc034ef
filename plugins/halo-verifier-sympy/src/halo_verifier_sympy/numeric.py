"""Values of expressions at points of the complex plane, to many digits: proof of difference, never of equality."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import mpmath  # type: ignore[import-untyped]

from halo_verifier_sympy.tree import FUNCTIONS, OPEN_FORMS, Refused, Tree, symbols, walk

_REAL_ONLY = frozenset({"floor", "ceil", "gcd", "lcm", "min", "max"})
_STEPS = ("0.7390851332151607", "1.2020569031595942", "0.5671432904097838", "1.4513692348833810")
"""Where variables are put: numbers with no simple relation to each other."""
_PRECISIONS = (40, 160)
_POINTS = 3


def differ(one: Tree, two: Tree, assume: str) -> bool:
    """Whether two expressions certainly have different values somewhere.

    False says nothing. Raises `Refused` when one of them has no value at any of the points tried.
    """
    if any(part[0] in OPEN_FORMS for tree in (one, two) for part in walk(tree)):
        return False
    names = symbols(one) | symbols(two)
    real = assume != "complex" or any(_needs_reals(tree) for tree in (one, two))
    found = 0
    for point in range(_POINTS if names else 1):
        for digits in _PRECISIONS:  # twice, lest rounding be taken for a difference
            places = _places(names, point, real, assume, digits)
            values = [_value(tree, places, digits) for tree in (one, two)]
            if None not in values and not _apart(values[0], values[1], digits):
                found += 1
                break
        else:
            if None not in values:
                return True
    if not found:
        raise Refused("an expression without a value")
    return False


def number(tree: Tree) -> Any:
    """Return the value of an expression without variables, as an mpmath number; raise `Refused` for none."""
    values = (_value(tree, {}, digits) for digits in _PRECISIONS)
    value = next((value for value in values if value is not None), None)
    if value is None:
        raise Refused("an expression without a value")
    return value


def positive(tree: Tree) -> bool:
    """Whether an expression without variables is a positive number."""
    value = number(tree)
    return mpmath.im(value) == 0 and bool(mpmath.re(value) > 0)


def near(one: Tree, two: Tree, rtol: float, atol: float) -> bool:
    """Whether two expressions without variables are within tolerances, but for rounding; else False."""
    if symbols(one) | symbols(two):
        return False
    wanted, given = number(one), number(two)
    return bool(abs(given - wanted) <= max(atol, rtol * abs(wanted)))


def _apart(one: Any, two: Any, digits: int) -> bool:
    """Whether two values differ by more than rounding could explain."""
    return bool(abs(one - two) > mpmath.mpf(10) ** (-digits * 3 // 5) * max(abs(one), abs(two), 1))


def _value(tree: Tree, places: Mapping[str, Any], digits: int) -> Any:
    with mpmath.workdps(digits):
        try:
            value = _Evaluation(places, digits).of(tree)
        except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.NoConvergence):
            return None
        return value if mpmath.isfinite(value) else None


def _needs_reals(tree: Tree) -> bool:
    return any(part[0] == "call" and part[1] in _REAL_ONLY for part in walk(tree))


def _places(names: frozenset[str], point: int, real: bool, assume: str, digits: int) -> dict[str, Any]:
    """Return values of variables, on both sides of the branches of roots and logarithms."""
    with mpmath.workdps(digits):
        found = {}
        for number, name in enumerate(sorted(names)):
            index = number + point * len(names)
            size = mpmath.mpf(_STEPS[index % len(_STEPS)]) + mpmath.mpf(index // len(_STEPS)) / 7
            sign = (1, -1, (-1) ** number)[point]
            side = mpmath.mpf(_STEPS[(index + 1) % len(_STEPS)]) / 3
            found[name] = (
                size if assume == "positive" else sign * size if real else mpmath.mpc(sign * size, side)
            )
        return found


class _Evaluation:
    def __init__(self, places: Mapping[str, Any], digits: int) -> None:
        self._places = places
        self._tiny = mpmath.mpf(10) ** (-digits * 3 // 4)

    def of(self, tree: Tree) -> Any:
        head = tree[0]
        if head == "num":
            return mpmath.mpf(tree[1]) / tree[2]
        if head == "sym":
            return self._places[tree[1]]
        if head == "const":
            constants = {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j}
            return +constants[tree[1]] if tree[1] in constants else mpmath.inf
        if head in ("add", "mul"):
            values = [self.of(part) for part in tree[1]]
            return mpmath.fsum(values) if head == "add" else mpmath.fprod(values)
        if head == "neg":
            return -self.of(tree[1])
        if head == "div":
            return self._over(self.of(tree[1]), self.of(tree[2]))
        if head == "pow":
            return self._power(self.of(tree[1]), self.of(tree[2]))
        if head == "root":
            return self._root(self.of(tree[1]), self.of(tree[2]))
        if head == "log":
            return self._over(
                self._function("ln", [self.of(tree[2])]), self._function("ln", [self.of(tree[1])])
            )
        return self._function(tree[1], [self.of(part) for part in tree[2]])

    def _over(self, above: Any, below: Any) -> Any:
        if abs(below) < self._tiny:
            raise ZeroDivisionError
        return above / below

    def _power(self, base: Any, exponent: Any) -> Any:
        if abs(base) < self._tiny and not mpmath.re(exponent) > 0:
            raise ZeroDivisionError
        if mpmath.isint(exponent) and abs(exponent) < 10**6:
            return base ** int(mpmath.re(exponent))
        return mpmath.power(base, exponent)

    def _root(self, degree: Any, base: Any) -> Any:
        order = int(mpmath.re(degree))
        if order != degree or not 2 <= order <= 100:
            raise ValueError
        if order % 2 and mpmath.im(base) == 0 and mpmath.re(base) < 0:
            return -mpmath.root(-base, order)
        return mpmath.root(base, order)

    def _function(self, name: str, values: list[Any]) -> Any:
        if name not in FUNCTIONS:
            return self._unknown(name, values)
        if name == "ln" and abs(values[0]) < self._tiny:
            raise ZeroDivisionError
        if name in _QUOTIENTS:
            above, below = _QUOTIENTS[name]
            return self._over(above(values[0]), below(values[0]))
        return _FUNCTIONS[name](*values)

    def _unknown(self, name: str, values: list[Any]) -> Any:
        """Stand in for an undefined function by some polynomial of its own."""
        seed = sum(map(ord, name))
        terms = [value**3 / (n + 3) + value * mpmath.sqrt(seed + n) + 1 for n, value in enumerate(values)]
        return mpmath.fprod(terms) + mpmath.ln(seed)


def _one(_: Any) -> Any:
    return mpmath.mpf(1)


_QUOTIENTS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tan": (mpmath.sin, mpmath.cos), "cot": (mpmath.cos, mpmath.sin), "sec": (_one, mpmath.cos),
    "csc": (_one, mpmath.sin), "coth": (mpmath.cosh, mpmath.sinh), "csch": (_one, mpmath.sinh),
}  # fmt: skip


def _whole(combine: Callable[[int, int], int]) -> Callable[..., Any]:
    def function(*values: Any) -> Any:
        result = 0
        for value in values:
            if not mpmath.isint(value) or abs(value) > 10**30:
                raise ValueError
            result = combine(result, int(mpmath.re(value))) if result else int(mpmath.re(value))
        return mpmath.mpf(result)

    return function


def _rounded(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return floor or ceil that takes what is an integer but for rounding for that integer."""

    def function(value: Any) -> Any:
        if mpmath.im(value) != 0:
            raise ValueError
        nearest = mpmath.nint(mpmath.re(value))
        return nearest if abs(nearest - value) < mpmath.mpf(10) ** -25 else step(mpmath.re(value))

    return function


def _factorial(value: Any) -> Any:
    if abs(value) > 10**4:
        raise Refused("a factorial of more than 10000")
    return mpmath.factorial(value)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sin": mpmath.sin, "cos": mpmath.cos, "asin": mpmath.asin, "acos": mpmath.acos, "atan": mpmath.atan,
    "asec": mpmath.asec, "acsc": mpmath.acsc, "acot": mpmath.acot, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "tanh": mpmath.tanh, "sech": mpmath.sech, "asinh": mpmath.asinh, "acosh": mpmath.acosh,
    "atanh": mpmath.atanh, "exp": mpmath.exp, "ln": mpmath.log, "abs": abs, "floor": _rounded(mpmath.floor),
    "ceil": _rounded(mpmath.ceil), "factorial": _factorial, "binomial": mpmath.binomial, "gcd": _whole(math.gcd),
    "lcm": _whole(math.lcm), "min": min, "max": max, "re": mpmath.re, "im": mpmath.im,
}  # fmt: skip
