r"""Recursive-descent parser of expressions. It only builds trees and evaluates nothing.

    expression  signed terms              term    factors, with an operator or side by side
    factor      base ^ exponent ! %       base    numeral, variable, function, fraction, root, brackets

Ambiguous notation is refused: 1/2x, sin x/2, 3\frac{5}{2}.
"""

from __future__ import annotations

import re
from abc import abstractmethod

from halo_verifier_sympy.amounts import AmountParser
from halo_verifier_sympy.cursor import make_product, make_sum, require_value
from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.tree import EXPRESSIONS, PERCENT, PI, ZERO, Refused, Tree, Unreadable, integer
from halo_verifier_sympy.vocabulary import (
    ALIASES,
    DIFFERENTIAL,
    FACTOR_COMMANDS,
    FUNCTION_WORDS,
    GREEK,
    HIDDEN_CALL,
    KEYWORDS,
    UNDEFINED,
)


class ExpressionParser(AmountParser):
    """Parses sums, products, powers, numerals and letters."""

    # Sums and products

    def expression(self) -> Tree:
        """Parse a sum."""
        terms = [self._term()]
        while self._next_is("+", "-") or self._next_is_command("pm", "mp"):
            require_value(terms[0])
            sign = self._advance().text
            term = require_value(self._term())
            if sign in ("pm", "mp"):
                terms = [("pm", make_sum(terms), term)]
            else:
                terms.append(term if sign == "+" else ("neg", term))
        return make_sum(terms)

    def _term(self) -> Tree:
        result = self._unary()
        factors = [result]
        while result[0] in EXPRESSIONS:
            if self._accept("*"):
                factors.append(require_value(self._unary()))
            elif self._accept("/"):
                factors = [("div", make_product(factors), require_value(self._unary()))]
                if self._operand_follows():
                    raise Refused("a quotient next to a factor without an operator, as in 1/2x")
            elif self._operand_follows():
                factors.append(require_value(self._factor()))
            else:
                break
        return make_product(factors)

    def _unary(self) -> Tree:
        if self._accept("-"):
            with self._nested():
                return ("neg", require_value(self._unary()))
        if self._accept("+"):
            with self._nested():
                return require_value(self._unary())
        if self._next_is_command("pm", "mp"):
            self._advance()
            with self._nested():
                return ("pm", ZERO, require_value(self._unary()))
        return self._factor()

    def _operand_follows(self) -> bool:
        """Return whether a factor follows without an operator; never a numeral, as 1{2} is displayed as 12."""
        token = self._next
        if token.kind == "letters":
            differential = self._open_integrals and DIFFERENTIAL.fullmatch(token.text)
            ends_integral = differential and not differential[1]
            return not (token.text in KEYWORDS or ends_integral or self._next_is_unit())
        if token.kind == "command":
            return token.text in FACTOR_COMMANDS or token.text.startswith("mathbb")
        if token.kind == "text":
            return token.text.strip() in FUNCTION_WORDS and not self._next_is_unit()
        if self._next_is("{") and self._peek().kind == "number":
            raise Refused("a numeral in braces after a factor")
        return self._next_is("(", "{") or (self._next_is("|") and not self._open_bars)

    # Powers and postfix operators

    def _factor(self) -> Tree:
        with self._nested():
            base = self._base()
            raised = False
            while base[0] in EXPRESSIONS:
                if self._accept_degree_sign():
                    base = ("mul", (base, ("div", PI, integer(180))))
                elif self._accept("^"):
                    base, raised = ("pow", require_value(base), self._exponent()), True
                elif self._accept("!"):
                    if raised or self._next_is("!"):
                        raise Refused("a factorial of a power, or a double factorial")
                    base = ("call", "factorial", (require_value(base),))
                elif base[0] == "num" and base[2] == 1 and self._accept("_"):
                    return self._in_base(base[1])
                elif self._accept("%"):
                    base = ("mul", (require_value(base), PERCENT))
                else:
                    break
            return base

    def _accept_degree_sign(self) -> bool:
        if self._next.text not in ("^", "degree"):
            return False
        texts = [token.text for token in self._tokens[self._position : self._position + 4]]
        length = 2 if texts[:2] == ["^", "circ"] else 4 if texts == ["^", "{", "circ", "}"] else 0
        if not length and self._next_is_command("degree"):
            length = 1
        self._position += length
        return bool(length)

    def _exponent(self) -> Tree:
        with self._nested():
            if self._accept("-"):
                return ("neg", self._exponent())
            if self._accept("+"):
                return self._exponent()
            exponent = self._group() if self._next_is("{") else require_value(self._base())
            return ("pow", exponent, self._exponent()) if self._accept("^") else exponent

    def _group(self) -> Tree:
        self._expect("{")
        with self._nested(bars=0):
            result = require_value(self.expression())
        self._expect("}")
        return result

    def _argument(self) -> Tree:
        """Parse the argument of a LaTeX command: a group or a single character."""
        if self._next_is("{"):
            return self._group()
        if self._next.kind == "number":
            digits = self._next.text
            if len(digits) > 1:
                raise Refused(f"braces are missing before {digits[:20]}")
            return self._base()
        if self._next.kind == "letters":
            self._split_letters(1)
        with self._nested():
            return require_value(self._base())

    # Factors by their first token

    def _base(self) -> Tree:
        token = self._next
        if token.kind == "number":
            return self._numeral()
        if token.kind == "letters":
            return self._word()
        if token.kind == "command":
            return self._command()
        if token.kind == "text" and token.text.strip() in FUNCTION_WORDS:
            self._advance()
            return self._call(token.text.strip())
        if self._accept("|"):
            return self._absolute_value()
        if self._next_is("(", "[", "{", r"\{"):
            with self._nested(bars=0):
                return self._bracketed()
        raise Unreadable(f"unexpected {token.text[:20] or 'end'!r}")

    @abstractmethod
    def _bracketed(self) -> Tree:
        """Parse a factor that starts with a bracket."""

    @abstractmethod
    def _command(self) -> Tree:
        """Parse a factor that starts with a command."""

    @abstractmethod
    def _call(self, name: str) -> Tree:
        """Parse the arguments of a function."""

    @abstractmethod
    def _arguments(self) -> tuple[Tree, ...]:
        """Parse arguments in brackets."""

    @abstractmethod
    def _environment(self) -> Tree:
        r"""Parse an environment after \begin."""

    def _absolute_value(self) -> Tree:
        with self._nested(bars=1):
            inside = require_value(self.expression())
        self._expect("|")
        return ("call", "abs", (inside,))

    # Words and letters

    def _word(self) -> Tree:
        text = self._next.text
        if text in FUNCTION_WORDS:
            self._advance()
            return self._call(ALIASES.get(text, text))
        if text in ("pi", "inf", "infinity", "infty") or text in GREEK:
            self._advance()
            return named_symbol(text)
        if text in KEYWORDS and text != "U":
            raise Unreadable(f"unexpected {text!r}")
        if len(text) > 1:
            if derivative := self._derivative():
                return derivative
            if self._open_integrals and (parts := DIFFERENTIAL.fullmatch(text)):
                self._tokens[self._position : self._position + 1] = [
                    Token("letters", part) for part in parts.groups() if part
                ]
                return self._word()
            if len(text) > 4 or HIDDEN_CALL.search(text):
                raise Unreadable(f"an unknown word: {text[:20]!r}")
            self._split_letters(len(text))
        return self._variable(self._advance().text)

    def _split_letters(self, count: int) -> None:
        """Split the first `count` letters of the next token into tokens."""
        token = self._advance()
        self._position -= 1
        letters = [
            Token("letters", letter, token.spaced and not n) for n, letter in enumerate(token.text[:count])
        ]
        rest = [Token("letters", token.text[count:])] if token.text[count:] else []
        self._tokens[self._position : self._position + 1] = [*letters, *rest]

    def _derivative(self) -> Tree | None:
        """Parse dy/dx as one symbol, not as a quotient."""
        texts = [token.text for token in self._tokens[self._position : self._position + 3]]
        if len(texts) == 3 and texts[1] == "/" and re.fullmatch("(d[a-z]/d[a-z])", "".join(texts)):
            self._position += 3
            return ("sym", "".join(texts))
        return None

    def _variable(self, name: str) -> Tree:
        adjacent = self._next_is("(") and not self._next.spaced
        while self._accept("_"):
            name += "_" + self._subscript()
        while self._accept("'"):
            name += "'"
        if name[0] in UNDEFINED and (adjacent or ("'" in name and self._next_is("("))):
            return ("call", name, self._arguments())
        if name in ("e", "i") and name not in self._bound_variables:
            return ("const", name)
        return ("sym", name)

    def _subscript(self) -> str:
        if not self._accept("{"):
            token = self._advance()
            if token.kind not in ("number", "letters") or len(token.text) > 1:
                raise Refused("a subscript without braces")
            return token.text
        parts = []
        while not self._accept("}"):
            token = self._advance()
            if token.kind not in ("number", "letters", "text") and token.text not in ("+", "-", ","):
                raise Unreadable("an unusual subscript")
            parts.append(token.text)
        return "".join(parts)


def named_symbol(name: str) -> Tree:
    """Return the constant or variable with this name."""
    if name == "pi":
        return PI
    return ("const", "inf") if name.startswith("inf") else ("sym", name)
