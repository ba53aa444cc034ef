"""Reading the program off a completion's text.

Nothing here parses Python: that happens behind the sandbox's walls, where a text that takes the parser for ever
can be killed. What comes out is a few readings of the text, the likeliest first, of which the first that is
Python counts. The time is linear in the text, and no text raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

LONGEST = 1 << 18
"""Characters that are read of a completion; no program in an answer is longer."""

_FENCE = re.compile(r"^([ \t]{0,8})(?:```+|~~~+)([^\n]*)$", re.MULTILINE)
_PYTHON_TAGS = frozenset({"", "python", "python3", "py", "py3", "python2", "{python}", "{.python}"})
_THOUGHT = re.compile(r"\s{0,64}<think(?:ing)?>")
_THOUGHT_END = re.compile(r"</think(?:ing)?>")
_TOP = re.compile(r"^(?=(?:async |def |class |import |from |@))", re.MULTILINE)
_PROGRAM_LINE = re.compile(
    r"\s|$|#|[)\]}]|@\w|(?:async |def |class |import \w|from [\w.]+ import|if |else:|elif |try:|except|finally:"
    r"|for |while |with |return|raise |assert |pass$|del |global )|[A-Za-z_][\w.]*(?:: ?[\w\[\], .|]+)? ?[-+*/]?=[^=]"
    r"|[A-Za-z_][\w.]*\(|\"\"\"|'''"
)
_OUT = re.compile(r"^\S", re.MULTILINE)


def readings(text: str, names: Sequence[str], context: str = "") -> tuple[str, ...]:
    """Return what program `text` may stand for, the likeliest reading first; none when it holds nothing.

    The program is to define `names`. `context` is code that the prompt ends with, if it does: the text may go on
    where it breaks off, as after a signature with its docstring, or define the function anew. The text is
    the program, or Markdown with the program in a fence, or prose around it. Of several fences the last one
    that defines all of the names counts, so that a corrected version wins over a first attempt.
    """
    answer = _answer(text[:LONGEST])
    piece = _piece(answer, names)
    if not piece.strip():
        return ()
    found = _anew(piece, context) if _defines(piece, names) else _going_on(piece, context)
    return tuple(dict.fromkeys((*found, answer)))


def context_of(prompt: str, names: Sequence[str]) -> str:
    """Return the code in a prompt that an answer may go on with: none unless it begins to define a name."""
    if not _defines(prompt, names[:1]):
        return ""
    piece = next(piece for _, piece in _pieces(prompt) if _defines(piece, names[:1]))
    begin = _TOP.search(piece)
    return piece[begin.start() :] if begin else ""


def _answer(text: str) -> str:
    """Leave out what the model thought before it answered; of a thought without an end nothing remains."""
    if not _THOUGHT.match(text):
        return text
    ends = list(_THOUGHT_END.finditer(text))
    return text[ends[-1].end() :] if ends else ""


def _piece(text: str, names: Sequence[str]) -> str:
    """Choose the part of the text that holds the program."""
    pieces = _pieces(text)
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


def _pieces(text: str) -> list[tuple[str | None, str]]:
    """Split the text at fences into (tag, piece); outside a fence the tag is None."""
    pieces: list[tuple[str | None, str]] = []
    start, tag, margin = 0, None, ""
    for fence in _FENCE.finditer(text):
        if tag is not None and fence[1] != margin:
            continue  # within a docstring, say
        pieces.append((tag, text[start : fence.start()]))
        info = fence[2].strip().lower()
        start, margin = fence.end() + 1, fence[1]
        tag = info if tag is None or info else None
    pieces.append((tag, text[start:]))
    return pieces


def _defines(text: str, names: Iterable[str]) -> bool:
    """Whether each of `names` is defined at the left margin."""
    return all(
        re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b|^{re.escape(name)} ?[:=]", text, re.M)
        for name in names
    )


def _anew(piece: str, context: str) -> Iterator[str]:
    """Read a piece that defines everything itself. The context's imports and helpers may still be used."""
    for program in (piece, _without_prose(piece)):
        if context:
            yield f"{context.rstrip()}\n\n{program}"
        yield program


def _going_on(piece: str, context: str) -> Iterator[str]:
    """Read a piece that leaves something undefined: the body of the function that the context begins."""
    if context:
        start = context if context.endswith("\n") else context + "\n"
        whole = "\n".join("    " + line for line in piece.split("\n"))
        first = f"    {piece.lstrip()}"
        bodies = [first, whole]
        if piece[0].isspace():
            bodies.insert(0, piece)
        elif _OUT.search(piece, 1):  # a model left all margins out, rather than a tokenizer the first
            bodies.reverse()
        for text in bodies:
            for body in (text, _block(text)):
                if body.strip():
                    yield start + body
    else:
        yield piece
        yield _without_prose(piece)


def _block(text: str) -> str:
    """Return the lines up to the first that stands at the left margin: the rest of the function, no more."""
    out = _OUT.search(text, 1)
    return text[: out.start()] if out else text


def _without_prose(text: str) -> str:
    """Return the lines from the first that begins a definition or an import to the last that looks like code."""
    begin = _TOP.search(text)
    if begin is None:
        return text
    kept: list[str] = []
    for line in text[begin.start() :].split("\n"):
        if not _PROGRAM_LINE.match(line):
            break
        kept.append(line)
    return "\n".join(kept)
