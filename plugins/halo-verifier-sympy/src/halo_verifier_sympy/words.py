"""Non-mathematical answers, for references with that `kind`: the letter of a choice, a word."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from halo_verifier_sympy.tree import Unreadable

_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mbox)\{([^{}]*)\}")
_LABEL = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf)\{\s*\(([A-Za-z])\)[\s~]*\}(?=(?:\\[ ,;:]|\\quad|[\s~])*[-\\\d$])(?P<value>[^(,]*)"
)
"""The letter of a choice before its value, as in \\textbf{(B) } 12."""
_LETTER = re.compile(r"\(([A-Za-z])\)|([A-Za-z])[).]?")
_MAX = 200


def word_difference(gold: str, answer: str, kind: Literal["choice", "text"]) -> str:
    """Return how `answer` differs from `gold`, empty if it does not. Raise `Unreadable` for other text."""
    read = _letter if kind == "choice" else _words
    return "" if read(answer) == read(gold) else "a different answer"


def _letter(text: str) -> str:
    r"""Return the letter of (B), B, B) or \text{(B)}."""
    if (label := _LABEL.fullmatch(text.strip())) and not re.search(
        r"\b(?:or|and|not)\b|\\text", label["value"]
    ):
        return label[1].upper()
    match = _LETTER.fullmatch(_normalised(text))
    if match is None:
        raise Unreadable("not the letter of a choice")
    return (match[1] or match[2]).upper()


def _words(text: str) -> str:
    return _normalised(text).casefold()


def _normalised(text: str) -> str:
    if len(text) > _MAX:
        raise Unreadable(f"more than {_MAX} characters")
    text = unicodedata.normalize("NFKC", _WRAPPED.sub(r"\1", text.strip().strip("$")))
    words = " ".join(text.split()).removesuffix(".").strip()
    if not words or not re.fullmatch(r"[\x20-\x7e\u00c0-\u024f]+", words):
        raise Unreadable("an empty answer, or one with unsupported characters")
    return words
