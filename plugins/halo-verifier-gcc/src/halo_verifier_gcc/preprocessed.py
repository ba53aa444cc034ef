"""The preprocessor's output, divided into the program's own code and that of system headers."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from halo_verifier_gcc import headers
from halo_verifier_gcc.precompiled import NO_PRAGMA

_MARKER = re.compile(r'\n#[ \t]+\d+[ \t]+"((?:\\.|[^"\\\n])*)"[^\n]*')
"""A line marker with the line break before it: what starts with literal text is found much faster."""
_PSEUDO = re.compile(r"<[\w -]+>")


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """The code of a translation unit after preprocessing, with its own include directives."""

    own: str
    system: str
    alien: str = ""
    """Name of a file that is neither the program's nor a system header."""


def read(output: str, main: str, directories: tuple[str, ...]) -> Preprocessed:
    """Divide the preprocessor's `output` at its line markers.

    Code belongs to a system header only if its file lies in one of `directories`: what the program includes from
    elsewhere, above all itself under another name, is its own code.
    """
    parts: dict[str, list[str]] = {"own": [], "system": []}
    kinds: dict[str, str] = {}
    output = f"\n{output}"
    position, kind = 0, "own"
    for marker in _MARKER.finditer(output):
        parts[kind].append(output[position : marker.start()])
        name = marker[1]
        if name not in kinds:
            kinds[name] = _kind(name, main, directories)
        if not kinds[name]:
            return Preprocessed("", "", alien=name)
        position, kind = marker.end(), kinds[name]
    parts[kind].append(output[position:])
    return Preprocessed("\n".join(parts["own"]), "\n".join(parts["system"]))


@functools.lru_cache(maxsize=4096)
def _kind(name: str, main: str, directories: tuple[str, ...]) -> str:
    if Path(os.path.normpath(name)).name == main and not headers.is_system(name, directories):
        return "own"
    if (
        _PSEUDO.fullmatch(name)
        or os.path.normpath(name) == NO_PRAGMA[0]
        or headers.is_system(name, directories)
    ):
        return "system"
    return ""
