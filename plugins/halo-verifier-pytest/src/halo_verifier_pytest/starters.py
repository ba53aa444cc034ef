"""Starter code at the end of a prompt, and answers that continue it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_UNINDENTED = re.compile(r"^\S", re.MULTILINE)
_LAST_DEF = re.compile(r"^([ \t]*)(?:async )?def (\w+)", re.MULTILINE)
_MAX_SIGNATURE = 10_000
"""Maximum characters of starter code after its last `def`."""


def completed(context: str) -> str:
    """Return starter code as valid Python: a signature without a body gets one."""
    context = context.rstrip()
    lines = [
        line for line in context[-_MAX_SIGNATURE:].split("\n") if line.strip() and line.lstrip()[:1] != "#"
    ]
    last = lines[-1] if lines else ""
    if not re.sub(r"\s*#[^\"'\n]*$", "", last).endswith(":"):
        return context
    return f"{context}\n{_margin_of(last)}    pass"


def continued(piece: str, context: str) -> Iterator[str]:
    """Yield candidates for a piece that does not define all names, such as the body of the context's function."""
    start = context if context.endswith("\n") else context + "\n"
    signature = _last_signature(context)
    margin = signature[1] if signature else ""
    if signature and margin and re.search(rf"^[ \t]*(?:async )?def {signature[2]}\b", piece, re.MULTILINE):
        yield start[: signature.start()] + _indent(_dedent(piece), margin)  # the method without its class
    indented = _indent(piece, margin + "    ")
    first_indented = f"{margin}    {piece.lstrip()}"
    bodies = [first_indented, indented]
    if piece[0].isspace():
        bodies.insert(0, piece)
    elif _UNINDENTED.search(piece, 1):  # the model omitted all indentation, not the tokenizer the first
        bodies.reverse()
    for text in bodies:
        for body in (text, _first_block(text)):
            if body.strip():
                yield start + body


def _last_signature(context: str) -> re.Match[str] | None:
    found = list(_LAST_DEF.finditer(context))
    return found[-1] if found else None


def _margin_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _dedent(text: str) -> str:
    lines = text.split("\n")
    width = min((len(_margin_of(line)) for line in lines if line.strip()), default=0)
    return "\n".join(line[width:] for line in lines)


def _indent(text: str, margin: str) -> str:
    return "\n".join(margin + line if line.strip() else line for line in text.split("\n"))


def _first_block(text: str) -> str:
    """Return the lines before the first unindented line, which ends the function's body."""
    end = _UNINDENTED.search(text, 1)
    return text[: end.start()] if end else text
