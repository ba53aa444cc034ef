"""Extraction of the program from a completion's text.

This module does not parse Python: a text on which the parser hangs must be parsed in the sandbox, where the process
can be killed. The result is a short list of candidate programs, most likely first; the first that is valid Python
counts. The time is linear in the length of the text, and no text makes it raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

MAX_CHARACTERS = 1 << 18
"""Maximum characters of a completion that are read; no realistic program is longer."""

_FENCE = re.compile(r"^([ \t]{0,8})(?:```+|~~~+)([^\n]*)$", re.MULTILINE)
_PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3", "python2", "{python}", "{.python}"})
_THOUGHT = re.compile(r"\s{0,64}<think(?:ing)?>")
_THOUGHT_END = re.compile(r"</think(?:ing)?>")
_TOP_LEVEL = re.compile(r"^(?=(?:async |def |class |import |from |@))", re.MULTILINE)
_PROGRAM_LINE = re.compile(
    r"\s|$|#|[)\]}]|@\w|(?:async |def |class |import \w|from [\w.]+ import|if |else:|elif |try:|except|finally:"
    r"|for |while |with |return|raise |assert |pass$|del |global )|[A-Za-z_][\w.]*(?:: ?[\w\[\], .|]+)? ?[-+*/]?=[^=]"
    r"|[A-Za-z_][\w.]*\(|\"\"\"|'''"
)
_UNINDENTED = re.compile(r"^\S", re.MULTILINE)


def extract_programs(text: str, names: Sequence[str], context: str = "") -> tuple[str, ...]:
    """Return the candidate programs in `text`, most likely first; empty if there is none.

    The program must define `names`. `context` is the code at the end of the prompt, if any: the text may continue
    it, as after a signature with a docstring, or define the function itself. The text is the program, or Markdown
    with the program in a fence, or prose around the program. The last of several fences that defines all names
    counts, so that a corrected version replaces a first attempt.
    """
    answer = _answer(text[:MAX_CHARACTERS])
    piece = _select_piece(answer, names)
    if not piece.strip():
        return ()
    found = _definitions(piece, context) if _defines(piece, names) else _continuations(piece, context)
    return tuple(dict.fromkeys((*found, answer)))


def context_of(prompt: str, names: Sequence[str]) -> str:
    """Return the code in a prompt that an answer may continue; empty unless it starts to define the first name."""
    if not _defines(prompt, names[:1]):
        return ""
    piece = next(piece for _, piece in _split_at_fences(prompt) if _defines(piece, names[:1]))
    begin = _TOP_LEVEL.search(piece)
    return piece[begin.start() :] if begin else ""


def _answer(text: str) -> str:
    """Return the text without the model's leading thought; empty if the thought is not closed."""
    if not _THOUGHT.match(text):
        return text
    ends = list(_THOUGHT_END.finditer(text))
    return text[ends[-1].end() :] if ends else ""


def _select_piece(text: str, names: Sequence[str]) -> str:
    """Return the part of the text that contains the program."""
    pieces = _split_at_fences(text)
    if len(pieces) == 1:
        return text
    defining = [piece for _, piece in pieces if _defines(piece, names)]
    if defining:
        return defining[-1]
    python = [piece for tag, piece in pieces if tag in _PYTHON_TAGS]
    if _defines("\n".join(python), names):  # spread over several fences
        return "\n".join(python)
    bodies = [piece for piece in python if piece[:1].isspace() or "return" in piece]
    return [pieces[0][1], *python, *bodies][-1]


def _split_at_fences(text: str) -> list[tuple[str | None, str]]:
    """Split the text at fences into (tag, piece); outside a fence the tag is None."""
    pieces: list[tuple[str | None, str]] = []
    start, tag, margin = 0, None, ""
    for fence in _FENCE.finditer(text):
        if tag is not None and fence[1] != margin:
            continue  # a fence within a docstring, for example
        pieces.append((tag, text[start : fence.start()]))
        info = fence[2].strip().lower()
        start, margin = fence.end() + 1, fence[1]
        tag = info if tag is None or info else None
    pieces.append((tag, text[start:]))
    return pieces


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
            yield f"{context.rstrip()}\n\n{program}"
        yield program


def _continuations(piece: str, context: str) -> Iterator[str]:
    """Yield candidates for a piece that does not define all names, such as the body of the context's function."""
    if context:
        start = context if context.endswith("\n") else context + "\n"
        indented = "\n".join("    " + line for line in piece.split("\n"))
        first_indented = f"    {piece.lstrip()}"
        bodies = [first_indented, indented]
        if piece[0].isspace():
            bodies.insert(0, piece)
        elif _UNINDENTED.search(piece, 1):  # the model omitted all indentation, not the tokenizer the first
            bodies.reverse()
        for text in bodies:
            for body in (text, _first_block(text)):
                if body.strip():
                    yield start + body
    else:
        yield piece
        yield _without_prose(piece)


def _first_block(text: str) -> str:
    """Return the lines before the first unindented line, which ends the function's body."""
    end = _UNINDENTED.search(text, 1)
    return text[: end.start()] if end else text


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
