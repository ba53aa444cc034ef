"""Stop strings: texts at which a completion ends, wherever the boundaries of its tokens are.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from halo_core.model.texts import special_tokens, texts_of

_INCOMPLETE = "\ufffd"
"""The text of a part of a character."""


class StopStrings:
    """Finds the first of some texts in the rows of a batch, while they are sampled.

    Only a token whose text has the last character of a stop string, or part of a character, can complete one, so that
    most tokens cost one look-up.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self.texts = tuple(texts)
        self._rows: dict[int, list[int]] = {}
        self.lengths: dict[int, int] = {}
        """By row, the number of its tokens up to the one that completed a stop string."""

    @cached_property
    def _completing(self) -> frozenset[int]:
        """Ids of the tokens that can complete a stop string."""
        ids = range(len(self._tokenizer))
        pieces = self._tokenizer.batch_decode([[number] for number in ids], skip_special_tokens=False)
        last = {text[-1] for text in self.texts} | {_INCOMPLETE}
        return frozenset(number for number, piece in zip(ids, pieces, strict=True) if last & set(piece))

    def start(self, before: Sequence[Sequence[int]] = ()) -> None:
        """Begin a batch; `before` are the tokens that each row has already, of which none completed a stop string."""
        self._rows, self.lengths = {row: list(ids) for row, ids in enumerate(before)}, {}

    def feed(self, rows: Sequence[int], tokens: Sequence[int]) -> list[bool]:
        """Append a token to each of `rows`; return for each whether it has a stop string now."""
        for row, token in zip(rows, tokens, strict=True):
            ids = self._rows.setdefault(row, [])
            ids.append(token)
            if token in self._completing and row not in self.lengths and self._find(self._text(ids)) >= 0:
                self.lengths[row] = len(ids)
        return [row in self.lengths for row in rows]

    def cut(self, text: str, *, keep: bool) -> str:
        """Return `text` up to its first stop string, with it if `keep` is set; all of it if there is none."""
        place = self._find(text)
        if place < 0:
            return text
        kept = max(len(each) for each in self.texts if text.startswith(each, place)) if keep else 0
        return text[: place + kept]

    def _text(self, ids: list[int]) -> str:
        """Return the text of as many last tokens as a stop string can span."""
        (text,) = texts_of(self._tokenizer, [ids[-(max(map(len, self.texts)) * 4 + 8) :]])
        return text

    def _find(self, text: str) -> int:
        places = [place for each in self.texts if (place := text.find(each)) >= 0]
        return min(places, default=-1)


class Stops:
    """The texts that end a completion: special tokens by their ids, all others wherever they stand."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], *, keep: bool = False) -> None:
        marks = special_tokens(tokenizer, texts)
        rest = [text for text in texts if text not in marks]
        self.ids = tuple(marks.values())
        """Ids of the special tokens among the texts; no text of a completion contains one."""
        self.strings = StopStrings(tokenizer, rest) if rest else None
        """The other texts; None if there are none."""
        self._keep = keep

    def cut(self, text: str) -> str:
        """Return `text` up to the first of the texts, with it if the stops are kept."""
        return text if self.strings is None else self.strings.cut(text, keep=self._keep)
