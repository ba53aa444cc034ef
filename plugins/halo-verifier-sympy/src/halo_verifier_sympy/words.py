"""Answers that are no mathematics: the letter of a choice, a word. Only where the task says so."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from halo_verifier_sympy.tree import Unreadable

_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mbox)\{([^{}]*)\}")
_LETTER = re.compile(r"\(([A-Za-z])\)|([A-Za-z])[).]?")
_MAX = 200


def same_words(gold: str, answer: str, kind: Literal["choice", "text"]) -> str:
    """Say in what `answer` is not `gold`; empty when they are the same. Raises `Unreadable` for neither."""
    read = _letter if kind == "choice" else _words
    return "" if read(answer) == read(gold) else "another answer"


def _letter(text: str) -> str:
    r"""Return the letter of (B), B, B) or \text{(B)}."""
    match = _LETTER.fullmatch(_plain(text))
    if match is None:
        raise Unreadable("not the letter of a choice")
    return (match[1] or match[2]).upper()


def _words(text: str) -> str:
    return _plain(text).casefold()


def _plain(text: str) -> str:
    if len(text) > _MAX:
        raise Unreadable(f"more than {_MAX} characters")
    text = unicodedata.normalize("NFKC", _WRAPPED.sub(r"\1", text.strip().strip("$")))
    words = " ".join(text.split()).removesuffix(".").strip()
    if not words or not re.fullmatch(r"[\x20-\x7e\u00c0-\u024f]+", words):
        raise Unreadable("no word, or one with unusual characters")
    return words
