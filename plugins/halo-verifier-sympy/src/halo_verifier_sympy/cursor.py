"""A cursor over tokens, the base of the parser."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.tree import EXPRESSIONS, Tree, Unreadable

MAX_DEPTH = 40


class TokenCursor:
    """Position in a list of tokens, with a limit on the nesting depth."""

    def __init__(self, tokens: Sequence[Token], *, amounts: bool = False) -> None:
        self._tokens = list(tokens)
        self._amounts = amounts
        """True if any word after a number is a unit."""
        self._position = 0
        self._depth = 0
        self._amount_start = 0
        self._open_bars = 0
        self._open_integrals = 0
        self._in_braces = False
        """True at the first item of a set, where a colon starts the condition."""
        self._bound_variables: list[str] = []

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _advance(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._position += 1
        return token

    def _next_is(self, *signs: str) -> bool:
        token = self._tokens[self._position]
        return token.kind == "op" and token.text in signs

    def _accept(self, *signs: str) -> bool:
        token = self._tokens[self._position]
        if token.kind != "op" or token.text not in signs:
            return False
        self._position += 1
        return True

    def _next_is_command(self, *names: str) -> bool:
        token = self._tokens[self._position]
        return token.kind == "command" and token.text in names

    def _peek(self) -> Token:
        return self._tokens[min(self._position + 1, len(self._tokens) - 1)]

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise Unreadable(f"expected {sign!r} before {self._next.text or 'the end'!r}")

    def _nested(self, *, bars: int | None = None) -> _Level:
        """Count a level of nesting; within it, `bars` vertical bars are open, or as many as outside if it is None."""
        return _Level(self, bars)


class _Level:
    """A level of nesting, as a context manager; several times faster than one made of a generator."""

    __slots__ = ("_bars", "_before", "_cursor")

    def __init__(self, cursor: TokenCursor, bars: int | None) -> None:
        self._cursor = cursor
        self._bars = bars
        self._before = cursor._open_bars

    def __enter__(self) -> None:
        cursor = self._cursor
        cursor._depth += 1
        if cursor._depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        if self._bars is not None:
            cursor._open_bars = self._bars

    def __exit__(self, *_: object) -> None:
        self._cursor._open_bars = self._before
        self._cursor._depth -= 1


def require_value(tree: Tree) -> Tree:
    """Return `tree`; raise `Unreadable` unless it is an expression."""
    if tree[0] not in EXPRESSIONS:
        raise Unreadable(f"a {tree[0]} in place of a value")
    return tree


def numeral(fraction: Fraction) -> Tree:
    """Return the tree of a rational number."""
    return ("num", fraction.numerator, fraction.denominator)


def make_sum(terms: Sequence[Tree]) -> Tree:
    """Return the sum of `terms`, or the only term."""
    return terms[0] if len(terms) == 1 else ("add", tuple(terms))


def make_product(factors: Sequence[Tree]) -> Tree:
    """Return the product of `factors`, or the only factor."""
    return factors[0] if len(factors) == 1 else ("mul", tuple(factors))
