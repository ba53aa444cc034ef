"""Extraction of the program from a completion's text.

This module does not parse Python: a text on which the parser hangs must be parsed in the sandbox, where the process
can be killed. The result is a short list of candidate programs, most likely first; the first that is valid Python
and defines what it uses counts. The time is linear in the length of the text, and no text makes it raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from halo_verifier_pytest import fences
from halo_verifier_pytest.starters import completed, continued

MAX_CHARACTERS = 1 << 18
"""Maximum characters of a completion's answer that are read; no realistic program is longer."""

_PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3", "python2"})
_NAMES = r"[\w.]+(?: as \w+)?(?:, ?[\w.]+(?: as \w+)?){0,50}"
_TOP_LEVEL = re.compile(
    rf"^(?=(?:async )?def \w+ ?[(\[]|class \w+ ?[(:\[]|import {_NAMES}\s*(?:[#;]|$)|@[\w.]+(?:\(.*)?$"
    rf"|from [\w.]+ import (?:\(|\*|{_NAMES},?\s*(?:[#;\\]|$)))",
    re.MULTILINE,
)
_STARTER = re.compile(rf"{_TOP_LEVEL.pattern}|^[A-Za-z_]\w* = ", re.MULTILINE)
_PROGRAM_LINE = re.compile(
    r"\s|$|#|[)\]}]|@\w|(?:async |def |class |import \w|from [\w.]+ import|if |else:|elif |try:|except|finally:"
    r"|for |while |with |return|raise |assert |pass$|del |global )|[A-Za-z_][\w.]*(?:: ?[\w\[\], .|]+)? ?[-+*/]?=[^=]"
    r"|[A-Za-z_][\w.]*\(|\"\"\"|'''"
)
_BLOCK = re.compile(rf"{_TOP_LEVEL.pattern[1:]}|[A-Za-z_]\w*(?:: ?[\w\[\], .|]+)? ?=[^=]|#|[)\]}}]")


def extract_programs(text: str, names: Sequence[str], context: str = "") -> tuple[str, ...]:
    """Return the candidate programs in `text`, most likely first; empty if there is none.

    The program must define `names`. `context` is the code at the end of the prompt, if any: the text may continue
    it, as after a signature with a docstring, or define the function itself. The text is the program, or Markdown
    with the program in a fence, or prose around the program. The last of several fences that defines all names
    counts, so that a corrected version replaces a first attempt; the fences before it are added if it uses what they
    define.
    """
    answer = text[:MAX_CHARACTERS].replace("\n\ufeff", "\n").removeprefix("\ufeff")  # a byte order mark
    found: dict[str, None] = {}
    clear = False
    for glued in (False, True) if fences.may_be_glued(answer) else (False,):
        pieces = fences.split(answer, glued=glued)
        for piece in _select_pieces(pieces, answer, names):
            if piece.strip():
                defined = _defines(piece, names)
                clear = clear or (defined and len(pieces) > 1)
                candidates = _definitions if defined or not context else continued
                found |= dict.fromkeys(candidates(piece, context))
    if not found:
        return ()
    others = () if clear else _last_resorts(answer, names, context)
    return tuple(dict.fromkeys((*found, answer, *others)))


def context_of(prompt: str, names: Sequence[str]) -> str:
    """Return the code in a prompt that an answer may continue; empty unless it starts to define the first name."""
    if not _defines(prompt, names[:1]):
        pieces = [
            piece for piece in fences.split(prompt) if piece.tag in _PYTHON_TAGS and piece.tag is not None
        ]
        return next((piece.text for piece in pieces if _defines(piece.text, names[:1])), "")
    for piece in fences.split(prompt):
        if _defines(piece.text, names[:1]):
            begin = _STARTER.search(piece.text)
            return piece.text if piece.tag is not None or begin is None else piece.text[begin.start() :]
    return ""


def _select_pieces(pieces: Sequence[fences.Piece], answer: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the parts of the text that can be the program, most likely first."""
    if len(pieces) == 1:
        yield answer if pieces[0].tag is None else pieces[0].text
        return
    defining = [number for number, piece in enumerate(pieces) if _defines(piece.text, names)]
    python = [piece.text for piece in pieces if piece.tag in _PYTHON_TAGS]
    if defining:
        last = defining[-1]
        chosen = pieces[last].text
        yield chosen
        before = [n for n in range(last) if pieces[n].tag in _PYTHON_TAGS]
        helpers = [pieces[n].text for n in before if n not in defining]
        if helpers:
            yield "\n\n".join([*helpers, chosen])
        if len(helpers) < len(before):
            yield "\n\n".join([*(pieces[n].text for n in before), chosen])
        after = [piece.text for piece in pieces[last + 1 :] if piece.tag in _PYTHON_TAGS]
        if after:
            yield "\n\n".join([*helpers, chosen, *after])
    elif _defines("\n".join(python), names):  # spread over several fences
        yield "\n".join(python)
    else:
        bodies = [piece for piece in python if piece[:1].isspace() or "return" in piece]
        yield [pieces[0].text, *python, *bodies][-1]


def _defines(text: str, names: Iterable[str]) -> bool:
    """Return True if `text` defines each of `names` without indentation."""
    return all(
        re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b|^{re.escape(name)} ?[:=]", text, re.M)
        for name in names
    )


def _definitions(piece: str, context: str) -> Iterator[str]:
    """Yield candidates for a piece that defines all names; it may still use the context's imports and helpers."""
    for program in (piece, _without_prose(piece)):
        if context:
            yield f"{completed(context)}\n\n{program}"
        yield program


def _last_resorts(answer: str, names: Sequence[str], context: str) -> Iterator[str]:
    """Yield what is left of the text without indentation, or without the prose between its definitions."""
    start = f"{completed(context)}\n\n" if context else ""
    dedented = _dedented(answer)
    if dedented != answer and names and _defines(dedented, names):
        yield start + dedented
    blocks = _blocks(dedented)
    if blocks and names and _defines(blocks, names):
        yield start + blocks


def _dedented(text: str) -> str:
    """Return the text, or its single fence, without the indentation that all its lines have."""
    inside = [
        piece.text for piece in fences.split(text) if piece.tag in _PYTHON_TAGS and piece.tag is not None
    ]
    lines = (inside[-1] if inside else text).split("\n")
    width = min((len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()), default=0)
    return "\n".join(line[width:] for line in lines)


def _blocks(text: str) -> str:
    """Return the definitions, imports and assignments at module level, without the prose between them."""
    kept: list[str] = []
    keep = False
    for line in text.split("\n"):
        if line[:1] not in ("", " ", "\t", "\r"):
            keep = _BLOCK.match(line) is not None
        if keep:
            kept.append(line)
    return "\n".join(kept)


def _without_prose(text: str) -> str:
    """Return the lines from the first definition or import up to the first line that does not look like code."""
    begin = _TOP_LEVEL.search(text)
    if begin is None:
        return text
    kept: list[str] = []
    for line in text[begin.start() :].split("\n"):
        if not _PROGRAM_LINE.match(line):
            break
        kept.append(line)
    return "\n".join(kept)
