"""Sentences that call an answer wrong: "That is wrong", "I made a mistake", "The answer is not 12".

A sentence counts only if it is about the answer as a whole: "13 is wrong" and "It is wrong to divide by 4" do not
concern 12.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_SPLIT = re.compile(r"(?<=[.!?;:])[\s$*_)\]}]+|\n+|[ \t]+[-–—]+[ \t]+|—|[.…]{2,}\s*|(?<=[\s$])\(")
_LEAD = (
    r"(?:(?:wait|no|actually|sorry|oops|hm+|ah|oh|hold\s+on|but|and|so|then|thus|hence|therefore|however|well|yet|still|now|also"
    r"|unfortunately|obviously|clearly|in\s+fact|indeed|on\s+(?:second\s+thoughts?|reflection)|to\s+be\s+clear|though|although"
    r"|never\s*mind|edit|update|correction|note(?:\s+that)?|in\s+that\s+case|as\s+a\s+result|of\s+course"
    r"|(?:I|we)\s+(?:now\s+)?(?:think|believe|know|see|realized?|realised?|notice|noticed|fear|am\s+afraid|admit|must\s+admit|guess"
    r"|suspect|found|find)(?:\s+that)?|it\s+(?:turns\s+out|seems|appears|looks\s+like)(?:\s+that)?)[\s,.!…:]+)*+"
)
_ADJECTIVE = (
    r"(?:final|correct|right|true|real|actual|proper|previous|above|first|given|last|original|stated"
    r"|boxed|initial|exact|wrong)"
)
_NOUN = (
    r"(?:answer|result|value|solution|number|total|calculation|computation|reasoning|conclusion|response|work"
    r"|derivation)"
)
_VALUE = r"(?P<value{n}>\$[^$\n]{{1,60}}\$|\\?[\d(\[{{-][^\s,;]{{0,60}}|[a-z]\s*=\s*[^\s,;]{{1,40}})"


def _subject(number: int) -> str:
    """Return a pattern for what refers to the answer; its groups are `value` with `number` and the next one."""
    return (
        r"(?:that|this|it|which|(?:the|everything)\s+above|what\s+I\s+(?:wrote|stated)"
        rf"|(?:the|my|this|that|our|your)\s+(?:{_ADJECTIVE}\s+){{0,2}}{_NOUN}(?:\s+(?:above|there|here|I\s+gave|is))?"
        rf"(?:\s+(?:of\s+)?{_VALUE.format(n=number)})?|{_VALUE.format(n=number + 1)})"
    )


_SUBJECT = _subject(1)
_IS = (
    r"(?:['’]s|\s+(?:is|was|are|seems|looks|must\s+be|has\s+to\s+be|appears\s+to\s+be|turns\s+out\s+to\s+be))"
)
_IS_NOT = (
    r"(?:(?:['’]s|\s+(?:is|was|can|could|would|does|should|must|will|may|might))(?:\s+\w+ly)?(?:\s+not|n['’]t|not)"
    r"|\s+(?:isn|wasn|can|couldn|doesn|wouldn|shouldn|won)['’]?t|\s+cannot)(?:\s+(?:be|look|seem|sound|equal))?"
)
_ADVERB = r"(?:\s+(?:\w+ly|all|so|quite|just|still|in\s+fact|even|not\s+only))*"
_WRONG = (
    r"\s+(?:wrong|incorrect|false|mistaken|erroneous|flawed|invalid|inaccurate|bogus|nonsense|impossible|off"
    r"|an?\s+(?:\w+\s+)?(?:mistake|error|miscalculation|typo|blunder)|(?:a\s+|the\s+)?(?:wrong|incorrect|false)\s+(?:answer|result|value|one))"
)
_RIGHT = (
    rf"\s+(?:(?:quite\s+|at\s+all\s+)?(?:right|correct|true|valid|accurate|it|possible|so)|(?:the|my|our|a)\s+(?:(?!only|other|same)\w+\s+)?"
    rf"(?:answer|result|solution)|{_VALUE.format(n=3)})"
)
_END = (
    r"(?![\w'’-])(?=[\s$*_)\]}\"”.!?;:]*$|\s*[,;:.!?]|\s+(?:because|since|as|and|but|so|after\s+all|either|at\s+all|though|sorry|again|here"
    r"|anyway|now|the\s+correct|it|let|I)\b)"
)
_MISTAKE = (
    r"(?:I|we|there)(?:['’]ve|\s+(?:have|may\s+have|might\s+have|must\s+have|could\s+have))?\s*\b"
    r"(?:(?:made|make|is|was|did|commit(?:ted)?)\s+(?:an?|some)\s+(?:\w+\s+)?(?:mistakes?|errors?|slip|blunder|typo)|miscalculated|misread"
    r"|miscounted|messed\s+(?:this\s+|that\s+|it\s+)?up|erred|misspoke|mistyped|(?:was|am|were)\s+(?:wrong|mistaken|incorrect|in\s+error|off)"
    r"|(?:have\s+)?(?:got|gotten)\s+(?:it|this|that)\s+wrong)"
    r"(?=\s*(?:[,;:.!?)]|$)|\s+(?:above|here|there|somewhere|with|in\s+(?:my|the|this)\s+(?:\w+\s+)?(?:answer|result|calculation|computation"
    r"|reasoning|arithmetic|work|derivation|last\s+step|final\s+step)|and|so|because|when|by)\b)"
)
_WITHDRAWN = (
    r"(?:I|we)(?:\s+(?:must|have\s+to|want\s+to|need\s+to|will|would\s+like\s+to)|['’]ll)?\s+(?:take\s+(?:that|this|it|my\s+answer)\s+back"
    r"|take\s+back\b|retract\b|withdraw\b)|my\s+(?:mistake|bad|error|fault)(?=\s*(?:[,;:.!?]|$))"
    r"|(?:please\s+)?(?:ignore|disregard|forget|strike|scratch|discard)\s+(?:that|this|it|(?:the|my|everything|all)\s+(?:of\s+the\s+)?"
    rf"(?:above|{_ADJECTIVE}|{_NOUN}))(?!\w)(?!\s+(?:of|in|case|term|factor))"
    r"|(?:I|we)\s+(?:do\s+not|don['’]t|no\s+longer|cannot|can['’]t)\s+(?:think|believe|agree)(?:\s+that)?"
    rf"(?:\s+{_subject(4)}(?:['’]s|\s+is|\s+was)(?:\s+(?:right|correct|true|(?:the|my)\s+answer))|\s+with\s+(?:that|this|it))"
)
_SENTENCES = [
    re.compile(rf"[\s$*_(\[\"“>#-]*{_LEAD}{form}", re.IGNORECASE)
    for form in (
        rf"{_SUBJECT}{_IS}{_ADVERB}(?:{_WRONG}|\s+not{_ADVERB}{_RIGHT}){_END}",
        rf"{_SUBJECT}{_IS_NOT}{_ADVERB}{_RIGHT}{_END}",
        _MISTAKE,
        _WITHDRAWN,
    )
]
_NO = re.compile(r"[\s$*_(]*no[\s.!*_)]*$", re.IGNORECASE)
_LONGEST = 400
_MARKS = re.compile(r"\\boxed|\\[()\[\],;:! ]|[\s$*_{}]")
_DOUBT = re.compile(
    r"(?:(?:\b(?:not|never|false|wrong|incorrect|untrue|impossible|unlikely|deny|cannot|no\s+way)\b|n['’]t\b)[^.,;:!?\n]{0,30}"
    r"\b(?:that|think|believe|say|claim|mean|conclude)|\bdoubt(?:\s+that)?)\s+(?:the|my|our)?\s*(?:(?:final|correct|right)\s+)?"
    r"(?:answer\s+(?:is|equals|=)[\s:]*)?[\s$*({\[\\]*$",
    re.IGNORECASE,
)


def denials(text: str, answers: Collection[str]) -> Iterator[int]:
    """Yield the place of each sentence that calls the answer wrong. `answers` are the texts of the answer.

    A sentence that names a value concerns only an answer that is written in the same way.
    """
    own = {plain(answer) for answer in answers}
    question = False
    for start, sentence in _sentences(text):
        if _NO.match(sentence) and not question:
            yield start
        question = sentence.rstrip(" $*_)").endswith("?")
        if any(_concerns(match, own) for form in _SENTENCES if (match := form.match(sentence))):
            yield start


def is_doubted(before: str) -> bool:
    """Return whether the words before an answer deny it, as in "I do not think that the answer is"."""
    return _DOUBT.search(before) is not None


def plain(text: str) -> str:
    """Return an answer without spaces, dollars and a final full stop, to compare how it is written."""
    return _MARKS.sub("", text).rstrip(".!?,;:)").removeprefix("(")


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for gap in _SPLIT.finditer(text):
        yield start, text[start : min(gap.start(), start + _LONGEST)]
        start = gap.end()
    yield start, text[start : start + _LONGEST]


def _concerns(match: re.Match[str], own: set[str]) -> bool:
    named = [value for name, value in match.groupdict().items() if name.startswith("value") and value]
    return all(plain(value) in own or plain(value).rpartition("=")[2] in own for value in named)
