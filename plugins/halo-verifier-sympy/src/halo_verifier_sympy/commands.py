"""Parser of commands: fractions, functions, roots, sums, integrals, limits."""

from __future__ import annotations

import re

from halo_verifier_sympy.cursor import make_product, require_value
from halo_verifier_sympy.grammar import ExpressionParser, named_symbol
from halo_verifier_sympy.tree import FUNCTIONS, ONE, Refused, Tree, Unreadable, integer
from halo_verifier_sympy.vocabulary import FENCES, FUNCTION_WORDS, GREEK


class CommandParser(ExpressionParser):
    """Parses factors that start with a command or a function name."""

    # Commands and functions

    def _command(self) -> Tree:
        name = self._advance().text
        if name in FUNCTION_WORDS:
            return self._call(name)
        if name in ("pi", "infty") or name in GREEK:
            tree = named_symbol(name)
            return self._variable(name) if tree[0] == "sym" else tree
        if name == "frac":
            return self._fraction()
        if name == "binom":
            return ("call", "binomial", self._argument_pair())
        if name in FENCES:
            closing, function = FENCES[name]
            with self._nested(bars=0):
                inside = require_value(self.expression())
            if self._advance().text != closing:
                raise Unreadable(f"\\{name} is not closed")
            return ("call", function, (inside,))
        if name in ("mathbf", "boldsymbol"):
            return self._argument()
        if name in ("vec", "hat", "bar", "tilde"):
            return self._accented(name)
        if name in ("sum", "prod", "int", "lim"):
            return self._series(name) if name in ("sum", "prod") else getattr(self, f"_{name}")()
        if name in ("emptyset", "varnothing"):
            return ("set", ())
        if name.startswith("mathbb") and name[-1] not in "PE":
            return ("space", name[-1])
        if name == "begin":
            return self._environment()
        raise Unreadable(f"an unknown command: \\{name[:20]}")

    def _accented(self, accent: str) -> Tree:
        letter = self._argument()
        if letter[0] not in ("sym", "const"):
            raise Unreadable(f"\\{accent} over more than a letter")
        return ("sym", f"\\{accent}{{{letter[1]}}}")

    def _fraction(self) -> Tree:
        texts = [token.text for token in self._tokens[self._position : self._position + 6]]
        if texts[0::3] == ["{", "{"] and re.fullmatch("d[a-z]}d[a-z]}", "".join(texts[1:3] + texts[4:])):
            self._position += 6
            return ("sym", f"{texts[1]}/{texts[4]}")
        if re.match(r"\{(d[a-z]|d\^|d\}\{d[a-z])", "".join(texts)):
            raise Refused("a derivative")
        return ("div", *self._argument_pair())

    def _argument_pair(self) -> tuple[Tree, Tree]:
        if self._next.kind == "number" and len(self._next.text) == 2 and self._next.text.isdigit():
            digits = self._advance().text
            return integer(int(digits[0])), integer(int(digits[1]))
        return self._argument(), self._argument()

    def _call(self, name: str) -> Tree:
        if name in ("sqrt", "cbrt", "surd"):
            return self._root(name)
        base: Tree | None = integer(10) if name == "log10" else None
        if name == "log" and self._accept("_"):
            base = self._argument()
        power = self._exponent() if self._accept("^") else None
        arguments = self._arguments() if self._next_is("(") else (self._bare_argument(),)
        result = _function_tree(name, base, arguments, power == ("neg", ONE))
        return result if power in (None, ("neg", ONE)) else ("pow", result, power)

    def _arguments(self) -> tuple[Tree, ...]:
        self._expect("(")
        with self._nested(bars=0):
            arguments = [require_value(self.expression())]
            while self._accept(","):
                arguments.append(require_value(self.expression()))
        self._expect(")")
        return tuple(arguments)

    def _bare_argument(self) -> Tree:
        """Parse an argument without brackets: factors up to an operator or another function."""
        with self._nested():
            if self._accept("-"):
                return ("neg", self._bare_argument())
            factors = [require_value(self._factor())]
            while (
                self._operand_follows()
                and self._next.text.strip() not in FUNCTION_WORDS
                and not self._next_is("(")
            ):
                factors.append(require_value(self._factor()))
        if self._next_is("/"):
            raise Refused("a quotient after a function without brackets, as in sin x/2")
        return make_product(factors)

    def _root(self, name: str) -> Tree:
        degree = integer(3 if name == "cbrt" else 2)
        if self._accept("["):
            with self._nested(bars=0):
                degree = require_value(self.expression())
            self._expect("]")
        whole = self._next.kind == "number" and (name == "surd" or self._next.spaced)
        if self._next_is("("):
            return ("root", degree, self._arguments()[0])
        return ("root", degree, self._numeral() if whole else self._argument())

    # Sums, products, integrals, limits

    def _series(self, name: str) -> Tree:
        self._expect("_")
        self._expect("{")
        variable = self._bound_variable()
        self._expect("=")
        low = require_value(self.expression())
        self._expect("}")
        self._expect("^")
        high = self._exponent()
        self._bound_variables.append(variable)
        body = require_value(self._term())
        self._bound_variables.pop()
        return (name, variable, low, high, body)

    def _int(self) -> Tree:
        low = high = None
        if self._accept("_"):
            low = self._argument()
            self._expect("^")
            high = self._exponent()
        self._open_integrals += 1
        with self._nested(bars=0):
            body = require_value(self.expression())
        self._open_integrals -= 1
        differential = self._advance().text
        if not re.fullmatch("d[a-z]", differential):
            raise Unreadable("an integral without a differential")
        return ("int", differential[1], low, high, body)

    def _lim(self) -> Tree:
        self._expect("_")
        self._expect("{")
        variable = self._bound_variable()
        if self._advance().text not in ("to", "rightarrow"):
            raise Unreadable("a limit without an arrow")
        to = require_value(self.expression())
        self._expect("}")
        return ("lim", variable, to, require_value(self._term()))

    def _bound_variable(self) -> str:
        token = self._advance()
        if token.kind != "letters" or len(token.text) != 1:
            raise Unreadable("expected a variable")
        return token.text


def _function_tree(name: str, base: Tree | None, arguments: tuple[Tree, ...], inverse: bool) -> Tree:
    if inverse:
        if f"a{name}" not in FUNCTIONS:
            raise Refused(f"the power -1 of {name}")
        name = f"a{name}"
    arity = 2 if name == "binomial" else 0 if name in ("gcd", "lcm", "min", "max") else 1
    if arity and len(arguments) != arity:
        raise Unreadable(f"{name} of {len(arguments)} arguments")
    if name in ("log", "log10"):
        return ("log", base or ("sym", "the base of log"), arguments[0])
    return ("call", name, arguments)
