r"""Names of quantities before an equals sign, as in P(A) = 1/2, AB = 5, \angle ABC = 90^\circ or \text{Area} = 12."""

from __future__ import annotations

import re
from collections.abc import Sequence

from halo_verifier_sympy.lexer import Token
from halo_verifier_sympy.vocabulary import FUNCTION_WORDS, GREEK, KEYWORDS, UNDEFINED

_FUNCTIONS_OF_ONE_WORD = frozenset("pqrsuvy")
"""Letters that are functions before a variable or a number in brackets and an equals sign, as in v(t) = 3t."""
_OPERATORS = frozenset({"Pr", "det", "dim", "deg", "arg", "mathbbP", "mathbbE", "tr", "rank", "Var", "Cov"})
_FIGURES = frozenset(
    {"angle", "measuredangle", "triangle", "overline", "overrightarrow", "widehat", "overparen"}
)
_ARROWS = frozenset({"vec", "hat", "bar", "tilde", "overrightarrow", "widehat", "overline"})
_CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|"}


def name_end(tokens: Sequence[Token], start: int) -> int:
    """Return the index of the equals sign after a name that starts at `start`; 0 if there is no such name."""
    if tokens[start].kind in ("number", "end") or tokens[start + 1].kind == "end":
        return 0
    end = _figure(tokens, start) or _applied(tokens, start)
    return end if end and tokens[end].kind == "op" and tokens[end].text == "=" else 0


def name_text(tokens: Sequence[Token]) -> str:
    """Return a name in LaTeX."""
    forms = {"command": "\\{} ", "text": "\\text{{{}}}"}
    return "".join(forms.get(token.kind, "{}").format(token.text) for token in tokens).replace(" ,", ",")


def _figure(tokens: Sequence[Token], start: int) -> int:
    r"""Return the end of m\angle ABC, \overline{AB}, \vec{v}, |AB| or [ABC]; 0 for other tokens."""
    place = start + (tokens[start].text == "m" and tokens[start + 1].text in _FIGURES)
    head = tokens[place]
    if head.kind == "command" and head.text in _FIGURES | _ARROWS:
        place += 1
        if tokens[place].text == "{":
            end = _group_end(tokens, place)
            return end if end and all(token.kind == "letters" for token in tokens[place + 1 : end - 1]) else 0
        return place + 1 if tokens[place].kind in ("letters", "number") else 0
    if head.kind == "op" and head.text in ("|", "[") and len(tokens) > place + 3:
        inside = tokens[place + 1]
        points = inside.kind == "letters" and inside.text.isupper() and len(inside.text) > 1
        return place + 3 if points and tokens[place + 2].text == _CLOSING[head.text] else 0
    return 0


def _applied(tokens: Sequence[Token], start: int) -> int:
    """Return the end of a word, or of a letter with an argument in brackets; 0 for other tokens."""
    head, place = tokens[start], start + 1
    if head.kind == "text":
        words = head.text.split()
        if not words or {"not", "or", "and"} & set(map(str.lower, words)):
            return 0
    elif head.kind == "command":
        if head.text not in _OPERATORS:
            return 0
    elif head.kind != "letters" or head.text in FUNCTION_WORDS | KEYWORDS | GREEK | UNDEFINED:
        return 0
    if tokens[place].text == "_":
        place = _group_end(tokens, place + 1) if tokens[place + 1].text == "{" else place + 2
    while 0 < place < len(tokens) and tokens[place].text == "'":
        place += 1
    if not 0 < place < len(tokens):
        return 0
    end = _group_end(tokens, place) if tokens[place].text in ("(", "[") else place
    if head.kind != "letters" or not end:
        return end
    word = len(head.text) > 1 and (head.text.isupper() or len(head.text) > 4)
    if end == place:
        return end if word and place == start + 1 else 0
    one_word = end == place + 3 and tokens[place + 1].kind in ("letters", "number")
    if head.text in _FUNCTIONS_OF_ONE_WORD:
        return end if one_word and tokens[place + 1].text != head.text else 0
    if head.text == "n" and one_word and tokens[place + 1].text.isupper():
        return end  # the size of a set
    return end if word or re.fullmatch("[A-Z][a-z]*", head.text) else 0


def _group_end(tokens: Sequence[Token], start: int) -> int:
    """Return the index after the bracket that closes the one at `start`; 0 if it stays open."""
    depth = 0
    for place in range(start, len(tokens)):
        if tokens[place].kind == "op":
            depth += (tokens[place].text in ("(", "[", "{")) - (tokens[place].text in (")", "]", "}"))
        if not depth:
            return place + 1
    return 0
