"""Extraction of the final answer from a completion.

The answer is in one box or in several, the last of which must be closed. Thoughts are skipped. A
completion is refused if it hides text from a reader or redefines how text is displayed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from halo_core.verification.thoughts import read_answer
from halo_verifier_sympy.around import Answer, answers_around
from halo_verifier_sympy.denials import is_doubted
from halo_verifier_sympy.phrases import bare_answer, last_formula_or_line, phrase_answers
from halo_verifier_sympy.retractions import retractions_after
from halo_verifier_sympy.tree import Refused, Unreadable
from halo_verifier_sympy.visible import check_visible

Where = Literal["auto", "box", "phrase", "last"]

MAX_CHARACTERS = 200_000
_MAX_BOXES = 64
_MAX_ANSWERS = 4
"""Different texts of one answer; each of them is compared."""

_BOX = re.compile(r"\\(?:f?boxed|fbox|framebox(?:[ ]?\[[^\]\n]*\])*)(?![A-Za-z])[ \t]*(?:\n[ \t]*(?=\{))?")
_GROUP = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
_BARE_BOX = re.compile(
    rf"[-+]?(?:\d(?:[\d.,]*\d)?|\\[A-Za-z]+(?:\[[^\]]*\])?(?:[ ]?(?:{_GROUP}|\d))*|[A-Za-z](?![A-Za-z]))"
)
_PROSE_BEFORE = re.compile(r"(?:\d|(?<![A-Za-z])[A-Za-z])[)}\]*_$\"'’]*[ \t]?$|\\[)\]]$|[(\[*_\"'“/]$")
_PROSE_WORD = re.compile(
    r"\b(?:in|as|a|the|of|and|or|by|to|per|what|many|which|with|for)[ \t]+$", re.IGNORECASE
)
_PERCENT = re.compile(r"(?<!\\)%")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_DISPLAY = re.compile(r"\\begin\{(?:align|gather|equation|multline|split|cases)")
_DELIMITERS = re.compile(r"\\[\\$]|\$\$?|\\[()\[\]]")


def without_reasoning(text: str, tags: Sequence[str]) -> str:
    """Return `text` without its reasoning; raise `Unreadable` if that never ends."""
    answer = read_answer(text, tags)
    if answer.problem:
        raise Unreadable(answer.problem)
    return answer.text


def final_answers(text: str, where: Where) -> list[Answer]:
    """Return the distinct texts of the final answer, each of which must be correct.

    Raises `Unreadable` if there is no answer and `Refused` if it is hidden or hedged.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"more than {MAX_CHARACTERS} characters")
    if where in ("auto", "box"):
        found = _boxes(text)
        if found or where == "box":
            return _distinct(found)
    check_visible(text, ())
    if where == "last":
        return _distinct(last_formula_or_line(text))
    return _distinct(phrase_answers(text) or (bare_answer(text) if where == "auto" else []))


def _distinct(found: Sequence[Answer]) -> list[Answer]:
    answers = [Answer(_stripped(answer.text), answer.with_unit) for answer in found]
    if not answers or not all(answer.text for answer in answers):
        raise Unreadable("no final answer")
    kept = list(dict.fromkeys(answers))
    if len(kept) > _MAX_ANSWERS:
        raise Refused(f"{len(kept)} different answers")
    return kept


def _boxes(text: str) -> list[Answer]:
    """Return the content of each box, and the alternatives to it."""
    found: list[Answer] = []
    places: list[int] = []
    place = 0
    while match := _BOX.search(text, place):
        if len(places) == _MAX_BOXES:
            raise Refused(f"more than {_MAX_BOXES} boxes")
        maths = _is_in_formula(text, match.start())
        content, place = _content(text, match.end(), maths=maths)
        if _is_in_comment(text, match.start()):
            raise Refused("a box in a comment")
        if is_doubted(text[max(0, match.start() - 100) : match.start()]):
            raise Refused("a doubted answer")
        found += answers_around(text, match.start(), place, content, maths=maths)
        places.append(match.start())
    if found:
        check_visible(text, places)
        found += retractions_after(text, place, found)
    return found


def _content(text: str, start: int, *, maths: bool) -> tuple[str, int]:
    """Return what a box holds and where it ends; without braces, it holds a number, a command or a letter."""
    if text[start : start + 1] == "{":
        end = _closing_brace(text, start)
        return text[start + 1 : end], end + 1
    bare = _BARE_BOX.match(text, start)
    if bare is None or bare[0].startswith(r"\boxed"):
        raise Unreadable("a box without braces")
    return bare[0], bare.end()


def _closing_brace(text: str, start: int) -> int:
    """Return the index of the brace that closes the group at `start`."""
    depth = 0
    for match in _BRACES.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if not depth:
            return match.start()
        if match.start() - start > 4 * 2000:
            break
    raise Unreadable("a box that is not closed")


def _is_in_formula(text: str, place: int) -> bool:
    r"""Return whether `place` is between dollars, \( and \), or \[ and \], of the same paragraph."""
    start = max(text.rfind("\n\n", 0, place), 0)
    opened = ""
    for match in _DELIMITERS.finditer(text, start, place):
        sign = match[0]
        if sign in ("$", "$$"):
            opened = "" if opened == sign else opened or sign
        elif sign in (r"\(", r"\["):
            opened = opened or sign
        elif sign in (r"\)", r"\]"):
            opened = ""
    if opened in ("$", "$$"):
        return opened in text[place:].partition("\n\n")[0]
    if opened:
        return True
    begun = text.rfind(r"\begin{", 0, place)
    return begun > text.rfind(r"\end{", 0, place) and _DISPLAY.match(text, begun) is not None


def _is_in_comment(text: str, place: int) -> bool:
    """Return whether a percent sign before `place` on its line starts a comment; in prose it means percent."""
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return "%" in line and any(_starts_comment(line, match.start()) for match in _PERCENT.finditer(line))


def _starts_comment(line: str, place: int) -> bool:
    before, after = line[:place], line[place + 1 :]
    if _PROSE_BEFORE.search(before) or (after.startswith(")") and before.count("(") > before.count(")")):
        return False
    return not (_PROSE_WORD.search(before) and re.match(r"[ \t]+[A-Za-z]|-[A-Za-z]|[,:;.)?!]", after))


def _stripped(text: str) -> str:
    text = text.strip()
    if not text.endswith(".."):
        text = text.removesuffix(".").strip().strip("*").strip()
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2].strip()
    return text
