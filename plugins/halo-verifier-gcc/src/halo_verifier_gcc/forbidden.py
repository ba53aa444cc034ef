"""Forbidden features, given as patterns that a program's code must not match.

The patterns use RE2's syntax: no backreferences and no lookaround, so a search takes time linear in the text for
any pattern and any text. They are searched in the program's own code without comments and the contents of
literals: once in the source, so that directives can be forbidden, and once in the preprocessor's output, so that
macros cannot hide anything.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

import re2  # type: ignore[import-untyped]

from halo_verifier_gcc import lexer
from halo_verifier_gcc.source import has_line_directive

_MAX_CHARACTERS = 1 << 20
"""Limit on a program's preprocessed code: one line of macros can expand to a billion characters."""
_MARKER = re.compile(r'^# \d+ "((?:\\.|[^"\\\n])*)"[^\n]*\n?', re.MULTILINE)


def problem(pattern: str) -> str:
    """Return the reason why `pattern` is invalid, or an empty string."""
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return ""


def in_source(patterns: Iterable[str], code: str) -> str:
    """Return a description of the first forbidden feature in the source `code`, or an empty string.

    A directive that sets the file name or line number is always forbidden: with one, the preprocessor's output
    does not show which code is the program's own and which a header's.
    """
    if has_line_directive(code):
        return "a directive that sets the file name or line number"
    readings = (
        text
        for spliced in lexer.spliced_variants(code)
        for text in lexer.without_comments_and_literals(spliced)
    )
    return _first_match(patterns, readings)


def in_preprocessed(patterns: Iterable[str], output: str, main: str) -> str:
    """Return a description of the first forbidden feature in the parts of `output` that come from file `main`.

    `output` is the preprocessor's. Returns an empty string if nothing in it is forbidden.
    """
    own = _own_code(output, main)
    if len(own) > _MAX_CHARACTERS:
        return "more code than can be searched"
    return _first_match(patterns, lexer.without_comments_and_literals(own))


def _own_code(output: str, main: str) -> str:
    parts, position, own = [], 0, False
    for marker in _MARKER.finditer(output):
        if own:
            parts.append(output[position : marker.start()])
        position, own = marker.end(), marker[1] == main
    return "\n".join([*parts, output[position:] if own else ""])


def _first_match(patterns: Iterable[str], texts: Iterable[str]) -> str:
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
