"""Values of expressions at complex points, to many digits. They can refute equality, never prove it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import mpmath  # type: ignore[import-untyped]

from halo_verifier_sympy.tree import FUNCTIONS, OPEN_FORMS, Refused, Tree, free_variables, walk

_REAL_ONLY = frozenset({"floor", "ceil", "gcd", "lcm", "min", "max"})
_SIZES = ("0.7390851332151607", "1.2020569031595942", "0.5671432904097838", "1.4513692348833810")
"""Values of variables: numbers with no simple relation to each other."""
_PRECISIONS = (40, 160)
_POINTS = 3


def differ(left: Tree, right: Tree, assume: str) -> bool:
    """Return whether two expressions certainly have different values at some point.

    False proves nothing. Raises `Refused` if, at each point tried, one of them is undefined.
    """
    if any(part[0] in OPEN_FORMS for tree in (left, right) for part in walk(tree)):
        return False
    names = free_variables(left) | free_variables(right)
    real = assume != "complex" or any(_needs_reals(tree) for tree in (left, right))
    found = 0
    for point in range(_POINTS if names else 1):
        for digits in _PRECISIONS:  # a higher precision confirms that a difference is not rounding
            point_values = _point(names, point, real, assume, digits)
            values = [_value_at(tree, point_values, digits) for tree in (left, right)]
            if None not in values and not _certainly_unequal(values[0], values[1], digits):
                found += 1
                break
        else:
            if None not in values:
                return True
    if not found:
        raise Refused("an undefined expression")
    return False


def evaluate(tree: Tree) -> Any:
    """Return the value of an expression without variables as an mpmath number; raise `Refused` if undefined."""
    values = (_value_at(tree, {}, digits) for digits in _PRECISIONS)
    value = next((value for value in values if value is not None), None)
    if value is None:
        raise Refused("an undefined expression")
    return value


def is_positive(tree: Tree) -> bool:
    """Return whether an expression without variables is a positive number."""
    value = evaluate(tree)
    return mpmath.im(value) == 0 and bool(mpmath.re(value) > 0)


def within_tolerances(gold: Tree, answer: Tree, rtol: float, atol: float) -> bool:
    """Return whether two expressions have no variables and are within the tolerances, up to rounding."""
    if free_variables(gold) | free_variables(answer):
        return False
    wanted, given = evaluate(gold), evaluate(answer)
    return bool(abs(given - wanted) <= max(atol, rtol * abs(wanted)))


def _certainly_unequal(left: Any, right: Any, digits: int) -> bool:
    """Return whether two values differ by more than rounding can explain."""
    return bool(abs(left - right) > mpmath.mpf(10) ** (-digits * 3 // 5) * max(abs(left), abs(right), 1))


def _value_at(tree: Tree, point_values: Mapping[str, Any], digits: int) -> Any:
    with mpmath.workdps(digits):
        try:
            value = _Evaluator(point_values, digits).evaluate(tree)
        except (ZeroDivisionError, ValueError, OverflowError, mpmath.libmp.NoConvergence):
            return None
        return value if mpmath.isfinite(value) else None


def _needs_reals(tree: Tree) -> bool:
    return any(part[0] == "call" and part[1] in _REAL_ONLY for part in walk(tree))


def _point(names: frozenset[str], point: int, real: bool, assume: str, digits: int) -> dict[str, Any]:
    """Return values of the variables on both sides of the branch cuts of roots and logarithms."""
    with mpmath.workdps(digits):
        found = {}
        for number, name in enumerate(sorted(names)):
            index = number + point * len(names)
            size = mpmath.mpf(_SIZES[index % len(_SIZES)]) + mpmath.mpf(index // len(_SIZES)) / 7
            sign = (1, -1, (-1) ** number)[point]
            side = mpmath.mpf(_SIZES[(index + 1) % len(_SIZES)]) / 3
            found[name] = (
                size if assume == "positive" else sign * size if real else mpmath.mpc(sign * size, side)
            )
        return found


class _Evaluator:
    def __init__(self, point_values: Mapping[str, Any], digits: int) -> None:
        self._point = point_values
        self._tiny = mpmath.mpf(10) ** (-digits * 3 // 4)

    def evaluate(self, tree: Tree) -> Any:
        head = tree[0]
        if head == "num":
            return mpmath.mpf(tree[1]) / tree[2]
        if head == "sym":
            return self._point[tree[1]]
        if head == "const":
            constants = {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j}
            return +constants[tree[1]] if tree[1] in constants else mpmath.inf
        if head in ("add", "mul"):
            values = [self.evaluate(part) for part in tree[1]]
            return mpmath.fsum(values) if head == "add" else mpmath.fprod(values)
        if head == "neg":
            return -self.evaluate(tree[1])
        if head == "div":
            return self._divide(self.evaluate(tree[1]), self.evaluate(tree[2]))
        if head == "pow":
            return self._power(self.evaluate(tree[1]), self.evaluate(tree[2]))
        if head == "root":
            return self._root(self.evaluate(tree[1]), self.evaluate(tree[2]))
        if head == "log":
            return self._divide(
                self._function("ln", [self.evaluate(tree[2])]), self._function("ln", [self.evaluate(tree[1])])
            )
        return self._function(tree[1], [self.evaluate(part) for part in tree[2]])

    def _divide(self, numerator: Any, denominator: Any) -> Any:
        if abs(denominator) < self._tiny:
            raise ZeroDivisionError
        return numerator / denominator

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
            return self._stand_in(name, values)
        if name == "ln" and abs(values[0]) < self._tiny:
            raise ZeroDivisionError
        if name in _QUOTIENTS:
            numerator, denominator = _QUOTIENTS[name]
            return self._divide(numerator(values[0]), denominator(values[0]))
        return _FUNCTIONS[name](*values)

    def _stand_in(self, name: str, values: list[Any]) -> Any:
        """Return the value of a polynomial that depends on `name`, in place of the undefined function."""
        seed = sum(map(ord, name))
        terms = [value**3 / (n + 3) + value * mpmath.sqrt(seed + n) + 1 for n, value in enumerate(values)]
        return mpmath.fprod(terms) + mpmath.ln(seed)


def _constant_one(_: Any) -> Any:
    return mpmath.mpf(1)


_QUOTIENTS: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tan": (mpmath.sin, mpmath.cos), "cot": (mpmath.cos, mpmath.sin), "sec": (_constant_one, mpmath.cos),
    "csc": (_constant_one, mpmath.sin), "coth": (mpmath.cosh, mpmath.sinh), "csch": (_constant_one, mpmath.sinh),
}  # fmt: skip


def _on_integers(combine: Callable[[int, int], int]) -> Callable[..., Any]:
    def function(*values: Any) -> Any:
        result = 0
        for value in values:
            if not mpmath.isint(value) or abs(value) > 10**30:
                raise ValueError
            result = combine(result, int(mpmath.re(value))) if result else int(mpmath.re(value))
        return mpmath.mpf(result)

    return function


def _rounding_safe(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return floor or ceil with values that are integers up to rounding mapped to those integers."""

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
    "atanh": mpmath.atanh, "exp": mpmath.exp, "ln": mpmath.log, "abs": abs, "floor": _rounding_safe(mpmath.floor),
    "ceil": _rounding_safe(mpmath.ceil), "factorial": _factorial, "binomial": mpmath.binomial,
    "gcd": _on_integers(math.gcd), "lcm": _on_integers(math.lcm), "min": min, "max": max,
    "re": mpmath.re, "im": mpmath.im,
}  # fmt: skip
