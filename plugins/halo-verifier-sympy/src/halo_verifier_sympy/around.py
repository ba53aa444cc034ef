r"""The text directly before and after an answer, which may change what a reader takes for the answer.

A sign, a factor, an exponent or an operator outside a box makes it another answer: -\boxed{12} is not 12. An
alternative, as in \boxed{12} or 13, is a further answer, which must be correct as well. A percent sign and the base of
a numeral belong to the answer; a unit may be read with it or left out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from halo_verifier_sympy.styles import FONT_SWITCHES
from halo_verifier_sympy.tree import Refused
from halo_verifier_sympy.vocabulary import FACTOR_COMMANDS


class Answer(NamedTuple):
    """The text of an answer."""

    text: str
    with_unit: str = ""
    """The same with a unit that stands outside of the box; empty if there is none."""


_FORMULA = r"\$\$[^$]+\$\$|(?<!\\)\$[^$\n]+\$|\\\([^\n]*?\\\)|\\\[.*?\\\]"
_NUMBER = r"[-+−]?(?:\\?[$€£])?\d(?:[\d.,/:^]*\d)?(?:\\?%)?|\\[dt]?frac\{[^{}]*\}\{[^{}]*\}"
ITEM = rf"(?:{_FORMULA}|{_NUMBER})"
"""A formula in dollars, or a number."""
_FILLERS = (
    r"(?:(?:maybe|perhaps|possibly|probably|rather|else|even|also|just|simply|about|it|is|be|could|can|may|might|we"
    r"|get|say|equals|equivalently|the|answer|value|either|x|[a-z]\s*=)[\s,:]+)*"
)
_ALTERNATIVES_AFTER = re.compile(
    rf"[\s,;.(*]*(?P<commas>(?:{ITEM}[\s*]*,[\s*]*)*(?:{ITEM}[\s*]*,?[\s*]*)?)"
    rf"\b(?:and/or|or|alternatively|otherwise|unless|(?:but\s+)?(?:it\s+|this\s+)?(?:may|might|could)(?:\s+also)?\s+be"
    rf"|maybe|perhaps|possibly)\b[\s,:]+{_FILLERS}\**(?P<last>{ITEM})",
    re.IGNORECASE | re.DOTALL,
)
_ALTERNATIVES_BEFORE = re.compile(
    rf"(?P<items>{ITEM}(?:[\s*]*,[\s*]*{ITEM})*)[\s*]*,?\s*\b(?:or|and/or)[\s,:]+{_FILLERS}[*$\s{{(\[\\]*$",
    re.IGNORECASE | re.DOTALL,
)
NUMBER_WORD = (
    r"(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand)"
)
_ALTERNATIVE_WORD = re.compile(rf"[\s,;(]*\bor\s+{_FILLERS}{NUMBER_WORD}\b", re.IGNORECASE)
_LIST_AFTER = re.compile(
    rf"[\s*]*(?:,?[\s*]*(?:and|to|through|versus|vs\.?|but\s+also)\b|[,;])[\s*]*(?P<item>{ITEM})[\s*]*(?:[.!)]|$)(?!\d)",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"</?(?:b|i|u|em|strong|span|p|div|mark|big|center|font)(?:\s[^<>]*)?>")
_NEGATED = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot)|n['’]t)(?:\s+(?:equal(?:\s+to)?|be|simply|just|really|actually))*[\s:=*]*$"
    r"|(?:\\(?:neq?|not\s*=|not|lnot|neg)|≠|¬|!=)\s*$",
    re.IGNORECASE,
)
_SCALED = re.compile(
    r"(?:\b(?:minus|negative|plus|times|twice|double|triple|half(?:\s+of)?|over|divided\s+by|multiplied\s+by"
    r"|(?:root|power|square|cube|negative|opposite|reciprocal|inverse|double|triple|third|quarter|tenth|logarithm"
    r"|absolute\s+value|factorial|percent)\s+of|(?:\d|one|two|three|four|five|six|seven|eight|nine|ten)\s+(?:more|less|fewer"
    r"|greater|smaller|higher|lower)\s+than)|\d\s*\\?%\s+of)$",
    re.IGNORECASE,
)
_PLAIN_BEFORE = re.compile(
    r"(?:(?:^|(?<!\\not)[\s$])(?:is|=|get|gives|so|so it is|[Aa]nswer:|:)[ \n]?|^|\n\n)\$?\$?$"
)
_PLAIN_LENGTH = 16
"""Characters within which `_PLAIN_BEFORE` matches."""
_PLAIN_AFTER = re.compile(r"\.?\$?\$?\.?\s*$")
"""The most frequent text around a box, which changes nothing."""
_CURRENCY = re.compile(r"(\\\$|[€£]|\\(?:euro|pounds)(?![A-Za-z]))[\s{]*$")
_SPACING = re.compile(
    r"(?:\s|~|&|\\[,;:! ]|\\[hv]?phantom\{[^{}]*\}"
    r"|\\(?:q?quad|displaystyle|textstyle|left|right|big[lr]?|Big[lr]?)(?![A-Za-z]))+"
)
_OPENING = re.compile(
    rf"(?:{_SPACING.pattern}|\{{|\(|\[|\\[A-Za-z]+[ ]?(?:\[[A-Za-z]*\])?(?:\{{[^{{}}]*\}}){{0,2}}\{{"
    rf"|\\color(?:\[[A-Za-z]+\])?\{{[^{{}}]*\}}"
    rf"|\\(?:{'|'.join(FONT_SWITCHES)})(?![A-Za-z]))+$"
)
"""Space, fonts and opening brackets; `visible` refuses commands that do more."""
_LABELLED = re.compile(r"\\(?:under|over)brace[ ]?\{[\s{(]*$")
_CLOSING = re.compile(rf"(?:{_SPACING.pattern}|[)\]}}])+")
_RELATION_BEFORE = re.compile(
    r"(?:[=<>:;,≤≥≈→⇒∴(\[]|\\(?:approx|equiv|leq?|geq?|leqslant|geqslant|lt|gt|in|to|implies|impliedby|iff|therefore"
    r"|because|colon|sim|simeq|cong|mapsto|longmapsto|dots|ldots|cdots|bullet|item|hline|\\|(?:long|Long)?(?:left)?"
    r"(?:right|Right)arrow)|\\begin\{[a-z*]+\}(?:\{[^{}]*\})?|\\(?:text|mathrm|mbox|textbf|textrm|textit)\{[^{}]*\})$"
)
_RELATION_AFTER = re.compile(
    r"[=<>;≤≥≈→⇒∴]|,(?!\\?[!,]?\s?\d{3}(?!\d))|\.(?!\d)|:(?!\s*[\d\\$])|\\(?:approx|equiv|neq?|leq?|geq?|in|to|implies|iff"
    r"|therefore|because|checkmark|blacksquare|square|Box|qed|tag|sim|cong|dots|ldots|label|nonumber|notag|end|newline"
    r"|hline|hfill|vdots|blacktriangleright|(?:long|Long)?(?:left)?(?:right|Right)arrow)(?![A-Za-z])|\\\\|\\\]|\\\)"
)
_DEGREE = re.compile(r"\^?\s*(?:°|\\(?:text)?degree|\^\s*\{?\s*\\circ\s*\}?|\\circ)|°")
_PERCENT = re.compile(
    r"(?:\s|~|\\[,;:! ])*(?:\\?%|(?:\\(?:text|mathrm|textrm)\{\s*)?(?:percent|per cent|pct)\b\}?)",
    re.IGNORECASE,
)
_BASE = re.compile(r"_(?:\d|\{[^{}]*\})")
_BASE_IN_WORDS = re.compile(
    r"[\s~$]*(?:\\text\{\s*)?\(?(?:in\s+)?base[\s-]*\}?\s*\$?(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty)\b"
)
_WORDS = re.compile(
    r"\\(?:text|mathrm|textrm|mbox|textbf|operatorname|textnormal)\*?\s*\{([^{}]*)\}(\^\{?[23]\}?)?"
)
_SCALE = re.compile(
    r"\s*(?:hundred|thousand|million|billion|trillion|dozen|squared(?!\s+(?:unit|met|cent|inch|f))|cubed|factorial|(?:k|mn|bn|B)(?![A-Za-z/])"
    r"|(?:times|plus|minus|over|multiplied\s+by|divided\s+by|to\s+the(?:\s+power)?|raised\s+to|x|mod)\s+(?:of\s+)?"
    r"(?:\$|\\[(\[]|[-\d]|ten\b|one\b|two\b|three\b))",
    re.IGNORECASE,
)
_UNIT = re.compile(r"\s*([A-Za-z]+(?:[ /]+[A-Za-z]+){0,3})(?:\^?\{?([23²³])\}?|\b)")
_COPULAS = frozenset(
    re.findall(
        r"\w+",
        "is are was be equals equal to gives get gets yields of than by times plus minus",
    )
)
_TEXT_OPERATORS = "+*/^×·÷±∓√∙⋅−"


def answers_around(text: str, start: int, end: int, content: str, *, maths: bool) -> list[Answer]:
    """Return the answers at `start` to `end`, where `content` is displayed: it, and its alternatives.

    `maths` is true within a formula. Raises `Refused` if a sign, a factor or an operator is next to it.
    """
    before, after = text[max(0, start - 200) : start], text[end : end + 200]
    if _PLAIN_BEFORE.search(before, max(0, len(before) - _PLAIN_LENGTH)) and _PLAIN_AFTER.match(after):
        return [Answer(content)]
    before = _EMPHASIS.sub("", before[before.rfind("\n\n") + 1 :])
    after = _EMPHASIS.sub("", after.partition("\n\n")[0])
    if maths and _is_in_list(_formula_before(before)[0], after):
        raise Refused("a box within a list, a set or a chain")
    currency = _CURRENCY.search(before)
    _check_before(before[: currency.start()] if currency else before, maths=maths)
    answer = _with_suffix(content, after, maths=maths, labelled=_LABELLED.search(before) is not None)
    if currency and not answer.with_unit:
        answer = answer._replace(with_unit=rf"{currency[1]}{content}")
    return [answer, *_alternatives(before, after)]


def _is_in_list(before: str, after: str) -> bool:
    """Return whether a box is an item of a tuple, a set or an interval, or between two inequality signs."""
    depth = len(re.findall(r"[(\[]|\\\{", before)) - len(re.findall(r"[)\]]|\\\}", before))
    item = depth > 0 and (re.search(r",\s*$", before) or re.match(r"\s*,", after))
    less = r"(?:[<>≤≥]|\\(?:leq?|geq?|lt|gt)(?:slant)?)"
    return bool(item or (re.search(rf"{less}\s*$", before) and re.match(rf"\s*{less}", after)))


def _alternatives(before: str, after: str) -> list[Answer]:
    before, after = _WORDS.sub(r" \1 ", before), _WORDS.sub(r" \1 ", after)
    found = []
    if match := _ALTERNATIVES_BEFORE.search(before.rpartition("\n")[2]):
        found += re.findall(ITEM, match["items"])
    tail = re.sub(r"^[$}\s)*]+", " ", after)
    if match := _ALTERNATIVES_AFTER.match(tail.partition("\n")[0]):
        found += [*re.findall(ITEM, match["commas"]), match["last"]]
    elif match := _LIST_AFTER.match(tail.partition("\n")[0]):
        found.append(match["item"])
    if _ALTERNATIVE_WORD.match(tail):
        raise Refused("another answer in words")
    return [Answer(item) for item in found]


def _check_before(before: str, *, maths: bool) -> None:
    words = _WORDS.sub(r" \1 ", before)
    words = words.rstrip(" \t\n${(*~")
    marked = _WORDS.search(before, max(0, before.rfind("\\")))
    signed = (
        marked and re.search(r"(?:^|\s)[-−–+*/×·]\s*$", marked[1]) and not before[marked.end() :].strip(" $")
    )
    if signed or _NEGATED.search(words) or _SCALED.search(words):
        raise Refused("a negated or changed answer")
    if maths:
        inside, formula_starts = _formula_before(before)
        rest = _strip_end(inside, _OPENING)
        if rest and not _RELATION_BEFORE.search(rest) and not _is_unary_plus(rest):
            raise Refused(f"{rest[-12:]!r} before the box")
        if rest or not formula_starts:
            return
        before = before[: len(before) - len(inside)]
    _check_words_before(before)


def _is_unary_plus(text: str) -> bool:
    rest = _strip_end(text[:-1], _OPENING) if text.endswith("+") else "x"
    return not rest or _RELATION_BEFORE.search(rest) is not None


def _formula_before(before: str) -> tuple[str, bool]:
    """Return the part of a formula before the box, and whether its start is in `before`."""
    place = max(before.rfind("$"), before.rfind(r"\("), before.rfind(r"\["))
    while place > 0 and before[place - 1] == "\\" and before[place] == "$":
        place = before.rfind("$", 0, place - 1)
    if place < 0:
        return before, False
    return before[place + (1 if before[place] == "$" else 2) :], True


def _strip_end(text: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(text)
    return text[: match.start()] if match and match.end() == len(text) else text


def _check_words_before(before: str) -> None:
    """Raise `Refused` if words before an answer end in an operator; a bullet or a dash is not one."""
    line = before.rpartition("\n")[2]
    gap = _GAP.search(line)
    head = line[: gap.start()] if gap else line
    spaced = any(character.isspace() for character in line[len(head) :])
    if not head.strip(" >") or (spaced and head.strip(" >") in tuple("-*+•–")):
        return
    if head[-1] in "-–":
        word = _WORD_AND_DASH.search(head)
        refused = not spaced or word is None or word[1].lower() in _COPULAS
    elif command := _COMMAND_BEFORE.search(head):
        refused = command[1] in _OPERATORS or command[1] in _FACTORS
    else:
        refused = head[-1] in _TEXT_OPERATORS or (not spaced and _OPERAND.search(head) is not None)
    if refused:
        raise Refused(f"{head[-12:]!r} before the box")


_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        "cdot times ast div pm mp neg lnot not ne neq star circ bullet oplus otimes bmod pmod over",
    )
)
_FACTORS = FACTOR_COMMANDS - {"begin"}
_GAP = re.compile(
    r"(?:\s|~|\$|\\[(\[]|[_\"“”'`{(]|(?<![\d)}])(?<![\d)}] )\*{1,3}(?=\S|$)|(?<=[:.!?A-Za-z])\*{1,3}(?=\s))+$"
)
"""Space, emphasis and opening brackets at the end of a line."""
_WORD_AND_DASH = re.compile(r"([A-Za-z]{2,})[*_)\"']*\s+[-–]$")
_COMMAND_BEFORE = re.compile(r"\\([A-Za-z]+)\s*(?:\{[^{}]*\}\s*)*$")
_OPERAND = re.compile(r"[\d)\]}|½⅓-⅞]$|(?<![A-Za-z])[A-Za-z]$|(?<![A-Za-z)])\.$")


def _with_suffix(content: str, after: str, *, maths: bool, labelled: bool) -> Answer:
    """Return the answer with a percent sign, a base or a unit after it; raise `Refused` for operators."""
    match = _CLOSING.match(after) if maths else None
    rest = after[match.end() :] if match else after
    if not maths:
        rest = re.sub(r"^(?:\*{1,3}(?!\s*\d)|[_\"”'’`)}\]])+", "", rest)
    if _PERCENT.match(rest):
        return Answer(content + r"\%")
    if degree := _DEGREE.match(rest):
        _check_after(rest[degree.end() :], maths=maths)
        return Answer(content, content + r"^\circ")
    if maths and (base := _BASE.match(rest)):
        if match and "}" in match[0]:
            if not labelled:
                raise Refused(f"{base[0]!r} after the box")
            return Answer(content)
        return Answer(content + base[0])
    if based := _BASE_IN_WORDS.match(rest):
        return Answer(content, f"{content}_{{{based[1]}}}")
    if words := _WORDS.match(rest.lstrip()):
        if _SCALE.match(words[1]) or words[1].strip().lower() == "e":
            raise Refused(f"{words[1].strip()[:20]!r} after the box")
        unit = words[1].strip()
        return Answer(content, rf"{content}\text{{ {unit}}}{words[2] or ''}" if unit else "")
    if maths and rest and not _RELATION_AFTER.match(rest):
        if not (dollar := re.match(r"\$\$?", rest)):
            raise Refused(f"{rest[:12]!r} after the box")
        rest, maths = rest[dollar.end() :], False
        rest = re.sub(r"^\*{1,3}", "", rest)
        if _PERCENT.match(rest):
            return Answer(content + r"\%")
    if not maths:
        _check_after(rest, maths=False)
        if _SCALE.match(rest):
            raise Refused(f"{rest.strip()[:20]!r} after the box")
        unit = _UNIT.match(rest)
        power = "^3" if unit and unit[2] in ("3", "³") else "^2" if unit and unit[2] else ""
        return Answer(content, rf"{content}\text{{ {unit[1]}}}{power}" if unit else "")
    return Answer(content)


def _check_after(rest: str, *, maths: bool) -> None:
    """Raise `Refused` if the text after an answer starts with an operator or a factor."""
    if maths:
        rest = _CLOSING.sub("", rest, count=1)
        if rest and not rest.startswith("$") and not _RELATION_AFTER.match(rest) and not _WORDS.match(rest):
            raise Refused(f"{rest[:12]!r} after the box")
        return
    adjacent = re.match(
        r"(?:\\[,;:! ])*\d|\.\d|[({]\s*\d|[A-Za-zπ](?![A-Za-z])|\{,\}|,\d{3}(?!\d)|:\d|\^|_|!\S|[√‰‱⁰¹²³⁴-ⁿ½⅓-⅞]|<su"
        r"|\s\d{3}(?!\d)",
        rest,
    )
    spaced = re.match(
        r"\s*(?:[+*×·÷±∙⋅]\s*[\d$\\(A-Za-z]|/\s*[\d$\\(]|[-−–]\s*[\d$\\(]|\^|(?:\\cdot|\\times|\\div|\\pm|\\ast)(?![a-z])"
        r"|e[-+]?\d|\\[dt]?frac|\\sqrt|\\pi|\$\$?\s*(?:[+*/^×÷·!\d_(]|[-−]\s*[\d\\]|\{\}|\\[dt]?frac"
        r"|\\(?:cdot|times|div|pm|ast|b?mod|over|sqrt|pi)(?![a-z])))",
        rest,
    )
    if adjacent or spaced:
        raise Refused(f"{rest.strip()[:12]!r} after the box")
