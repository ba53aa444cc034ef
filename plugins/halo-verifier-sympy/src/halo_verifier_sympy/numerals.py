"""Parser of numerals, repeating decimals and mixed numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction

from halo_verifier_sympy.cursor import TokenCursor, numeral
from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.tree import ZERO, Refused, Tree, Unreadable

_BASES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


class NumeralParser(TokenCursor, ABC):
    """Parses numerals and mixed numbers."""

    @abstractmethod
    def _base(self) -> Tree:
        """Parse a factor without its exponent and postfix operators."""

    def _numeral(self) -> Tree:
        text = self._advance().text
        if self._next.text == "overline" and "." in text:
            self._advance()
            return self._repeating(text)
        tree = ("num", int(text), 1) if text.isdecimal() else numeral(Fraction(text.rstrip(".")))
        after = self._tokens[self._position : self._position + 3]
        if "." in text or not after:
            return tree
        if after[0].text == "frac":
            return self._mixed(tree, self._base())
        kinds = [token.kind for token in after]
        if kinds == ["number", "op", "number"] and after[0].spaced and after[1].text == "/":
            self._position += 3
            numerator, denominator = (numeral(Fraction(after[place].text)) for place in (0, 2))
            return self._mixed(tree, ("div", numerator, denominator))
        if _is_exponent(after):
            raise Refused("a number like 1e5, where e may be Euler's number")
        return tree

    def _in_base(self, digits: int) -> Tree:
        """Parse the base of a numeral such as 204_5, after the underscore."""
        braces = self._accept("{")
        brackets = braces and self._accept("(")
        text = self._advance().text.strip()
        if brackets:
            self._expect(")")
        if braces:
            self._expect("}")
        base = (
            _BASES.index(text) + 2 if text in _BASES else int(text) if text.isdigit() and len(text) < 3 else 0
        )
        if not 2 <= base <= 36 or (len(text) > 1 and text.isdigit() and not braces):
            raise Unreadable("a subscript of a numeral that is not a base")
        if max(map(int, str(digits))) >= base:
            raise Refused(f"a digit that base {base} does not have")
        return ("based", digits, base)

    def _repeating(self, text: str) -> Tree:
        self._expect("{")
        period = self._advance().text
        self._expect("}")
        if not period.isdigit() or self._next.kind == "number":
            raise Unreadable("a repeating decimal without digits under the overline")
        places = len(text.partition(".")[2])
        tail = Fraction(int(period), 10**places * (10 ** len(period) - 1))
        return numeral(Fraction(text.rstrip(".")) + tail)

    def _mixed(self, whole: Tree, fraction: Tree) -> Tree:
        r"""Return three and a half for 3\frac{1}{2}, as people mean it; other fractions are factors."""
        if fraction[0] != "div" or {fraction[1][0], fraction[2][0]} != {"num"}:
            return ("mul", (whole, fraction))
        if not 0 < fraction[1][1] < fraction[2][1] or whole == ZERO or self._next_is("^", "!"):
            raise Refused("a numeral and a fraction that do not form a mixed number")
        return numeral(whole[1] + Fraction(fraction[1][1], fraction[2][1]))


def _is_exponent(tokens: Sequence[Token]) -> bool:
    """Return whether tokens start with e5, e+ or e-, without spaces."""
    letter = tokens[0]
    if letter.kind != "letters" or letter.spaced or letter.text not in ("e", "E"):
        return False
    return not tokens[1].spaced and (tokens[1].kind == "number" or tokens[1].text in ("+", "-"))
