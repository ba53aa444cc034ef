"""Reading expressions: a recursive descent over tokens that only ever builds trees.

    expression  signed terms              term    factors, written with a sign or side by side
    factor      base ^ exponent ! %       base    numeral, variable, function, fraction, root, brackets

What people read in two ways is refused, not decided: 1/2x, sin x/2, 3\\frac{5}{2}.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction

from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.tree import EXPRESSIONS, FUNCTIONS, ONE, PI, ZERO, Refused, Tree, Unreadable, integer
from halo_verifier_sympy.units import PLAIN

MAX_DEPTH = 40

_GREEK = frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell".split()
)
_NAMES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "floor": "floor", "ceiling": "ceil"}
_CALLS = FUNCTIONS | {"log", "log10", "sqrt", "cbrt", "surd"} | _NAMES.keys()
_KEYWORDS = frozenset({"and", "or", "in", "union", "U"})
_HIDDEN_CALL = re.compile("sin|cos|tan|log|ln|exp|sqrt|abs|lim")
_DIFFERENTIAL = re.compile(r"([a-zA-Z]*)(d[a-z])")
_UNDEFINED = frozenset("fgh")
"""Letters that are functions, not factors, when a bracket follows at once."""
_FENCES = {"lfloor": ("rfloor", "floor"), "lceil": ("rceil", "ceil")}
_BEGINS = {"frac", "binom", "sum", "prod", "int", "lim", "pi", "infty", "emptyset", "varnothing", "mathbf"}
_BEGINS |= {"boldsymbol", "begin"} | _FENCES.keys() | _GREEK | _CALLS


class Expressions(ABC):
    """A cursor over tokens; each method reads one thing and moves behind it."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = list(tokens)
        self._at = 0
        self._depth = 0
        self._bars = 0
        self._integrals = 0
        self._bound: list[str] = []

    # The cursor

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

    # Sums and products

    def expression(self) -> Tree:
        """Read a sum."""
        result = self._term()
        terms = [result]
        while True:
            if self._takes("+"):
                terms.append(value(self._term()))
            elif self._takes("-"):
                terms.append(("neg", value(self._term())))
            elif self._commands("pm", "mp"):
                self._take()
                terms = [("pm", total(terms), value(self._term()))]
            else:
                return terms[0] if len(terms) == 1 else total(terms)
            value(terms[0])

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
            differential = self._integrals and _DIFFERENTIAL.fullmatch(token.text)
            return not (token.text in _KEYWORDS or differential and not differential[1] or self._unit_word())
        if token.kind == "command":
            return token.text in _BEGINS or token.text.startswith("mathbb")
        if token.kind == "text":
            return token.text.strip() in _CALLS
        if self._sees("{") and self._peek().kind == "number":
            raise Refused("a numeral in braces behind a factor")
        return self._sees("(", "{") or (self._sees("|") and not self._bars)

    def _unit_word(self) -> bool:
        """Whether the letters here are a unit: 5 cm is a length, 5x is not."""
        before = self._tokens[self._at - 1]
        return self._next.text in PLAIN and (before.kind == "number" or before.text in ")}")

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
        if token.kind == "text" and token.text.strip() in _CALLS:
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
    def _environment(self) -> Tree:
        """Read what comes after \\begin."""

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
            return self._mixed(tree, ("div", number(Fraction(after[0].text)), number(Fraction(after[2].text))))
        following = after[0]
        if following.kind == "letters" and not following.spaced and re.match("[eE]", following.text):
            self._refuse_exponent(following.text, after[1])
        return tree

    def _refuse_exponent(self, letters: str, after: Token) -> None:
        if letters in ("e", "E") and not after.spaced and (after.kind == "number" or after.text in ("+", "-")):
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
        """Read 3\\frac{1}{2} as three and a half, which is what people mean; other fractions are factors."""
        if fraction[0] != "div" or {fraction[1][0], fraction[2][0]} != {"num"}:
            return ("mul", (whole, fraction))
        if not 0 < fraction[1][1] < fraction[2][1] or whole == ZERO or self._sees("^", "!"):
            raise Refused("a numeral before a fraction that is no mixed number")
        return number(whole[1] + Fraction(fraction[1][1], fraction[2][1]))

    # Words and letters

    def _word(self) -> Tree:
        text = self._next.text
        if text in _CALLS:
            self._take()
            return self._call(_NAMES.get(text, text))
        if text in ("pi", "inf", "infinity", "infty") or text in _GREEK:
            self._take()
            return _named(text)
        if text in _KEYWORDS and text != "U":
            raise Unreadable(f"unexpected {text!r}")
        if len(text) > 1:
            if derivative := self._derivative():
                return derivative
            if self._integrals and (parts := _DIFFERENTIAL.fullmatch(text)):
                self._tokens[self._at : self._at + 1] = [Token("letters", part) for part in parts.groups() if part]
                return self._word()
            if len(text) > 4 or _HIDDEN_CALL.search(text):
                raise Unreadable(f"an unknown word: {text[:20]!r}")
            self._split(len(text))
        return self._variable(self._take().text)

    def _split(self, count: int) -> None:
        """Make single letters of the first `count` letters of the run here."""
        token = self._take()
        self._at -= 1
        letters = [Token("letters", letter, token.spaced and not n) for n, letter in enumerate(token.text[:count])]
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
        if name[0] in _UNDEFINED and (at_once or ("'" in name and self._sees("("))):
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

    # Commands and functions

    def _command(self) -> Tree:
        name = self._take().text
        if name in _CALLS:
            return self._call(name)
        if name in ("pi", "infty") or name in _GREEK:
            named = _named(name)
            return self._variable(named[1]) if named[0] == "sym" else named
        if name == "frac":
            return self._fraction()
        if name == "binom":
            return ("call", "binomial", self._two_arguments())
        if name in _FENCES:
            closing, function = _FENCES[name]
            with self._nested():
                inside = value(self.expression())
            if self._take().text != closing:
                raise Unreadable(f"\\{name} is not closed")
            return ("call", function, (inside,))
        if name in ("mathbf", "boldsymbol"):
            return self._argument()
        if name in ("sum", "prod", "int", "lim"):
            return self._series(name) if name in ("sum", "prod") else getattr(self, f"_{name}")()
        if name in ("emptyset", "varnothing"):
            return ("set", ())
        if name.startswith("mathbb"):
            return ("space", name[-1])
        if name == "begin":
            return self._environment()
        raise Unreadable(f"an unknown command: \\{name[:20]}")

    def _fraction(self) -> Tree:
        texts = [token.text for token in self._tokens[self._at : self._at + 6]]
        if texts[0::3] == ["{", "{"] and texts[2::3] == ["}", "}"]:
            if re.fullmatch("d[a-z]/d[a-z]", f"{texts[1]}/{texts[4]}"):
                self._at += 6
                return ("sym", f"{texts[1]}/{texts[4]}")
        if texts[:2] == ["{", "d"] or (len(texts) > 1 and re.fullmatch("d[a-z]", texts[1])):
            raise Refused("a derivative")
        return ("div", *self._two_arguments())

    def _two_arguments(self) -> tuple[Tree, Tree]:
        if self._next.kind == "number" and len(self._next.text) == 2 and self._next.text.isdigit():
            first, second = self._take().text  # \frac12
            return integer(int(first)), integer(int(second))
        return self._argument(), self._argument()

    def _call(self, name: str) -> Tree:
        if name in ("sqrt", "cbrt", "surd"):
            return self._root(name)
        base: Tree | None = integer(10) if name == "log10" else None
        if name == "log" and self._takes("_"):
            base = self._argument()
        power = self._exponent() if self._takes("^") else None
        arguments = self._arguments() if self._sees("(") else (self._bare_argument(),)
        result = _applied(name, base, arguments, power == ("neg", ONE))
        return result if power in (None, ("neg", ONE)) else ("pow", result, power)

    def _arguments(self) -> tuple[Tree, ...]:
        self._expect("(")
        with self._nested():
            arguments = [value(self.expression())]
            while self._takes(","):
                arguments.append(value(self.expression()))
        self._expect(")")
        return tuple(arguments)

    def _bare_argument(self) -> Tree:
        """Read the argument of a function without brackets: factors up to a sign or another function."""
        with self._nested():
            if self._takes("-"):
                return ("neg", self._bare_argument())
            factors = [value(self._factor())]
            while self._operand_follows() and self._next.text.strip() not in _CALLS and not self._sees("("):
                factors.append(value(self._factor()))
        if self._sees("/"):
            raise Refused("a quotient behind a function without brackets, as in sin x/2")
        return product(factors)

    def _root(self, name: str) -> Tree:
        degree = integer(3 if name == "cbrt" else 2)
        if self._takes("["):
            with self._nested():
                degree = value(self.expression())
            self._expect("]")
        whole = self._next.kind == "number" and (name == "surd" or self._next.spaced)
        if self._sees("("):
            return ("root", degree, self._arguments()[0])
        return ("root", degree, self._numeral() if whole else self._argument())

    # Sums, products, integrals, limits

    def _series(self, name: str) -> Tree:
        self._expect("_")
        self._expect("{")
        variable = self._bound_variable()
        self._expect("=")
        low = value(self.expression())
        self._expect("}")
        self._expect("^")
        high = self._exponent()
        self._bound.append(variable)
        body = value(self._term())
        self._bound.pop()
        return (name, variable, low, high, body)

    def _int(self) -> Tree:
        low = high = None
        if self._takes("_"):
            low = self._argument()
            self._expect("^")
            high = self._exponent()
        self._integrals += 1
        with self._nested():
            body = value(self.expression())
        self._integrals -= 1
        differential = self._take().text
        if not re.fullmatch("d[a-z]", differential):
            raise Unreadable("an integral without its dx")
        return ("int", differential[1], low, high, body)

    def _lim(self) -> Tree:
        self._expect("_")
        self._expect("{")
        variable = self._bound_variable()
        if self._take().text not in ("to", "rightarrow"):
            raise Unreadable("a limit without an arrow")
        to = value(self.expression())
        self._expect("}")
        return ("lim", variable, to, value(self._term()))

    def _bound_variable(self) -> str:
        token = self._take()
        if token.kind != "letters" or len(token.text) != 1:
            raise Unreadable("expected a variable")
        return token.text


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


def _named(name: str) -> Tree:
    if name == "pi":
        return PI
    return ("const", "inf") if name.startswith("inf") else ("sym", name)


def _applied(name: str, base: Tree | None, arguments: tuple[Tree, ...], inverse: bool) -> Tree:
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
