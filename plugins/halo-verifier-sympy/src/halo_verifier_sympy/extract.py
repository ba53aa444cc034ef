"""Extraction of the final answer from a completion.

The answer is in one box or in several, the last of which must be closed. A completion is refused if it hides text
from a reader or redefines how text is displayed.
"""

from __future__ import annotations

import re
from typing import Literal

from halo_verifier_sympy.tree import Refused, Unreadable

Where = Literal["auto", "box", "phrase", "last"]

MAX_CHARACTERS = 200_000
_MAX_BOXES = 64
_MAX_ANSWERS = 4
"""Different texts of one answer; each of them is compared."""

_BOX = re.compile(r"\\f?boxed(?![A-Za-z])[ \t]*")
_PHRASE = re.compile(r"\banswer\*{0,2}[ \t]{0,4}(?:is|:|=)[ \t]{0,4}:?", re.IGNORECASE)
_HIDES = re.compile(
    r"<!--|\\(?:begin[ ]?\{comment\}|if(?:false|true|num|x|dim|odd|case)?|[hv]?phantom|(?:text)?color|[egx]?def|let"
    r"|(?:re)?newcommand|providecommand|catcode|scalebox|fontsize)(?![A-Za-z])"
)
_COMMENT = re.compile(r"(?<!\\)(?<![0-9])(?<![0-9] )%")
_MATHS = re.compile(r"\$\$([^$]+)\$\$|\$([^$\n]+)\$|\\\(([^\n]*?)\\\)|\\\[(.*?)\\\]", re.DOTALL)
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


def final_answers(text: str, where: Where) -> list[str]:
    """Return the distinct texts of the final answer, each of which must be correct.

    Raises `Unreadable` if there is no answer and `Refused` if it is hidden or hedged.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"more than {MAX_CHARACTERS} characters")
    if where in ("auto", "box"):
        found = _boxes(text)
        if found or where == "box":
            return _distinct(found)
    if hidden := _HIDES.search(text):
        raise Refused(f"{hidden[0]} may hide text")
    return _distinct(_last_formula_or_line(text) if where == "last" else _phrases(text))


def _distinct(found: list[str]) -> list[str]:
    kept = list(dict.fromkeys(answer for text in found if (answer := _stripped(text))))
    if not kept or not all(map(_stripped, found)):
        raise Unreadable("no final answer")
    if len(kept) > _MAX_ANSWERS:
        raise Refused(f"{len(kept)} different answers")
    return kept


def _boxes(text: str) -> list[str]:
    """Return the content of each box."""
    found: list[str] = []
    place = 0
    while match := _BOX.search(text, place):
        if len(found) == _MAX_BOXES:
            raise Refused(f"more than {_MAX_BOXES} boxes")
        end = _closing_brace(text, match.end())
        if _COMMENT.search(text, text.rfind("\n", 0, match.start()) + 1, match.start()):
            raise Refused("a box in a comment")
        found.append(text[match.end() + 1 : end])
        place = end + 1
    if found and (hidden := _HIDES.search(text)):
        raise Refused(f"{hidden[0][:20]} may hide a box")
    return found


def _closing_brace(text: str, start: int) -> int:
    """Return the index of the brace that closes the group at `start`."""
    if text[start : start + 1] != "{":
        raise Unreadable("a box without braces")
    depth = 0
    for match in _BRACES.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.start()
        if match.start() - start > 4 * 2000:
            break
    raise Unreadable("a box that is not closed")


def _phrases(text: str) -> list[str]:
    """Return the text after each "answer is", up to the end of its sentence."""
    found: list[str] = []
    for match in _PHRASE.finditer(text):
        if len(found) == _MAX_BOXES:
            raise Refused(f"more than {_MAX_BOXES} answers")
        line = text[match.end() : match.end() + 4000].lstrip(" \t").partition("\n")[0]
        sentence = re.match(r"\$\$?[^$]+\$\$?|(?:[^.]|\.(?=\S))*", line)
        found.append(sentence[0] if sentence else line)
    return found


def _last_formula_or_line(text: str) -> list[str]:
    """Return the last formula, or the last line if there is no formula."""
    tail = text[-4000:]
    formulas = [next(filter(None, match.groups()), "") for match in _MATHS.finditer(tail)]
    lines = [line for line in tail.splitlines() if line.strip()]
    return (formulas or lines)[-1:]


def _stripped(text: str) -> str:
    text = text.strip().removesuffix(".").strip().strip("*").strip()
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2].strip()
    return text
