"""Reading answers: tuples, sets, intervals, matrices, equations, lists, amounts with units."""

from __future__ import annotations

from halo_verifier_sympy.commands import Commands
from halo_verifier_sympy.cursor import value
from halo_verifier_sympy.lexer import Token, tokenize
from halo_verifier_sympy.tree import EXPRESSIONS, Refused, Tree, Unreadable
from halo_verifier_sympy.units import Unit, read_unit

_RELATIONS = ("=", "!=", "<", "<=", ">", ">=")
_SETS = frozenset({"set", "builder", "interval", "space", "union", "meet", "minus", "tuple"})
_CURRENCY = {"dollar": "$", "euro": "euro", "pounds": "sterling", "cents": "cents"}
_MATRICES = ("pmatrix", "bmatrix", "matrix")
_IN = Token("letters", "in", True)


def parse(text: str, *, thousands: bool = False) -> Tree:
    """Return the tree of an answer in LaTeX or plain notation.

    Takes time linear in the text and evaluates nothing. Raises `Unreadable` for what is not in the grammar and
    `Refused` for what is ambiguous.
    """
    tokens = tokenize(text, thousands=thousands)
    while len(tokens) > 2 and tokens[0].text == tokens[-2].text == "$":
        tokens = [*tokens[1:-2], tokens[-1]]
    if len(tokens) > 2 and tokens[-2] in (Token("op", "."), Token("op", ".", True)):
        del tokens[-2]
    try:
        return _Answers(tokens).answer()
    except (IndexError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise Unreadable(f"cannot be read: {error}") from None


class _Answers(Commands):
    def answer(self) -> Tree:
        """Read all there is."""
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
            raise Refused("both and and or")
        return items[0] if len(items) == 1 else ("list", joiners.pop(), tuple(items))

    def _joiner(self) -> str:
        """Return what joins the items here: a comma, or "or"; commas before another word do not count."""
        comma = self._takes(",", ";")
        word = self._next.text.strip().lower()
        if word in ("and", "or", "land", "lor") and self._next.kind != "op":
            self._take()
            return "or" if word.endswith("or") else ","
        return "," if comma else ""

    def _item(self) -> Tree:
        sides, signs = [self._side()], list[str]()
        while self._sees(*_RELATIONS) or self._commands("in") or self._next == _IN:
            signs.append(self._take().text)
            sides.append(self._side())
        if not signs:
            return sides[0]
        if len(signs) > 1 and not any(set(signs) <= set(way) for way in (("=",), ("<", "<="), (">", ">="))):
            raise Refused("a chain of different relations")
        return ("rel", tuple(signs), tuple(sides))

    def _side(self) -> Tree:
        result = self._amount()
        while result[0] in _SETS:
            if self._commands("cup") or self._next.text in ("U", "union"):
                result = self._joined("union", result)
            elif self._commands("cap"):
                result = self._joined("meet", result)
            elif self._commands("setminus", "backslash"):
                self._take()
                result = ("minus", result, self._amount())
            else:
                break
        return result

    def _joined(self, head: str, left: Tree) -> Tree:
        self._take()
        right = self._amount()
        if right[0] not in _SETS:
            raise Unreadable(f"a {head} with what is no set")
        if left[0] in ("union", "meet", "minus") and left[0] != head:
            raise Refused("unions and intersections without brackets")
        parts = left[1] if left[0] == head else (left,)
        return (head, (*parts, right))

    def _amount(self) -> Tree:
        """Read an expression with its unit, if it has one."""
        self._start = self._at
        sign = self._takes("-") if self._peek().text in _CURRENCY else False
        currency = ""
        if self._commands(*_CURRENCY) or self._sees("$"):
            currency = _CURRENCY.get(self._take().text, "$")
        result = self.expression()
        if result[0] not in EXPRESSIONS:
            return result
        result = ("neg", result) if sign else result
        unit = read_unit(currency) if currency else self._unit()
        return ("quantity", result, tuple(unit)) if unit else result

    def _unit(self) -> Unit | None:
        if self._commands(*_CURRENCY):
            return read_unit(_CURRENCY[self._take().text])
        if self._next.text.strip().lower() in ("and", "or"):
            return None
        if self._next.kind == "letters" and self._next.text != "in" and self._unit_word():
            return self._power_of(self._take().text)
        if self._next.kind != "text" or not self._next.text.strip():
            return None
        return self._power_of(self._take().text)

    def _power_of(self, unit: str) -> Unit:
        if not self._takes("^"):
            return read_unit(unit)
        power = self._exponent()
        if power not in (("num", 1, 1), ("num", 2, 1), ("num", 3, 1)):
            raise Refused("an unusual power of a unit")
        return read_unit(unit, power[1])

    # Brackets

    def _bracketed(self) -> Tree:
        opening = self._take().text
        if opening == r"\{":
            return self._set()
        items = self._items()
        closing = self._take().text
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
        while self._takes(",", ";"):
            items.append(self._item())
        return items

    def _set(self) -> Tree:
        if self._takes(r"\}"):
            return ("set", ())
        self._bars = 1  # a bar behind the first item begins the condition
        first = self._item()
        if self._takes("|", "mid", ":"):
            self._bars = 0
            return self._builder(first)
        self._bars = 0
        items = [first]
        while self._takes(",", ";"):
            items.append(self._item())
        self._expect(r"\}")
        return ("set", tuple(items))

    def _builder(self, first: Tree) -> Tree:
        domain = None
        if first[0] == "rel" and first[1] == ("in",):
            first, domain = first[2]
        if first[0] != "sym":
            raise Unreadable("a set whose elements are not named by a variable")
        condition = self._list()
        self._expect(r"\}")
        return ("builder", first[1], domain, condition)

    def _environment(self) -> Tree:
        self._expect("{")
        name = self._take().text
        self._expect("}")
        if name not in _MATRICES:
            raise Unreadable(f"an unknown environment: {name[:20]}")
        rows = [[value(self.expression())]]
        while not self._commands("end"):
            if self._takes("&"):
                rows[-1].append(value(self.expression()))
            else:
                self._expect(r"\\")
                if not self._commands("end"):
                    rows.append([value(self.expression())])
        self._take()
        if [self._take().text for _ in range(3)] != ["{", name, "}"]:
            raise Unreadable("a matrix that is not closed")
        if len({len(row) for row in rows}) > 1:
            raise Unreadable("a matrix with rows of different lengths")
        return ("matrix", tuple(map(tuple, rows)))


def _row(item: Tree) -> tuple[Tree, ...]:
    """Return the row of a matrix in plain notation; two items look like an interval, one like a matrix."""
    if item[0] == "interval" and item[3] and item[4]:
        return (item[1], item[2])
    if item[0] == "matrix" and len(item[1]) == 1:
        return tuple(item[1][0])
    return ()
