"""The programs that a completion may mean, with their language. The rules are those of `halo_core.programs`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from halo_core import programs
from halo_core.programs import Candidate
from halo_verifier_gcc import definitions, languages, lexer, precompiled
from halo_verifier_gcc.languages import Language
from halo_verifier_gcc.source import Source

_MAX_CANDIDATES = 4
_QUOTED_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]*)"[^\n]*$', re.MULTILINE)
_CODE = re.compile(r"[;{}]|^[ \t]*#[ \t]*(?:include|define)\b", re.MULTILINE)
_NOT_PROSE = re.compile(r"[;{}]|^[ \t]*(?:#|%:|\?\?=)", re.MULTILINE)
_END = re.compile(r"(?:[;}]|%>)\s*$")
_LAST_LINE = re.compile(r"[;}]\s*$|^\s*#|\*/\s*$|^\s*//")


def extract(text: str, language: Language | None = None, *, functions: Sequence[str] = ("main",)) -> Source:
    """Return the most likely program in `text`; see `candidates`."""
    return candidates(text, language, functions=functions)[0]


def candidates(
    text: str, language: Language | None = None, *, functions: Sequence[str] = ("main",)
) -> tuple[Source, ...]:
    """Return the programs that `text` may mean, most likely first, with at least one.

    A whole program is one that defines one of `functions`. `language` overrides the language given by the fence's tag
    or, without a tag, by the code.
    """
    found = dict.fromkeys(
        Source(candidate.code, each)
        for candidate in programs.candidates(text, _CFamily(wanted=language, functions=tuple(functions)))
        for each in ((language,) if language else _languages(candidate))
    )
    return tuple(found)[:_MAX_CANDIDATES]


def _languages(candidate: Candidate) -> tuple[Language, ...]:
    """Return the languages in which to compile a candidate. A part in C++ makes the whole C++."""
    tags = [languages.of_tag(tag) for tag in candidate.tags]
    if len(tags) > 1 and "c++" in tags:
        return ("c++",)
    return (tags[0],) if tags and tags[0] else languages.of_code(candidate.code)


@dataclass(frozen=True)
class _CFamily(programs.Language):
    """C and C++."""

    name: str = "C"
    tags: tuple[str, ...] = ()
    first_line: str = languages.FIRST_LINE
    wanted: Language | None = None
    """The only language of the task."""
    functions: tuple[str, ...] = ("main",)
    """A whole program defines one of these."""

    def is_own(self, tag: str) -> bool:
        return languages.of_tag(tag) is not None

    def prefers(self, tag: str) -> bool:
        tagged = languages.of_tag(tag)
        return super().prefers(tag) and not (tagged and self.wanted and tagged != self.wanted)

    def has_code(self, text: str) -> bool:
        return bool(_CODE.search(text))

    def is_program(self, text: str) -> bool:
        return not definitions.functions(text).keys().isdisjoint(self.functions)

    def is_other_program(self, text: str) -> bool:
        return "main" in self.functions and "main" in definitions.names(text)

    def is_excerpt(self, text: str, *, entry_only: bool = False) -> bool:
        found = definitions.functions(text)
        bodies = [body for name, body in found.items() if not entry_only or name in self.functions]
        return any(definitions.is_excerpt(text, body) for body in bodies or (0,))

    def names(self, code: str) -> set[str]:
        return definitions.names(code)

    def masked(self, code: str) -> str:
        return lexer.masked(code)

    def ends_in_text(self, code: str) -> bool:
        return lexer.ends_in_text(code)

    def is_prose(self, text: str) -> bool:
        return not _NOT_PROSE.search(text)

    def code_end(self, text: str) -> int:
        lines, masked = text.split("\n"), lexer.masked(text)
        ends = [number for number, line in enumerate(masked.split("\n"), 1) if _END.search(line)]
        end = max(masked.rfind("}"), masked.rfind("%>"))
        last = ends[-1] if ends else masked.count("\n", 0, end if end >= 0 else max(0, masked.rfind(";"))) + 1
        while last < len(lines) and (_LAST_LINE.search(lines[last]) or not lines[last].strip()):
            last += 1
        return last

    def join(self, parts: Iterable[str]) -> str:
        """Join `parts` without includes of the program's other files, which are parts themselves."""
        code = super().join(parts)
        return _QUOTED_INCLUDE.sub(lambda each: each[0] if precompiled.is_standard(each[1]) else "", code)
