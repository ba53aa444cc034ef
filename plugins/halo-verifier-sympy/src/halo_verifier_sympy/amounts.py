r"""Parser of units that follow a number, such as 5 cm, 60 km/h or 5\text{ min}."""

from __future__ import annotations

from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.numerals import NumeralParser
from halo_verifier_sympy.units import BARE_UNITS, LETTER_UNITS, is_counted
from halo_verifier_sympy.vocabulary import FUNCTION_WORDS, GREEK, KEYWORDS

_AFTER_UNIT = frozenset(
    {"^", ",", ";", ")", "]", r"\}", "=", "<", ">", "<=", ">=", "!=", ":", "and", "or", "lor", "land"}
)
_CONNECTORS = frozenset({"square", "sq", "cubic", "per"})


class AmountParser(NumeralParser):
    r"""Recognizes units without markup, and units in \text that are also the names of functions."""

    def _next_is_unit(self) -> bool:
        """Return whether a unit follows: 5 cm is a length, but 2cm in c^2+2cm+m^2 is a product."""
        return self._unit_end() > self._position

    def _unit_end(self) -> int:
        """Return the index after the unit that starts here; the current index if there is none."""
        before = self._tokens[self._amount_start : self._position]
        if not before or any(token.kind == "letters" for token in before):
            return self._position
        if before[-1].kind != "number" and before[-1].text not in (")", "}", "pi"):
            return self._position
        if self._next.kind == "text":
            return self._position + (
                self._next.text.strip() in BARE_UNITS and self._ends_unit(self._position + 1)
            )
        place, divided = self._position, False
        while self._is_unit_word(self._tokens[place], divided=divided):
            place += 1
            divided = self._tokens[place].text == "/" and self._tokens[place + 1].kind == "letters"
            place += divided
        return place if place > self._position and self._ends_unit(place) else self._position

    def _is_unit_word(self, token: Token, *, divided: bool) -> bool:
        text = token.text
        if token.kind != "letters" or text in (FUNCTION_WORDS - BARE_UNITS) | KEYWORDS | GREEK:
            return divided and text == "in"
        if text in BARE_UNITS or (divided and text in LETTER_UNITS):
            return True
        return self._amounts and (
            text in LETTER_UNITS or text in _CONNECTORS or is_counted(text, token.spaced)
        )

    def _ends_unit(self, place: int) -> bool:
        after = self._tokens[place]
        return after.kind in ("end", "text") or after.text in _AFTER_UNIT
