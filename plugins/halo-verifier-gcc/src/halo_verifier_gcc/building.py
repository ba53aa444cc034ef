"""From source to program, in the sandbox: the compiler is never run anywhere else.

What is run later is built in one workspace and run in another, so that it never meets sources.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_verifier_gcc import precompiled
from halo_verifier_gcc.precompiled import HEADER, NO_PRAGMA, PRECOMPILED, SHELF, Precompiled
from halo_verifier_gcc.source import Language, Source

_MIB = 1 << 20
_PROCESSES = 16
"""The driver, the compiler proper, the assembler, the linker and its plugins, with room to spare."""
_MOST_BYTES = 64 * _MIB
PROGRAM = "program"
LIBRARY = "libsample.so"
PREPROCESSED = "preprocessed"
_EXPORTS = "exports.map"
_LINKING = (b"undefined reference", b"ld.gold", b"collect2", b"linker")
_MATHEMATICAL = ("math", "complex", "fenv")
"""What the headers of libm have in their names. Whoever goes without them is found out by the linker."""
_MAIN_FILE: dict[Language, str] = {"c": "main.c", "c++": "main.cpp"}


@dataclass(frozen=True, slots=True)
class Build:
    """How the compiler fared, and what it made."""

    outcome: sandbox.Outcome
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Name and contents of what was made; empty when it was not."""
    missing: str = ""
    """Functions that it should have defined."""


@dataclass(frozen=True, slots=True)
class Builder:
    """A compiler with its flags and limits."""

    compiler: str
    standard: str
    flags: str
    precompile: bool
    cpu_seconds: float
    memory_mib: int

    def program(self, source: Source) -> Build:
        """Build a whole program."""
        return self._build(source, ["-o", PROGRAM], [PROGRAM])

    def library(self, source: Source, exports: Iterable[str]) -> Build:
        """Build a library that offers the functions named in `exports`, as the linker knows them.

        Whatever else the source defines, `main` or `printf` say, is its own affair: nothing outside of the
        library is ever bound to it.
        """
        listing = "{ global: " + "".join(f'"{name}"; ' for name in exports) + "local: *; };\n"
        script = f"-Wl,--version-script={_EXPORTS},-z,defs,-soname,{LIBRARY}"
        what = ["-shared", "-fPIC", script, "-o", LIBRARY]
        return self._build(source, what, [LIBRARY], {_EXPORTS: listing.encode()})

    def harness_object(self, source: Source) -> Build:
        """Compile a translation unit by itself."""
        return self._build(source, ["-c", "-o", "harness.o"], ["harness.o"])

    def harness_program(self, harness: bytes, language: Language, functions: Iterable[str]) -> Build:
        """Link a compiled harness into a program that finds `functions` in `LIBRARY` when it is started."""
        stub = "".join(f'.globl "{f}"\n.type "{f}",%function\n"{f}":\n' for f in functions)
        files = {
            "stub.s": f'.text\n{stub}.section .note.GNU-stack,"",%progbits\n'.encode(),
            "harness.o": harness,
        }
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            made = self._run(space, ["-shared", f"-Wl,-soname,{LIBRARY}", "-o", LIBRARY, "stub.s"])
            if not made.ok:
                return Build(made)
            linked = self._run(
                space, ["-o", PROGRAM, "harness.o", LIBRARY, "-Wl,-rpath,.", *_libraries(language)]
            )
            return _collect(space, linked, [PROGRAM])

    def preprocessed(self, source: Source) -> tuple[Build, str]:
        """Return what the preprocessor makes of `source`, and the name that its line markers have for it."""
        name = _MAIN_FILE[source.language]
        with sandbox.get().workspace() as space:
            self._place(space, source)
            what = ["-imacros", NO_PRAGMA[0], "-E", "-o", PREPROCESSED, name]
            outcome = self._run(space, [*self._switches(source.language), *what])
            return _collect(space, outcome, [PREPROCESSED]), name

    def _build(
        self, source: Source, what: Sequence[str], made: list[str], files: Mapping[str, bytes] | None = None
    ) -> Build:
        """Build by the quickest way there is; if that fails for reasons of its own, by the plain way."""
        headers = self._headers(source, ["-fPIC"] if "-fPIC" in what else [])
        plain = [] if "-c" in what else _libraries(source.language)
        quick = self._quick_link(source, plain) if plain else []
        build = self._compile(source, what, made, files or {}, headers, quick)
        said = build.outcome.stderr
        doubtful = build.outcome.stderr_truncated or any(word in said for word in _LINKING)
        if not build.files and ((headers and headers.unusable(said)) or (quick != plain and doubtful)):
            return self._compile(source, what, made, files or {}, None, plain)
        return build

    def _quick_link(self, source: Source, plain: list[str]) -> list[str]:
        """Return what links in two thirds of the time: another linker, and no library that is not needed."""
        gold = "-fuse-ld" not in self.flags and shutil.which("ld.gold")
        mathematical = source.language == "c++" or any(word in source.code for word in _MATHEMATICAL)
        return [*(["-fuse-ld=gold"] if gold else []), *(plain if mathematical else [])]

    def _compile(
        self,
        source: Source,
        what: Sequence[str],
        made: list[str],
        files: Mapping[str, bytes],
        headers: Precompiled | None,
        link: Sequence[str],
    ) -> Build:
        before = ["-include", headers.header] if headers else ["-imacros", NO_PRAGMA[0]]
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            main = self._place(space, source)
            arguments = [*self._switches(source.language), *before, *what, main, *link]
            outcome = self._run(space, arguments, readable=[headers.directory] if headers else [])
            return _collect(space, outcome, made)

    def _headers(self, source: Source, position: list[str]) -> Precompiled | None:
        if not self.precompile or source.language != "c++":
            return None
        wanted = precompiled.leading_headers(source.code)
        key = (self, *position)
        try:
            return SHELF.find(key, wanted, lambda at: self._precompile(at, position)) if wanted else None
        except OSError:  # no room for it, say
            return None

    def _precompile(self, place: Path, position: list[str]) -> bytes:
        """Precompile the header in `place`. One that warns is no good: nobody would hear it the next time."""
        what = ["-x", "c++-header", "-o", PRECOMPILED, str(place / HEADER)]
        with sandbox.get().workspace() as space:
            outcome = self._run(
                space,
                [*self._switches("c++")[2:], *position, *what],
                readable=[place],
                file_bytes=precompiled.MOST_BYTES,
            )
            if not outcome.ok or outcome.stderr:
                return b""
            return space.read(PRECOMPILED, max_bytes=precompiled.MOST_BYTES)

    def _place(self, space: sandbox.Workspace, source: Source) -> str:
        name = _MAIN_FILE[source.language]
        space.write(*NO_PRAGMA)
        space.write(name, source.code.encode(errors="replace"))
        return name

    def _switches(self, language: Language) -> list[str]:
        """Return what makes it this language: `-x` and its name first."""
        cpp = language == "c++"
        standard = [f"-std={self.standard}"] if self.standard and ("++" in self.standard) == cpp else []
        return ["-x", language, *standard, *shlex.split(self.flags)]

    def _run(
        self,
        space: sandbox.Workspace,
        arguments: Sequence[str],
        *,
        readable: Sequence[Path] = (),
        file_bytes: int = 16 * _MIB,
    ) -> sandbox.Outcome:
        path = shutil.which(self.compiler)
        if path is None:
            raise SandboxError(f"compiler {self.compiler!r} not found")
        limits = sandbox.Limits(
            cpu_seconds=self.cpu_seconds,
            memory_bytes=self.memory_mib * _MIB,
            processes=_PROCESSES,
            file_bytes=file_bytes,
        )
        return space.run([path, *arguments], limits=limits, writable=True, toolchain=True, readable=readable)


def _libraries(language: Language) -> list[str]:
    return ["-x", "none", *(["-lstdc++"] if language == "c++" else []), "-lm"]


def _collect(space: sandbox.Workspace, outcome: sandbox.Outcome, made: list[str]) -> Build:
    if not outcome.ok:
        return Build(outcome)
    return Build(outcome, {name: space.read(name, max_bytes=_MOST_BYTES) for name in made})
