"""Compilation and linking in the sandbox; the compiler never runs anywhere else.

A program is built in one workspace and run in another, so that it cannot read any source.
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
from halo_verifier_gcc.precompiled import HEADER, HEADERS, NO_PRAGMA, PRECOMPILED, Precompiled
from halo_verifier_gcc.source import Language, Source

_MIB = 1 << 20
_PROCESSES = 16
"""Limit for one compilation: driver, compiler proper, assembler, linker and its plugins, with room to spare."""
_MAX_OUTPUT_BYTES = 64 * _MIB
PROGRAM = "program"
LIBRARY = "libsample.so"
PREPROCESSED = "preprocessed"
_EXPORTS = "exports.map"
_LINKER_ERRORS = (b"undefined reference", b"ld.gold", b"collect2", b"linker")
_MATH_HEADERS = ("math", "complex", "fenv")
"""Parts of the names of libm's headers. A program that uses libm without them fails in the fast link and is linked
again with libm."""
_MAIN_FILE: dict[Language, str] = {"c": "main.c", "c++": "main.cpp"}


@dataclass(frozen=True, slots=True)
class Build:
    """The compiler's outcome and output files."""

    outcome: sandbox.Outcome
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Output files by name; empty after a failure."""
    missing: str = ""
    """Required functions that the source does not define."""


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
        """Build a shared library that exports only the functions named in `exports`, given as linker symbols.

        Anything else that the source defines, such as `main` or `printf`, stays private: nothing outside the
        library is bound to it.
        """
        listing = "{ global: " + "".join(f'"{name}"; ' for name in exports) + "local: *; };\n"
        script = f"-Wl,--version-script={_EXPORTS},-z,defs,-soname,{LIBRARY}"
        arguments = ["-shared", "-fPIC", script, "-o", LIBRARY]
        return self._build(source, arguments, [LIBRARY], {_EXPORTS: listing.encode()})

    def harness_object(self, source: Source) -> Build:
        """Compile a translation unit without linking it."""
        return self._build(source, ["-c", "-o", "harness.o"], ["harness.o"])

    def harness_program(self, harness: bytes, language: Language, functions: Iterable[str]) -> Build:
        """Link a compiled harness into a program that loads `functions` from `LIBRARY` when it starts."""
        stub = "".join(f'.globl "{f}"\n.type "{f}",%function\n"{f}":\n' for f in functions)
        files = {
            "stub.s": f'.text\n{stub}.section .note.GNU-stack,"",%progbits\n'.encode(),
            "harness.o": harness,
        }
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            library = self._run(space, ["-shared", f"-Wl,-soname,{LIBRARY}", "-o", LIBRARY, "stub.s"])
            if not library.ok:
                return Build(library)
            program = self._run(
                space, ["-o", PROGRAM, "harness.o", LIBRARY, "-Wl,-rpath,.", *_libraries(language)]
            )
            return _collect(space, program, [PROGRAM])

    def preprocessed(self, source: Source) -> tuple[Build, str]:
        """Return the preprocessed `source`, and the name by which its line markers refer to `source`."""
        name = _MAIN_FILE[source.language]
        with sandbox.get().workspace() as space:
            _write_source(space, source)
            arguments = ["-imacros", NO_PRAGMA[0], "-E", "-o", PREPROCESSED, name]
            outcome = self._run(space, [*self._language_flags(source.language), *arguments])
            return _collect(space, outcome, [PREPROCESSED]), name

    def _build(
        self,
        source: Source,
        arguments: Sequence[str],
        outputs: list[str],
        files: Mapping[str, bytes] | None = None,
    ) -> Build:
        """Build with the fast options; repeat the build without them if they may have caused a failure."""
        headers = self._headers(source, ["-fPIC"] if "-fPIC" in arguments else [])
        plain = [] if "-c" in arguments else _libraries(source.language)
        fast = self._fast_link(source, plain) if plain else []
        build = self._compile(source, arguments, outputs, files or {}, headers, fast)
        stderr = build.outcome.stderr
        may_be_linker = build.outcome.stderr_truncated or any(text in stderr for text in _LINKER_ERRORS)
        if not build.files and ((headers and headers.unusable(stderr)) or (fast != plain and may_be_linker)):
            return self._compile(source, arguments, outputs, files or {}, None, plain)
        return build

    def _fast_link(self, source: Source, plain: list[str]) -> list[str]:
        """Return flags that link in two thirds of the time: the gold linker, and no unneeded library."""
        gold = "-fuse-ld" not in self.flags and shutil.which("ld.gold")
        math = source.language == "c++" or any(word in source.code for word in _MATH_HEADERS)
        return [*(["-fuse-ld=gold"] if gold else []), *(plain if math else [])]

    def _compile(
        self,
        source: Source,
        arguments: Sequence[str],
        outputs: list[str],
        files: Mapping[str, bytes],
        headers: Precompiled | None,
        link: Sequence[str],
    ) -> Build:
        prefix = ["-include", headers.header] if headers else ["-imacros", NO_PRAGMA[0]]
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            main = _write_source(space, source)
            command = [*self._language_flags(source.language), *prefix, *arguments, main, *link]
            outcome = self._run(space, command, readable=[headers.directory] if headers else [])
            return _collect(space, outcome, outputs)

    def _headers(self, source: Source, position: list[str]) -> Precompiled | None:
        if not self.precompile or source.language != "c++":
            return None
        wanted = precompiled.leading_headers(source.code)
        key = (self, *position)
        try:
            return HEADERS.find(key, wanted, lambda at: self._precompile(at, position)) if wanted else None
        except OSError:  # such as a full disk
            return None

    def _precompile(self, directory: Path, position: list[str]) -> bytes:
        """Precompile the header in `directory`.

        A header that causes warnings is rejected: programs that use it precompiled would not repeat them.
        """
        arguments = ["-x", "c++-header", "-o", PRECOMPILED, str(directory / HEADER)]
        with sandbox.get().workspace() as space:
            outcome = self._run(
                space,
                [*self._language_flags("c++")[2:], *position, *arguments],
                readable=[directory],
                file_bytes=precompiled.MAX_BYTES,
            )
            if not outcome.ok or outcome.stderr:
                return b""
            return space.read(PRECOMPILED, max_bytes=precompiled.MAX_BYTES)

    def _language_flags(self, language: Language) -> list[str]:
        """Return the flags for `language`; the first two are `-x` and its name."""
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


def _write_source(space: sandbox.Workspace, source: Source) -> str:
    name = _MAIN_FILE[source.language]
    space.write(*NO_PRAGMA)
    space.write(name, source.code.encode(errors="replace"))
    return name


def _collect(space: sandbox.Workspace, outcome: sandbox.Outcome, outputs: list[str]) -> Build:
    if not outcome.ok:
        return Build(outcome)
    return Build(outcome, {name: space.read(name, max_bytes=_MAX_OUTPUT_BYTES) for name in outputs})
