"""Features that a program must not use, as patterns that its code must not match.

Patterns are RE2's: no backreferences and no lookaround, and a search takes time linear in the text, whatever
the pattern and however the text was made. They are held against the program's own code, comments and the
contents of literals left out: as it was written, so that directives can be forbidden, and once more as the
preprocessor leaves it, so that macros hide nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import re2  # type: ignore[import-untyped]

from halo_verifier_gcc import lexer
from halo_verifier_gcc.source import renames_lines

_MOST = 1 << 20
"""Characters that macros may make of a program: it takes them a line to make a billion."""
_MARKER = re.compile(r'^# \d+ "((?:\\.|[^"\\\n])*)"[^\n]*\n?', re.MULTILINE)


def problem(pattern: str) -> str:
    """Say why `pattern` cannot be used; empty when it can."""
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return ""


def in_source(patterns: Iterable[str], code: str) -> str:
    """Say what in `code`, as it was written, is forbidden; empty when nothing is.

    Where anything is forbidden, so are directives that rename lines: the preprocessor's output could not be
    told from that of a header.
    """
    if renames_lines(code):
        return "a directive that renames lines"
    return _found(patterns, (text for spliced in lexer.splicings(code) for text in lexer.bare(spliced)))


def in_preprocessed(patterns: Iterable[str], output: str, main: str) -> str:
    """Say what is forbidden in those parts of the preprocessor's `output` that come from the file `main`."""
    own = _own(output, main)
    return "more code than can be searched" if len(own) > _MOST else _found(patterns, lexer.bare(own))


def _own(output: str, main: str) -> str:
    parts, position, own = [], 0, False
    for marker in _MARKER.finditer(output):
        if own:
            parts.append(output[position : marker.start()])
        position, own = marker.end(), marker[1] == main
    return "\n".join([*parts, output[position:] if own else ""])


def _found(patterns: Iterable[str], texts: Iterable[str]) -> str:
    patterns = tuple(patterns)
    for text in texts:
        for pattern in patterns:
            if match := _compiled(pattern).search(text):
                return f"{match[0][:80]!r} ({pattern})"
    return ""


@functools.lru_cache(256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)
