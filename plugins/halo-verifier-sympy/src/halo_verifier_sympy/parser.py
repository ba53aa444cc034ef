"""Parser of answers: tuples, sets, intervals, matrices, equations, lists, amounts with units."""

from __future__ import annotations

from halo_verifier_sympy.cursor import require_value
from halo_verifier_sympy.layout import LayoutParser
from halo_verifier_sympy.lexer import Token, tokenize
from halo_verifier_sympy.names import name_end, name_text
from halo_verifier_sympy.tree import EXPRESSIONS, Refused, Tree, Unreadable
from halo_verifier_sympy.units import Unit, read_unit

_RELATIONS = ("=", "!=", "<", "<=", ">", ">=")
_SETS = frozenset({"set", "builder", "interval", "space", "union", "meet", "minus", "tuple"})
_CURRENCY = {"dollar": "$", "euro": "euro", "pounds": "sterling", "cents": "cents"}
_IN = Token("letters", "in", True)


def parse(text: str, *, thousands: bool = False, amounts: bool = False) -> Tree:
    """Return the tree of an answer in LaTeX or plain notation.

    With `amounts`, words and units of one letter after a number are units: 7 apples, 25 m/s. Takes time linear in the
    text and evaluates nothing. Raises `Unreadable` for text outside the grammar and `Refused` for ambiguous text.
    """
    tokens = tokenize(text, thousands=thousands)
    while len(tokens) > 2 and tokens[0].text == tokens[-2].text == "$":
        tokens = [*tokens[1:-2], tokens[-1]]
    if len(tokens) > 2 and tokens[-2] in (Token("op", "."), Token("op", ".", True)):
        del tokens[-2]
    for place in range(1, len(tokens) - 1):
        before, word, after = tokens[place - 1 : place + 2]
        if word.text.strip() == "to" and before.kind == after.kind == "number":
            tokens[place] = Token("op", ":", after.spaced)
    try:
        return _AnswerParser(tokens, amounts=amounts).answer()
    except (IndexError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise Unreadable(f"cannot be read: {error}") from None


class _AnswerParser(LayoutParser):
    def answer(self) -> Tree:
        """Parse all tokens."""
        result = self._list()
        if self._next.kind != "end":
            raise Unreadable(f"unexpected {self._next.text[:20]!r}")
        return result

    def _list(self) -> Tree:
        items, joiners = [self._item()], set[str]()
        while joiner := self._joiner():
            joiners.add(joiner)
            items.append(self._item())
        if len(joiners) > 1:
            raise Refused("a list joined by both 'and' and 'or'")
        return items[0] if len(items) == 1 else ("list", joiners.pop(), tuple(items))

    def _joiner(self) -> str:
        """Return the joiner here, "," or "or", or an empty text; a comma before a word is skipped."""
        comma = self._accept(",", ";")
        word = self._next.text.strip().lower()
        if word in ("and", "or", "land", "lor") and self._next.kind != "op":
            self._advance()
            return "or" if word.endswith("or") else ","
        return "," if comma else ""

    def _item(self) -> Tree:
        sides, signs = [self._side()], list[str]()
        while self._next_is(*_RELATIONS) or self._next_is_command("in") or self._next == _IN:
            signs.append(self._advance().text)
            sides.append(self._side())
        if not signs:
            return sides[0]
        if len(signs) > 1 and not any(set(signs) <= set(way) for way in (("=",), ("<", "<="), (">", ">="))):
            raise Refused("a chain of different relations")
        return ("rel", tuple(signs), tuple(sides))

    def _side(self) -> Tree:
        if end := name_end(self._tokens, self._position):
            tokens, self._position = self._tokens[self._position : end], end
            return ("sym", name_text(tokens))
        result = self._amount()
        even = result[0] == "num" or self._next.spaced == self._peek().spaced  # not "x: 5"
        if self._next_is(":") and result[0] in EXPRESSIONS and not self._in_braces and even:
            return self._ratio(result)
        while result[0] in _SETS:
            if self._next_is_command("cup") or self._next.text in ("U", "union"):
                result = self._joined("union", result)
            elif self._next_is_command("cap"):
                result = self._joined("meet", result)
            elif self._next_is_command("setminus", "backslash"):
                self._advance()
                result = ("minus", result, self._amount())
            else:
                break
        return result

    def _ratio(self, first: Tree) -> Tree:
        terms = [first]
        while self._accept(":"):
            terms.append(require_value(self.expression()))
        return ("ratio", tuple(terms))

    def _joined(self, head: str, left: Tree) -> Tree:
        self._advance()
        right = self._amount()
        if right[0] not in _SETS:
            raise Unreadable(f"a {head} with an operand that is not a set")
        if left[0] in ("union", "meet", "minus") and left[0] != head:
            raise Refused("unions and intersections without brackets")
        parts = left[1] if left[0] == head else (left,)
        return (head, (*parts, right))

    def _amount(self) -> Tree:
        """Parse an expression with an optional unit."""
        self._amount_start = self._position
        sign = self._accept("-") if self._peek().text in _CURRENCY else False
        currency = ""
        if self._next_is_command(*_CURRENCY) or self._next_is("$"):
            currency = _CURRENCY.get(self._advance().text, "$")
        result = self.expression()
        if result[0] not in EXPRESSIONS:
            return result
        result = ("neg", result) if sign else result
        unit = read_unit(currency) if currency else self._unit()
        return ("quantity", result, tuple(unit)) if unit else result

    def _unit(self) -> Unit | None:
        if self._next_is_command(*_CURRENCY):
            return read_unit(_CURRENCY[self._advance().text])
        if self._next.text.strip().lower() in ("and", "or"):
            return None
        if self._next.kind == "letters" and self._next.text != "in" and self._next_is_unit():
            tokens, self._position = self._tokens[self._position : self._unit_end()], self._unit_end()
            return self._unit_power(" ".join(token.text for token in tokens))
        if self._next.kind != "text" or not self._next.text.strip():
            return None
        return self._unit_power(self._advance().text)

    def _unit_power(self, unit: str) -> Unit:
        if not self._accept("^"):
            return read_unit(unit)
        power = self._exponent()
        sign, size = (-1, power[1]) if power[0] == "neg" else (1, power)
        if size not in (("num", 1, 1), ("num", 2, 1), ("num", 3, 1)):
            raise Refused("an unusual power of a unit")
        return read_unit(unit, sign * size[1])

    # Brackets

    def _bracketed(self) -> Tree:
        if array := self._array_in_brackets():
            return array
        opening = self._advance().text
        if opening == r"\{":
            return self._set()
        items = self._items()
        closing = self._advance().text
        if (opening, closing) == ("{", "}"):
            return items[0] if len(items) == 1 else ("set", tuple(items))
        if closing not in (")", "]") or opening == "{":
            raise Unreadable(f"{opening!r} is not closed")
        if (opening, closing) == ("(", ")"):
            return items[0] if len(items) == 1 else ("tuple", tuple(items))
        if len(items) == 2 and items[0][0] in EXPRESSIONS and items[1][0] in EXPRESSIONS:
            return ("interval", *items, opening == "[", closing == "]")
        if (opening, closing) == ("[", "]") and all(item[0] in EXPRESSIONS for item in items):
            return ("matrix", (tuple(items),))
        rows = [_row(item) for item in items] if (opening, closing) == ("[", "]") else []
        if not rows or not all(rows) or len({len(row) for row in rows}) > 1:
            raise Unreadable("square brackets around neither an interval nor a matrix")
        return ("matrix", tuple(rows))

    def _items(self) -> list[Tree]:
        items = [self._item()]
        while self._accept(",", ";"):
            items.append(self._item())
        return items

    def _set(self) -> Tree:
        if self._accept(r"\}"):
            return ("set", ())
        self._open_bars, self._in_braces = 1, True  # a bar or colon after the first item starts the condition
        first = self._item()
        self._open_bars, self._in_braces = 0, False
        if self._accept("|", "mid", ":"):
            return self._builder(first)
        items = [first]
        while self._accept(",", ";"):
            items.append(self._item())
        self._expect(r"\}")
        return ("set", tuple(items))

    def _builder(self, first: Tree) -> Tree:
        domain = None
        if first[0] == "rel" and first[1] == ("in",):
            first, domain = first[2]
        condition = self._list()
        self._expect(r"\}")
        if first[0] == "sym":
            return ("builder", first[1], domain, condition)
        member = condition[2][0] if condition[0] == "list" and condition[1] == "," else condition
        if (
            domain
            or first[0] not in EXPRESSIONS
            or member[:2] != ("rel", ("in",))
            or member[2][0][0] != "sym"
        ):
            raise Unreadable("a set of expressions without a variable and its domain")
        return ("image", member[2][0][1], first, condition)


def _row(item: Tree) -> tuple[Tree, ...]:
    """Return a matrix row in plain notation; rows of two items parse as intervals, others as matrices."""
    if item[0] == "interval" and item[3] and item[4]:
        return (item[1], item[2])
    if item[0] == "matrix" and len(item[1]) == 1:
        return tuple(item[1][0])
    return ()
