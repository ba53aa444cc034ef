"""A cursor over tokens: what every reading method stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.tree import EXPRESSIONS, Tree, Unreadable

MAX_DEPTH = 40


class Cursor:
    """Looks at the next token and takes it; counts how deep the reading is."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = list(tokens)
        self._at = 0
        self._depth = 0
        self._start = 0
        self._bars = 0
        self._integrals = 0
        self._bound: list[str] = []

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._at += 1
        return token

    def _sees(self, *signs: str) -> bool:
        return self._next.kind == "op" and self._next.text in signs

    def _takes(self, *signs: str) -> bool:
        found = self._sees(*signs)
        if found:
            self._at += 1
        return found

    def _commands(self, *names: str) -> bool:
        return self._next.kind == "command" and self._next.text in names

    def _peek(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise Unreadable(f"expected {sign!r} before {self._next.text or 'the end'!r}")

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        bars, self._bars = self._bars, 0
        yield
        self._bars = bars
        self._depth -= 1


def value(tree: Tree) -> Tree:
    """Return `tree`, which must be an expression."""
    if tree[0] not in EXPRESSIONS:
        raise Unreadable(f"a {tree[0]} where a value should be")
    return tree


def number(fraction: Fraction) -> Tree:
    """Return the numeral of a rational number."""
    return ("num", fraction.numerator, fraction.denominator)


def total(terms: Sequence[Tree]) -> Tree:
    """Return the sum of `terms`, or the only one."""
    return terms[0] if len(terms) == 1 else ("add", tuple(terms))


def product(factors: Sequence[Tree]) -> Tree:
    """Return the product of `factors`, or the only one."""
    return factors[0] if len(factors) == 1 else ("mul", tuple(factors))
