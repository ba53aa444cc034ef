"""The overlap of training prompts with evaluation sets: a model must not be measured on what it was trained on.

A text of an evaluation set counts as contaminated if runs of `words` consecutive words that it shares with training
prompts cover at least `share` of its words, case and punctuation ignored (as the dirty samples of Llama 2, Touvron et
al. 2023, arXiv 2307.09288, with words for tokens). A text that has fewer words counts if all of it is a training
prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halo_core.types import Prompt

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """The overlap of the training prompts with one evaluation set."""

    name: str
    texts: int
    """Texts in the set."""
    found: tuple[tuple[int, str], ...]
    """The contaminated ones: their number in the set, from 1, and the id of the training prompt with most in common."""

    def __str__(self) -> str:
        first = ", ".join(f"{number} ({prompt!r})" for number, prompt in self.found[:3])
        more = ", ..." if len(self.found) > 3 else ""
        return (
            f"{len(self.found)} of the {self.texts} texts of evaluation set {self.name!r} are in the training prompts: "
            f"{first}{more}"
        )


def overlap(
    prompts: Sequence[Prompt], name: str, texts: Iterable[str], *, words: int, share: float
) -> Overlap:
    """Return the overlap of training `prompts` with the texts of the evaluation set `name`."""
    runs: dict[tuple[str, ...], str] = {}
    whole: dict[tuple[str, ...], str] = {}
    for prompt in prompts:
        own = _words(text_of(prompt))
        whole.setdefault(own, prompt.id)
        for start in range(len(own) - words + 1):
            runs.setdefault(own[start : start + words], prompt.id)
    found, count = [], 0
    for number, text in enumerate(texts, 1):
        count = number
        if match := _match(_words(text), runs, whole, words=words, share=share):
            found.append((number, match))
    return Overlap(name, count, tuple(found))


def text_of(prompt: Prompt) -> str:
    """Return the text of the user's turns, or of a prompt without turns."""
    own = [message["content"] for message in prompt.messages if message["role"] == "user"]
    return "\n".join(own) if own else prompt.text


def _match(
    own: tuple[str, ...],
    runs: dict[tuple[str, ...], str],
    whole: dict[tuple[str, ...], str],
    *,
    words: int,
    share: float,
) -> str:
    """Return the id of the training prompt that covers most of `own`, if enough is covered; else ""."""
    if len(own) < words:
        return whole.get(own, "")
    covered, by_prompt = set(), dict[str, int]()
    for start in range(len(own) - words + 1):
        if prompt := runs.get(own[start : start + words]):
            covered |= set(range(start, start + words))
            by_prompt[prompt] = by_prompt.get(prompt, 0) + 1
    if not covered or len(covered) < share * len(own):
        return ""
    return max(by_prompt, key=lambda prompt: by_prompt[prompt])


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))
