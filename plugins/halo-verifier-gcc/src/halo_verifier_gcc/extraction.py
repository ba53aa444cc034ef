"""The program in a completion, found in time linear in the text and without a compiler.

No rule can tell in every case what a model meant as its program. So the result is a short list: the compiler decides,
and the first candidate that it builds counts. A candidate never goes back to an earlier version of the program: the
last one counts, so that a correction replaces a first attempt even if the correction is broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from halo_verifier_gcc import definitions, languages, lexer, markdown, precompiled
from halo_verifier_gcc.languages import Language
from halo_verifier_gcc.markdown import Piece
from halo_verifier_gcc.source import Source

_MAX_CANDIDATES = 4
_QUOTED_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]*)"[^\n]*$', re.MULTILINE)
_CODE = re.compile(r"[;{}]|^[ \t]*#[ \t]*(?:include|define)\b", re.MULTILINE)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
_NOT_PROSE = re.compile(r"[;{}]|^[ \t]*(?:#|%:|\?\?=)", re.MULTILINE)
_LAST_LINE = re.compile(r"[;}]\s*$|^\s*#|\*/\s*$|^\s*//")


def extract(text: str, language: Language | None = None, *, functions: Sequence[str] = ("main",)) -> Source:
    """Return the most likely program in `text`; see `candidates`."""
    return candidates(text, language, functions=functions)[0]


def candidates(
    text: str, language: Language | None = None, *, functions: Sequence[str] = ("main",)
) -> tuple[Source, ...]:
    """Return the programs that `text` may mean, most likely first, with at least one.

    `text` is the bare program, perhaps between prose, or Markdown with fenced code, whose last fence that defines one
    of `functions` counts. If that cannot be built alone, the other fences complete it. `language` overrides the
    language given by the fence's tag or, without a tag, by the code.
    """
    text = text.encode(errors="replace").decode()  # lone surrogates cannot be written to a file
    pieces = markdown.split(text)
    chosen = _choose(pieces, language, functions)
    codes = [(chosen.text, chosen.tag)]
    if chosen.fenced:
        codes += _joined(pieces, chosen, functions)
        inner = markdown.split(chosen.text, nested=True)
        codes += [(_choose(inner, language, functions).text, chosen.tag)] if len(inner) > 1 else []
    else:
        codes = [(code, "") for code in _trimmed(chosen.text)]
    found = dict.fromkeys(
        Source(code.strip("\n") + "\n", each)
        for code, tag in codes
        for each in ((language,) if language else _languages(tag, code))
    )
    return tuple(found)[:_MAX_CANDIDATES]


def _languages(tag: str, code: str) -> tuple[Language, ...]:
    tagged = languages.of_tag(tag)
    return (tagged,) if tagged else languages.of_code(code)


def _choose(pieces: Sequence[Piece], language: Language | None, functions: Sequence[str]) -> Piece:
    """Return the piece that is the program, or its main part."""
    if len(pieces) == 1:
        return pieces[0]
    return max(enumerate(pieces), key=lambda each: (_rank(each[1], language, functions), each[0]))[1]


def _rank(piece: Piece, language: Language | None, functions: Sequence[str]) -> tuple[int, int]:
    """Return how likely it is that `piece` is the program; among equals the last one counts."""
    text = piece.text if piece.fenced else _CODE_SPAN.sub("", piece.text)
    found = definitions.functions(text)
    defining = [found[name] for name in functions if name in found]
    excerpt = any(definitions.is_excerpt(text, body) for body in defining)
    tagged = languages.of_tag(piece.tag)
    if languages.is_foreign(piece.tag):
        suitable = 0
    elif languages.is_plain(piece.tag) or (tagged and language and tagged != language):
        suitable = 1
    else:
        suitable = 2
    if defining and not excerpt:
        return (4 if piece.fenced and suitable else 3 if not piece.fenced else 2), suitable
    if not piece.fenced or not piece.text.strip():
        return 0, int(bool(piece.text.strip() and _CODE.search(piece.text)))
    return 1, 2 * suitable + bool(_CODE.search(piece.text)) + 4 * bool(defining)


def _joined(pieces: Sequence[Piece], chosen: Piece, functions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (code, tag) of `chosen` together with the other fences that complete it, if there are any.

    A fence that defines something again is another version of it and stays out; later fences go first.
    """
    at = next(number for number, piece in enumerate(pieces) if piece is chosen)
    defined = definitions.names(chosen.text)
    parts = {at: chosen}
    for number in [*range(len(pieces) - 1, at, -1), *range(at - 1, -1, -1)]:
        piece = pieces[number]
        if not (piece.fenced and _completes(piece, after=number > at)):
            continue
        found = definitions.names(piece.text)
        if found & defined or ("main" in found and "main" in functions):
            continue
        parts[number] = piece
        defined |= found
    if len(parts) == 1:
        return
    code = "\n".join(parts[number].text for number in sorted(parts))
    tags = [languages.of_tag(piece.tag) for piece in parts.values()]
    yield _without_own_includes(code), "c++" if "c++" in tags else chosen.tag


def _completes(piece: Piece, *, after: bool) -> bool:
    """Return True if a fence holds a part of a program, rather than its output, a command or an excerpt."""
    if languages.is_foreign(piece.tag) or languages.is_plain(piece.tag) or not _CODE.search(piece.text):
        return False
    bodies = definitions.functions(piece.text).values()
    if any(definitions.is_excerpt(piece.text, body) for body in bodies or (0,)):
        return False
    return bool(definitions.names(piece.text)) if after else True


def _without_own_includes(code: str) -> str:
    """Return `code` without includes of the program's other files, which are part of `code` itself."""
    return _QUOTED_INCLUDE.sub(lambda found: found[0] if precompiled.is_standard(found[1]) else "", code)


def _trimmed(text: str) -> list[str]:
    """Return the code between prose in `text`, and `text` itself; `text` alone if nothing seems to be prose."""
    lines = text.split("\n")
    plain = [_CODE_SPAN.sub("", line) for line in lines]
    first = next((number for number, line in enumerate(plain) if markdown.looks_like_code(line)), None)
    if first is None:
        return [text]
    masked = lexer.masked(text)
    end = max(masked.rfind("}"), masked.rfind("%>"))
    last = masked.count("\n", 0, end if end >= 0 else max(0, masked.rfind(";"))) + 1
    while last < len(lines) and (_LAST_LINE.search(lines[last]) or not lines[last].strip()):
        last += 1
    code = "\n".join(lines[first:last])
    if code.strip() == text.strip() or _NOT_PROSE.search("\n".join(plain[:first])):
        return [text]
    return [code, text] if any(line.strip() for line in lines[:first]) else [text, code]
