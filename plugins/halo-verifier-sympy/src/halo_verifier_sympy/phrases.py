"""The answer in a phrase such as "the answer is 12", or on the line after a heading.

All values of the sentence count: "$12$, $13$ or $14$" is a list of three, and "$12$ times 5" is not 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from halo_verifier_sympy.around import ITEM, NUMBER_WORD, Answer, answers_around
from halo_verifier_sympy.denials import is_doubted
from halo_verifier_sympy.retractions import retractions_after
from halo_verifier_sympy.tree import Refused
from halo_verifier_sympy.vocabulary import FUNCTION_WORDS, GREEK

_PHRASE = re.compile(
    r"(?<![A-Za-z0-9])answer\*{0,2}[ \t]{0,4}(?:(?:is|:|=)[ \t]{0,4}:?|(?=\$|\\[(\[]))"
    r"|<answer>|^[ \t]*(?:\#{1,6}[ \t]*)?[*_]{0,3}(?:the[ \t]+)?(?:final[ \t]+)?answer[ \t]*[*_]{0,3}[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_DENIED = re.compile(r"n['’]t\b|\s*(?:\w+ly\s+)?(?:not|never)\b", re.IGNORECASE)
_NO_ANSWER = re.compile(
    r"\b(?:no|not|never|wrong|incorrect|false|bad|non)[\s*_-]+(?:(?:an?|the|my|our|final|correct|right)[\s*_]+)*$",
    re.IGNORECASE,
)
_VALUE_BELOW = re.compile(r"[^\n]*\n\s*[*_]{0,3}(?P<item>\$?[-+−]?\d[\d.,/]*\$?)[*_]{0,3}\.?[ \t]*(?:\n|$)")
"""A line, and a number that stands alone below it."""
_IS_ANSWER = re.compile(
    r"\bis[ \t]+(?:our|the|my)[ \t]+(?:final[ \t]+|correct[ \t]+)?answer\b", re.IGNORECASE
)
_ITEM_AT_END = re.compile(rf"(?P<item>{ITEM})[\s*]*$")
_LONGEST_ITEM = 200
_HASHES = re.compile(r"^\#{4}[ \t]+(?=[-+$\\(\d.])", re.MULTILINE)
"""The mark before the answer in GSM8K."""
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|(?<!\\)\$(?=[^\s$])([^$\n]*?[^\s$\\])\$(?!\d)|\\\((.*?)\\\)|\\\[(.*?)\\\]", re.DOTALL
)
_CODE = re.compile(r"^[ \t]*`([^`]+)`[ \t]*\.?[ \t]*$")
_SENTENCE = re.compile(r"(?:[^.]|\.(?=\S))*")
_NEXT = re.compile(
    rf"[\s*]*(?P<joiner>[,;]?[\s*]*\b(?:or|and)\b|[,;|&])[\s*]*(?:(?:maybe|perhaps|possibly|rather|else|even|also|just|either)"
    rf"[\s*]+)*(?P<item>{ITEM})",
    re.IGNORECASE | re.DOTALL,
)
_REASON = re.compile(
    r"\b(?:because|since|so|thus|hence|therefore|which|where|obtained|using)\b", re.IGNORECASE
)
_PLAIN_REASON = re.compile(r"[\s,]+\b(?:because|since|which|where|as)\b", re.IGNORECASE)
_HEDGE = re.compile(
    rf"\b(?:or|and|but|maybe|perhaps|possibly|alternatively|rather|unless|otherwise|else|nor|versus|vs|be)\b[^.$\d\\]{{0,30}}"
    rf"(?:(?P<item>{ITEM})(?![\s$]*[=<>])|{NUMBER_WORD}\b)",
    re.IGNORECASE | re.DOTALL,
)
_LEADS_ON = re.compile(
    r"[\s*_]*(?:so|thus|therefore|hence)?[\s,*_]*(?:the|my|our)?[\s*_]*(?:final|correct|right)?[\s*_]*",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"\#{0,6}[ \t]*(?:\*{1,3}|_{1,2}|`)?[ \t]*=?[ \t]*(?P<line>[^\n?~≈`]*[^\n?~≈`*_\s])[*_`]{0,3}\.?"
)
"""One line in emphasis, in code, or of a heading."""
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_MAX_PHRASES = 64
_MAX_LENGTH = 4000


def phrase_answers(text: str) -> list[Answer]:
    """Return the answers after each "answer is"; without such a phrase, the one after the last ####."""
    stated = [match for match in _PHRASE.finditer(text) if not _is_denied(text, match)]
    matches = _without_headings(stated, text) or list(_HASHES.finditer(text))[-1:]
    if not matches:
        return list(_stated_before(text))
    if len(matches) > _MAX_PHRASES:
        raise Refused(f"more than {_MAX_PHRASES} answers")
    if any(is_doubted(text[max(0, match.start() - 100) : match.start()]) for match in matches):
        raise Refused("a doubted answer")
    found = [answer for match in matches for answer in _sentence_answers(_lines_after(text, match.end()))]
    found += _below(text, matches[-1].end())
    return found + retractions_after(text, matches[-1].end(), found)


def _is_denied(text: str, match: re.Match[str]) -> bool:
    """Return whether a phrase does not state an answer: "the answer is not", "Wrong answer:"."""
    before = text[max(0, match.start() - 40) : match.start()].rpartition("\n")[2]
    return bool(_DENIED.match(text, match.end()) or _NO_ANSWER.search(before))


def _below(text: str, place: int) -> Iterator[Answer]:
    """Yield a number that stands alone below the answer after `place`."""
    start = len(text) - len(text[place:].lstrip(" \t*_:\n"))
    if item := _VALUE_BELOW.match(text, start):
        yield Answer(item["item"].strip("$"))


def _stated_before(text: str) -> Iterator[Answer]:
    """Yield the value before each "is our answer"."""
    for match in islice(_IS_ANSWER.finditer(text), _MAX_PHRASES):
        if item := _ITEM_AT_END.search(text[max(0, match.start() - _LONGEST_ITEM) : match.start()]):
            yield Answer(_FORMULA.sub(_inside, item["item"]))


def _without_headings(matches: list[re.Match[str]], text: str) -> list[re.Match[str]]:
    """Return the phrases without those that another one continues: "Final Answer: The final answer is 12."."""
    ends = [match.end() for match in matches]
    starts = [match.start() for match in matches[1:]]
    kept = [not _LEADS_ON.fullmatch(text, *gap) for gap in zip(ends, starts, strict=False)]
    return [match for match, keep in zip(matches, [*kept, True], strict=False) if keep]


def _lines_after(text: str, place: int) -> str:
    """Return the rest of the line; the next line with text if the rest is empty, with all lines of a formula."""
    rest = text[place : place + _MAX_LENGTH]
    blank = re.match(r"[ \t*_:]*(?:\n\s*)+(?:(?:-{3,}|\*{3,}|_{3,})[ \t]*\n\s*)?", rest)
    rest = rest[blank.end() :] if blank else rest.lstrip(" \t")
    marks = re.match(r"[*_>\s]*", rest)
    start = marks.end() if marks else 0
    display = re.compile(r"\$\$.*?\$\$[^\n]*|\\\[.*?\\\][^\n]*", re.DOTALL).match(rest, start)
    return display[0] if display else _CODE.sub(r"\1", rest.partition("\n")[0])


def _sentence_answers(line: str) -> list[Answer]:
    line = re.sub(r"^[*_\s]+(?=[\\$])|^[*_]{1,3}[ \t]+(?=[*_]{1,3}\S)", "", line.partition("</answer>")[0])
    formula = _FORMULA.match(line)
    if formula is None:
        sentence = _SENTENCE.match(line)
        if line.startswith("~"):
            raise Refused("an approximate answer")
        stated = _PLAIN_REASON.split(sentence[0] if sentence else line, maxsplit=1)[0]
        return [Answer(_FORMULA.sub(_inside, stated))]
    answer, end = _inside(formula), formula.end()
    while following := _NEXT.match(line, end):
        joiner = " or " if following["joiner"].lower().endswith("or") else ", "
        answer, end = answer + joiner + _FORMULA.sub(_inside, following["item"]), following.end()
    rest = line[end:]
    sentence = _SENTENCE.match(rest)
    _check_no_hedge(sentence[0] if sentence else rest)
    return [first._replace(text=first.text) for first in answers_around(line, 0, end, answer, maths=False)]


def _inside(match: re.Match[str]) -> str:
    """Return a formula without its dollars, and a box in it without the box."""
    inside = next(filter(None, match.groups()), "").strip()
    box = re.fullmatch(r"\\f?boxed\s*\{(.*)\}\s*\.?", inside, re.DOTALL)
    return box[1] if box else inside


def _check_no_hedge(sentence: str) -> None:
    """Raise `Refused` if the rest of a sentence, up to the reason that it gives, has another value."""
    reason = _REASON.search(sentence)
    if _HEDGE.search(sentence[: reason.start()] if reason else sentence):
        raise Refused("another answer in the same sentence")


def bare_answer(text: str) -> list[Answer]:
    """Return a completion that is nothing but a formula or one short line; an empty list for any other."""
    text = text.strip()
    if formula := _FORMULA.fullmatch(text.removesuffix(".")):
        return [Answer(_inside(formula))]
    line = _MARKUP.fullmatch(text)
    if line is None or len(text) > _LONGEST_ITEM or _is_prose(line["line"]):
        return []
    return [Answer(_FORMULA.sub(_inside, line["line"]))]


def _is_prose(line: str) -> bool:
    """Return whether a word other than a function stands before the first digit."""
    word = next((each for each in _WORD.finditer(line) if each[0] not in FUNCTION_WORDS | GREEK), None)
    return word is not None and re.search(r"\d", line[: word.start()]) is None


def last_formula_or_line(text: str) -> list[Answer]:
    """Return the last formula, or the last line if there is no formula."""
    tail = text[-_MAX_LENGTH:]
    if formulas := list(_FORMULA.finditer(tail)):
        last = formulas[-1]
        return answers_around(tail, last.start(), last.end(), _inside(last), maths=False)
    return [Answer(line) for line in tail.splitlines() if line.strip()][-1:]
