"""Sentences after an answer that take it back: "The answer is 12. No, wait, it is 13."

A value that such a sentence gives is a further answer, which must be correct as well. A sentence that calls the answer
wrong leaves none, unless a later one states an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halo_verifier_sympy.around import ITEM, NUMBER_WORD, Answer
from halo_verifier_sympy.denials import denials
from halo_verifier_sympy.tree import Refused

_MAX_LENGTH = 2000
_MAX_RETRACTIONS = 4
_WRONG = (
    r"(?:(?:that|this|it)(?:\s+(?:is|was)|['’]s)\s+(?:wrong|incorrect|false|not\s+(?:right|correct|true|it))"
    r"|I\s+(?:was|am)\s+wrong|(?:I\s+(?:have\s+)?made|there\s+(?:is|was))\s+(?:a|an)\s+(?:\w+\s+)?(?:mistake|error))"
)
_TURN = (
    r"(?:wait|actually|correction|sorry|oops|hm+|hold\s+on|scratch\s+that|on\s+second\s+thoughts?|I\s+meant?|make\s+(?:that|it)"
    r"|let\s+me\s+(?:correct|fix|revise)(?:\s+(?:that|this|it|myself))?|alternatively|edit(?:ed)?|update|errat(?:um|a)|or\s+(?:rather|maybe|perhaps|possibly|even|is\s+it)"
    rf"|no(?!\s+[a-z])|{_WRONG})"
)
"""The start of a sentence that corrects what precedes it; a value may follow directly."""
_STATES = (
    r"(?:(?:(?:I|we)\s+(?:now\s+)?(?:think|believe|get|mean|meant)\s+(?:that\s+)?)?"
    r"(?:it|this|that|(?:the|my)\s+(?:\w+\s+){0,2}(?:answer|value|result|number))"
    r"(?:['’]s|\s+(?:is|equals|(?:should|must)(?:\s+(?:be|equal|have\s+been))?))"
    r"(?:\s+(?:actually|really|in\s+fact|instead|rather|just|then))?)"
)
_RAW = r"(?=[^\s,;]*[\d\\^+*/])[-\w\\({][\w+\-*/^\\(){}.]*[\w)}]"
_VALUE = rf"(?P<item>{ITEM}|{_RAW}|{NUMBER_WORD}\b)"
_TAIL = (
    r"(?=[$*_)\s]*(?:[.!,;)]|$|\n|\b(?:not|instead|because|since|as|and\s+not|I\s+think)\b"
    r"|[A-Za-z]{1,12}[ ]*(?:[.!\n]|$)))"
    r"(?![$*_\s]*(?:is|are|was|has|divides|times|plus|minus|over|more|less|or)\b)"
)
_START = r"(?:^|[.!?;,:(\n—–]|\s-|\b(?:but|and|so|then)\b)[\s*_(]*"
_CORRECTED = re.compile(
    rf"{_START}{_TURN}(?![\w])(?:[\s,.!?;:*_—–-]|{_TURN}(?!\w)|\b(?:no|so|then|but|and)\b)*+(?:{_STATES}[\s:*=]*)?"
    rf"{_VALUE}{_TAIL}",
    re.IGNORECASE,
)
_STATED = re.compile(
    rf"(?:\bbut\s+(?:I|we)\s+(?:now\s+)?(?:think|believe|get)\s+(?:that\s+)?(?:it|this)\s+is"
    rf"|\banswer\s+(?:is|must\s+be|should\s+be|should\s+have\s+been)(?:\s+(?:actually|really|in\s+fact|instead|rather))?"
    rf"|\b(?:correct(?:ed)?|right|real|true|actual|new|final)\s+(?:answer|result|value)\s*(?:is\s*)?[:=])"
    rf"[\s:*=]*{_VALUE}{_TAIL}",
    re.IGNORECASE,
)
_ASKED = re.compile(
    rf"(?:^|[.!?\n])[\s$*_)]*or\s+(?:is|was|could|should|would|might)\s+(?:it|this|that)(?:\s+be)?[\s:]*{_VALUE}",
    re.IGNORECASE,
)
_CALLED_WRONG = re.compile(
    r"[\s$*_)}\].,;(?]*(?:(?:but|and|though|although)\s+)?(?:(?:that|this|it|which)(?:['’]s)?\s+)?(?:(?:is|was)\s+)?"
    r"(?:wrong|incorrect|false|not\s+(?:the\s+)?(?:\w+\s+)?(?:answer|right|correct|true))\b(?!\s+(?:to|that|for|if)\b)|[\s$*_)}\]]*\?\s*(?:no\b|it\s+(?:is|was)"
    r"\s+not)(?![\s,]*(?:it|the|\d|\$|\\))",
    re.IGNORECASE,
)
_MAY_RETRACT = re.compile(
    r"\b(?:wait|actually|correction|sorry|oops|hm+|hold|scratch|second|mean|meant|make|let|or|no|wrong|incorrect|false|alternatively"
    r"|not|mistake|error|answer|result|think|believe|get|edit(?:ed)?|update|errat(?:um|a)|cannot|mis\w+|messed|erred|bad|fault|ignore"
    r"|disregard|forget|strike|discard|take|retract|withdraw|nonsense|invalid|flawed|erroneous|inaccurate|bogus|impossible|typo"
    r"|miscalculation|blunder|slip|off|isn|wasn|can|couldn|doesn|don|wouldn|shouldn|won)\b",
    re.IGNORECASE,
)


def retractions_after(text: str, place: int, answers: Sequence[Answer]) -> list[Answer]:
    """Return the values that replace `answers`, the last of which ends at `place`, if the text after it gives any.

    Raises `Refused` if the answer is called wrong, and no other one is given.
    """
    rest = text[place : place + _MAX_LENGTH]
    if not _MAY_RETRACT.search(rest):
        return []
    if _CALLED_WRONG.match(rest):
        raise Refused("the answer is called wrong")
    matches = [match for pattern in (_CORRECTED, _STATED, _ASKED) for match in pattern.finditer(rest)]
    found = [match["item"] for match in matches]
    last = max((match.start("item") for match in matches), default=-1)
    if any(denied >= last for denied in denials(rest, [answer.text for answer in answers] + found)):
        raise Refused("the answer is called wrong, or taken back")
    if any(re.fullmatch(NUMBER_WORD, item, re.IGNORECASE) for item in found):
        raise Refused("another answer in words")
    return [Answer(item) for item in found[:_MAX_RETRACTIONS]]
