r"""Reading expressions: a recursive descent over tokens that only ever builds trees.

    expression  signed terms              term    factors, written with a sign or side by side
    factor      base ^ exponent ! %       base    numeral, variable, function, fraction, root, brackets

What people read in two ways is refused, not decided: 1/2x, sin x/2, 3\frac{5}{2}.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from fractions import Fraction

from halo_verifier_sympy.cursor import Cursor, number, product, total, value
from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.tree import EXPRESSIONS, PI, ZERO, Refused, Tree, Unreadable, integer
from halo_verifier_sympy.units import PLAIN
from halo_verifier_sympy.vocabulary import (
    BEGINS,
    CALLS,
    DIFFERENTIAL,
    GREEK,
    HIDDEN_CALL,
    KEYWORDS,
    NAMES,
    UNDEFINED,
)

_BEHIND_UNITS = frozenset(
    {"^", ",", ";", ")", "]", r"\}", "=", "<", ">", "<=", ">=", "!=", "and", "or", "lor", "land"}
)


class Expressions(Cursor, ABC):
    """Reads sums, products, powers, numerals and letters."""

    # Sums and products

    def expression(self) -> Tree:
        """Read a sum."""
        terms = [self._term()]
        while self._sees("+", "-") or self._commands("pm", "mp"):
            value(terms[0])
            sign = self._take().text
            term = value(self._term())
            if sign in ("pm", "mp"):
                terms = [("pm", total(terms), term)]
            else:
                terms.append(term if sign == "+" else ("neg", term))
        return total(terms)

    def _term(self) -> Tree:
        result = self._unary()
        factors = [result]
        while result[0] in EXPRESSIONS:
            if self._takes("*"):
                factors.append(value(self._unary()))
            elif self._takes("/"):
                factors = [("div", product(factors), value(self._unary()))]
                if self._operand_follows():
                    raise Refused("a quotient before a factor without a sign between them, as in 1/2x")
            elif self._operand_follows():
                factors.append(value(self._factor()))
            else:
                break
        return product(factors)

    def _unary(self) -> Tree:
        if self._takes("-"):
            with self._nested():
                return ("neg", value(self._unary()))
        if self._takes("+"):
            with self._nested():
                return value(self._unary())
        if self._commands("pm", "mp"):
            self._take()
            with self._nested():
                return ("pm", ZERO, value(self._unary()))
        return self._factor()

    def _operand_follows(self) -> bool:
        """Whether a factor begins here without a sign. A numeral never does: 1{2} would show as 12."""
        token = self._next
        if token.kind == "letters":
            differential = self._integrals and DIFFERENTIAL.fullmatch(token.text)
            return not (token.text in KEYWORDS or (differential and not differential[1]) or self._unit_word())
        if token.kind == "command":
            return token.text in BEGINS or token.text.startswith("mathbb")
        if token.kind == "text":
            return token.text.strip() in CALLS
        if self._sees("{") and self._peek().kind == "number":
            raise Refused("a numeral in braces behind a factor")
        return self._sees("(", "{") or (self._sees("|") and not self._bars)

    def _unit_word(self) -> bool:
        """Whether the letters here are a unit: 5 cm is a length, but 2cm in c^2+2cm+m^2 a product."""
        before = self._tokens[self._start : self._at]
        if self._next.text not in PLAIN or not before or any(token.kind == "letters" for token in before):
            return False
        behind = self._peek()
        ends = behind.kind in ("end", "text") or behind.text in _BEHIND_UNITS
        return ends and (before[-1].kind == "number" or before[-1].text in ")}")

    # Powers and what stands behind a factor

    def _factor(self) -> Tree:
        with self._nested():
            base = self._base()
            raised = False
            while base[0] in EXPRESSIONS:
                if self._degrees():
                    base = ("mul", (base, ("div", PI, integer(180))))
                elif self._takes("^"):
                    base, raised = ("pow", value(base), self._exponent()), True
                elif self._takes("!"):
                    if raised or self._sees("!"):
                        raise Refused("a factorial of a power, or a double one")
                    base = ("call", "factorial", (value(base),))
                elif self._takes("%"):
                    base = ("div", value(base), integer(100))
                else:
                    break
            return base

    def _degrees(self) -> bool:
        texts = [token.text for token in self._tokens[self._at : self._at + 4]]
        length = 2 if texts[:2] == ["^", "circ"] else 4 if texts == ["^", "{", "circ", "}"] else 0
        if not length and self._commands("degree"):
            length = 1
        self._at += length
        return bool(length)

    def _exponent(self) -> Tree:
        with self._nested():
            if self._takes("-"):
                return ("neg", self._exponent())
            if self._takes("+"):
                return self._exponent()
            exponent = self._group() if self._sees("{") else value(self._base())
            return ("pow", exponent, self._exponent()) if self._takes("^") else exponent

    def _group(self) -> Tree:
        self._expect("{")
        with self._nested():
            result = value(self.expression())
        self._expect("}")
        return result

    def _argument(self) -> Tree:
        """Read what a LaTeX command applies to: a group, or one sign."""
        if self._sees("{"):
            return self._group()
        if self._next.kind == "number":
            digits = self._next.text
            if len(digits) > 1:
                raise Refused(f"braces are missing before {digits[:20]}")
            return self._base()
        if self._next.kind == "letters":
            self._split(1)
        with self._nested():
            return value(self._base())

    # What a factor begins with

    def _base(self) -> Tree:
        token = self._next
        if token.kind == "number":
            return self._numeral()
        if token.kind == "letters":
            return self._word()
        if token.kind == "command":
            return self._command()
        if token.kind == "text" and token.text.strip() in CALLS:
            self._take()
            return self._call(token.text.strip())
        if self._takes("|"):
            return self._between_bars()
        if self._sees("(", "[", "{", r"\{"):
            with self._nested():
                return self._bracketed()
        raise Unreadable(f"unexpected {token.text[:20] or 'end'!r}")

    @abstractmethod
    def _bracketed(self) -> Tree:
        """Read what begins with a bracket."""

    @abstractmethod
    def _command(self) -> Tree:
        """Read what begins with a command."""

    @abstractmethod
    def _call(self, name: str) -> Tree:
        """Read the arguments of a function."""

    @abstractmethod
    def _arguments(self) -> tuple[Tree, ...]:
        """Read arguments in brackets."""

    @abstractmethod
    def _environment(self) -> Tree:
        r"""Read what comes after \begin."""

    def _between_bars(self) -> Tree:
        with self._nested():
            self._bars = 1
            inside = value(self.expression())
        self._expect("|")
        return ("call", "abs", (inside,))

    def _numeral(self) -> Tree:
        text = self._take().text
        if self._next.text == "overline" and "." in text:
            self._take()
            return self._repeating(text)
        tree = number(Fraction(text.rstrip(".") if text.endswith(".") else text))
        after = self._tokens[self._at : self._at + 3]
        if "." in text or not after:
            return tree
        if after[0].text == "frac":
            return self._mixed(tree, self._base())
        kinds = [token.kind for token in after]
        if kinds == ["number", "op", "number"] and after[0].spaced and after[1].text == "/":
            self._at += 3
            return self._mixed(
                tree, ("div", number(Fraction(after[0].text)), number(Fraction(after[2].text)))
            )
        following = after[0]
        if following.kind == "letters" and not following.spaced and re.match("[eE]", following.text):
            self._refuse_exponent(following.text, after[1])
        return tree

    def _refuse_exponent(self, letters: str, after: Token) -> None:
        if (
            letters in ("e", "E")
            and not after.spaced
            and (after.kind == "number" or after.text in ("+", "-"))
        ):
            raise Refused("a number like 1e5, where e may also be Euler's")

    def _repeating(self, text: str) -> Tree:
        self._expect("{")
        period = self._take().text
        self._expect("}")
        if not period.isdigit() or self._next.kind == "number":
            raise Unreadable("a repeating decimal without digits under the line")
        places = len(text.partition(".")[2])
        tail = Fraction(int(period), 10**places * (10 ** len(period) - 1))
        return number(Fraction(text.rstrip(".")) + tail)

    def _mixed(self, whole: Tree, fraction: Tree) -> Tree:
        r"""Read 3\frac{1}{2} as three and a half, which is what people mean; other fractions are factors."""
        if fraction[0] != "div" or {fraction[1][0], fraction[2][0]} != {"num"}:
            return ("mul", (whole, fraction))
        if not 0 < fraction[1][1] < fraction[2][1] or whole == ZERO or self._sees("^", "!"):
            raise Refused("a numeral before a fraction that is no mixed number")
        return number(whole[1] + Fraction(fraction[1][1], fraction[2][1]))

    # Words and letters

    def _word(self) -> Tree:
        text = self._next.text
        if text in CALLS:
            self._take()
            return self._call(NAMES.get(text, text))
        if text in ("pi", "inf", "infinity", "infty") or text in GREEK:
            self._take()
            return named(text)
        if text in KEYWORDS and text != "U":
            raise Unreadable(f"unexpected {text!r}")
        if len(text) > 1:
            if derivative := self._derivative():
                return derivative
            if self._integrals and (parts := DIFFERENTIAL.fullmatch(text)):
                self._tokens[self._at : self._at + 1] = [
                    Token("letters", part) for part in parts.groups() if part
                ]
                return self._word()
            if len(text) > 4 or HIDDEN_CALL.search(text):
                raise Unreadable(f"an unknown word: {text[:20]!r}")
            self._split(len(text))
        return self._variable(self._take().text)

    def _split(self, count: int) -> None:
        """Make single letters of the first `count` letters of the run here."""
        token = self._take()
        self._at -= 1
        letters = [
            Token("letters", letter, token.spaced and not n) for n, letter in enumerate(token.text[:count])
        ]
        rest = [Token("letters", token.text[count:])] if token.text[count:] else []
        self._tokens[self._at : self._at + 1] = [*letters, *rest]

    def _derivative(self) -> Tree | None:
        """Read dy/dx, which is no quotient."""
        texts = [token.text for token in self._tokens[self._at : self._at + 3]]
        if len(texts) == 3 and texts[1] == "/" and re.fullmatch("(d[a-z]/d[a-z])", "".join(texts)):
            self._at += 3
            return ("sym", "".join(texts))
        return None

    def _variable(self, name: str) -> Tree:
        at_once = self._sees("(") and not self._next.spaced
        while self._takes("_"):
            name += "_" + self._subscript()
        while self._takes("'"):
            name += "'"
        if name[0] in UNDEFINED and (at_once or ("'" in name and self._sees("("))):
            return ("call", name, self._arguments())
        if name in ("e", "i") and name not in self._bound:
            return ("const", name)
        return ("sym", name)

    def _subscript(self) -> str:
        if not self._takes("{"):
            token = self._take()
            if token.kind not in ("number", "letters") or len(token.text) > 1:
                raise Refused("a subscript without braces")
            return token.text
        parts = []
        while not self._takes("}"):
            token = self._take()
            if token.kind not in ("number", "letters", "text") and token.text not in ("+", "-", ","):
                raise Unreadable("an unusual subscript")
            parts.append(token.text)
        return "".join(parts)


def named(name: str) -> Tree:
    """Return the constant or variable of a name."""
    if name == "pi":
        return PI
    return ("const", "inf") if name.startswith("inf") else ("sym", name)
