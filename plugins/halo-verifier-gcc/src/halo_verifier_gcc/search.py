"""The search of a program for forbidden features, with the compiler's help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo_core.programs import interruption
from halo_verifier_gcc import building, elf, forbidden, preprocessed
from halo_verifier_gcc.building import OBJECT, PREPROCESSED, Build, Builder
from halo_verifier_gcc.preprocessed import Preprocessed
from halo_verifier_gcc.source import Source


@dataclass(frozen=True, slots=True)
class Found:
    """The first forbidden feature; empty if there is none."""

    feature: str = ""
    inconclusive: bool = False
    """The machine kept the compiler from ending; `feature` is the reason."""


class _UnreadableError(Exception):
    def __init__(self, found: Found) -> None:
        self.found = found


@dataclass(frozen=True, slots=True)
class Search:
    """The search of a program that can be built for `patterns`."""

    patterns: Sequence[str]
    builder: Builder
    source: Source
    exports: Sequence[str]
    """The linker symbols that it exports as a library."""

    def find(self) -> Found:
        """Search the source, the preprocessor's output and, if they do not show all names, the object's symbols."""
        if found := forbidden.in_source(self.patterns, self.source):
            return Found(found)
        try:
            return Found(self._find_in_builds())
        except _UnreadableError as error:
            return error.found

    def _find_in_builds(self) -> str:
        directories = self.builder.header_directories(self.source.language)
        code = self._preprocessed(self.source)
        found = forbidden.in_preprocessed(self.patterns, code, directories, self.source.language)
        if not found and (plain := forbidden.pristine(self.source, code, directories)):
            found = forbidden.in_headers(self.patterns, code, self._preprocessed(plain))
        if not found and forbidden.names_functions_in_strings(code.own):
            build = self.builder.object(self.source, self.exports)
            found = forbidden.in_symbols(self.patterns, elf.undefined(_file(build, OBJECT)))
        return found

    def _preprocessed(self, source: Source) -> Preprocessed:
        build = self.builder.preprocessed(source, self.exports)
        output = _file(build, PREPROCESSED).decode(errors="replace")
        directories = self.builder.header_directories(source.language)
        return preprocessed.read(output, building.MAIN_FILE[source.language], directories)


def _file(build: Build, name: str) -> bytes:
    """Return an output file. Raises an `_UnreadableError` if the build failed."""
    outcome = build.outcome
    if outcome.inconclusive:
        raise _UnreadableError(Found(f"the compiler {interruption(outcome)}", inconclusive=True))
    if not build.files and any(text in outcome.stderr for text in building.KILLED):
        raise _UnreadableError(Found("the compiler was killed by another process", inconclusive=True))
    if not build.files:
        raise _UnreadableError(Found("code that cannot be preprocessed within the compiler's limits"))
    return build.files[name]
