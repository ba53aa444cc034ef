"""The program in a completion, found in time linear in the text and without a compiler.

No rule can tell in every case what a model meant as its program. So the result is a short list: the compiler decides,
and the first candidate that it builds counts. A candidate never goes back to an earlier version of the program: the
last one counts, so that a correction replaces a first attempt even if the correction is broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from halo_core.programs import markdown
from halo_core.programs.languages import Language
from halo_core.programs.markdown import Piece

_CODE_SPAN = re.compile(r"`[^`\n]*`")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may be the program."""

    code: str
    """The program; it ends with a newline."""
    tags: tuple[str, ...] = ()
    """The tags of the fences that it comes from, that of its main part first."""


def extract(text: str, language: Language) -> str:
    """Return the most likely program in `text`; see `candidates`."""
    return candidates(text, language)[0].code


def candidates(text: str, language: Language) -> tuple[Candidate, ...]:
    """Return the programs that `text` may mean, most likely first, with at least one.

    `text` is the bare program, perhaps between prose, or Markdown with fenced code, whose last fence with a whole
    program counts. If that cannot be built alone, the other fences complete it. Reasoning must be removed before.
    """
    text = text.encode(errors="replace").decode()  # lone surrogates cannot be written to a file
    pieces = markdown.split(text, language)
    chosen = _choose(pieces, language)
    found = [Candidate(chosen.text, (chosen.tag,))]
    if chosen.fenced:
        found += _joined(pieces, chosen, language)
        inner = markdown.split(chosen.text, language, nested=True)
        if len(inner) > 1:
            found.append(Candidate(_choose(inner, language).text, (chosen.tag,)))
    else:
        found = [Candidate(code) for code in _trimmed(chosen.text, language)]
    return tuple(dict.fromkeys(Candidate(each.code.strip("\n") + "\n", each.tags) for each in found))


def _choose(pieces: Sequence[Piece], language: Language) -> Piece:
    """Return the piece that is the program, or its main part."""
    if len(pieces) == 1:
        return pieces[0]
    return max(enumerate(pieces), key=lambda each: (_rank(each[1], language), each[0]))[1]


def _rank(piece: Piece, language: Language) -> tuple[int, int]:
    """Return how likely it is that `piece` is the program; among equals the last one counts."""
    text = piece.text if piece.fenced else _CODE_SPAN.sub("", piece.text)
    is_program = language.is_program(text)
    excerpt = is_program and language.is_excerpt(text, entry_only=True)
    suitable = 0 if language.is_foreign(piece.tag) else 1 + language.prefers(piece.tag)
    if is_program and not excerpt:
        return (4 if piece.fenced and suitable else 3 if not piece.fenced else 2), suitable
    has_code = bool(piece.text.strip()) and language.has_code(piece.text)
    if not piece.fenced or not piece.text.strip():
        return 0, int(has_code)
    return 1, 2 * suitable + has_code + 4 * is_program


def _joined(pieces: Sequence[Piece], chosen: Piece, language: Language) -> Iterator[Candidate]:
    """Yield `chosen` together with the other fences that complete it, if there are any.

    A fence that defines something again is another version of it and stays out; later fences go first.
    """
    at = next(number for number, piece in enumerate(pieces) if piece is chosen)
    defined = language.names(chosen.text)
    parts = {at: chosen}
    for number in [*range(len(pieces) - 1, at, -1), *range(at - 1, -1, -1)]:
        piece = pieces[number]
        if not (piece.fenced and _completes(piece, language, after=number > at)):
            continue
        found = language.names(piece.text)
        if found & defined or language.is_other_program(piece.text):
            continue
        parts[number] = piece
        defined |= found
    if len(parts) > 1:
        tags = (chosen.tag, *(parts[number].tag for number in sorted(parts)))
        yield Candidate(language.join(parts[number].text for number in sorted(parts)), tags)


def _completes(piece: Piece, language: Language, *, after: bool) -> bool:
    """Return True if a fence holds a part of a program, rather than its output, a command or an excerpt."""
    if language.is_foreign(piece.tag) or language.is_plain(piece.tag) or not language.has_code(piece.text):
        return False
    return not language.is_excerpt(piece.text) and (not after or bool(language.names(piece.text)))


def _trimmed(text: str, language: Language) -> list[str]:
    """Return the code between prose in `text`, and `text` itself; `text` alone if nothing seems to be prose."""
    lines = text.split("\n")
    plain = [_CODE_SPAN.sub("", line) for line in lines]
    first = next((number for number, line in enumerate(plain) if language.starts_program(line)), None)
    if first is None:
        return [text]
    code = "\n".join(lines[first : language.code_end(text)])
    if code.strip() == text.strip() or not language.is_prose("\n".join(plain[:first])):
        return [text]
    return [code, text] if any(line.strip() for line in lines[:first]) else [text, code]
