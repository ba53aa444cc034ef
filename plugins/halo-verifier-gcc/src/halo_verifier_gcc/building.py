"""Compilation and linking in the sandbox; the compiler never runs anywhere else.

A program is built in one workspace and run in another, so that it cannot read any source.
"""

from __future__ import annotations

import functools
import secrets
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_verifier_gcc import headers, precompiled
from halo_verifier_gcc.languages import Language
from halo_verifier_gcc.precompiled import HEADER, HEADERS, NO_PRAGMA, PRECOMPILED, Precompiled
from halo_verifier_gcc.source import Source

_MIB = 1 << 20
_PROCESSES = 16
"""Limit for one compilation: driver, compiler proper, assembler, linker and its plugins, with room to spare."""
_MAX_OUTPUT_BYTES = 64 * _MIB
PROGRAM = "program"
LIBRARY = "libsample.so"
OBJECT = "program.o"
PREPROCESSED = "preprocessed"
_EXPORTS = "exports.map"
_LINKER_ERRORS = (b"undefined reference", b"ld.gold", b"collect2", b"linker")
KILLED = (b"Killed signal", b"terminated with signal 9", b"unable to execute command: Killed")
"""Messages of drivers and linkers when another process has killed a part of the compiler."""
_KILL_WORDS = (b"Killed", b"signal 9")
_MATH_HEADERS = ("math", "complex", "fenv")
"""Parts of the names of libm's headers. A program that uses libm without them fails in the fast link and is linked
again with libm."""
MAIN_FILE: dict[Language, str] = {"c": "main.c", "c++": "main.cpp"}


_WALL_FACTOR = 10
"""Wall seconds per CPU second. A compiler never waits, so a busy machine should not end it."""


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
        position, files = _library(exports)
        script = f"-Wl,--version-script={_EXPORTS},-z,defs,-soname,{LIBRARY}"
        return self._build(source, ["-shared", *position, script, "-o", LIBRARY], [LIBRARY], files)

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

    def preprocessed(self, source: Source, exports: Iterable[str] = ()) -> Build:
        """Preprocess `source`, as a library if it exports functions; the output keeps its include directives.

        The preprocessor sees the same files and macros as the compiler, and the output's name is random: otherwise a
        program could tell them apart, and show the preprocessor other code.
        """
        output = secrets.token_hex(16)
        position, files = _library(exports)
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            main = _write_source(space, source)
            arguments = [*position, "-imacros", NO_PRAGMA[0], "-E", "-dI", "-o", output, main]
            outcome = self._run(space, [*self._language_flags(source.language), *arguments])
            build = _collect(space, outcome, [output])
            return Build(outcome, {PREPROCESSED: build.files[output]} if build.files else {})

    def object(self, source: Source, exports: Iterable[str] = ()) -> Build:
        """Compile `source` without linking it and without replacing calls of library functions by others."""
        position, files = _library(exports)
        return self._build(source, [*position, "-fno-builtin", "-c", "-o", OBJECT], [OBJECT], files)

    def is_killed(self, source: Source, exports: Iterable[str] = ()) -> bool:
        """Build `source` once more and return True if somebody else kills the compiler or, after it, the linker.

        A program can make the compiler and the linker print anything. So a shell between the compiler's driver and the
        compiler tells by a file of random name that the compiler was killed. The linker prints only text of the object
        file.
        """
        mark = secrets.token_hex(16)
        script = f'"$0" "$@"; code=$?; [ $code = 137 ] && : > {mark}; exit $code'
        position, files = _library(exports)
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            arguments = [*position, "-c", "-o", OBJECT, _write_source(space, source)]
            flags = self._language_flags(source.language)
            outcome = self._run(space, [*flags, "-wrapper", f"/bin/sh,-c,{script}", *arguments])
            with suppress(FileNotFoundError):
                space.read(mark, max_bytes=1)
                return True
            if b"-wrapper" in outcome.stderr:  # clang, which compiles in the driver's process
                outcome = self._run(space, [*flags, *arguments])
            data = _collect(space, outcome, [OBJECT]).files.get(OBJECT, b"")
        return outcome.inconclusive or (bool(data) and not any(text in data for text in _KILL_WORDS))

    @functools.lru_cache(16)  # noqa: B019 - a builder is a value
    def header_directories(self, language: Language) -> tuple[str, ...]:
        """Return the directories in which the compiler looks for headers."""
        with sandbox.get().workspace() as space:
            main = _write_source(space, Source("", language))
            arguments = ["-E", "-v", "-o", PREPROCESSED, main]
            outcome = self._run(space, [*self._language_flags(language), *arguments])
        directories = headers.search_directories(outcome.stderr.decode(errors="replace"))
        if not directories:
            raise SandboxError(f"{self.compiler} does not list the directories of its headers")
        return directories

    def _build(
        self,
        source: Source,
        arguments: Sequence[str],
        outputs: list[str],
        files: Mapping[str, bytes] | None = None,
    ) -> Build:
        """Build with the fast options; repeat the build without them if they may have caused a failure."""
        precompiled_headers = self._headers(source, ["-fPIC"] if "-fPIC" in arguments else [])
        plain = [] if "-c" in arguments else _libraries(source.language)
        fast = self._fast_link(source, plain) if plain else []
        build = self._compile(source, arguments, outputs, files or {}, precompiled_headers, fast)
        stderr = build.outcome.stderr
        may_be_linker = build.outcome.stderr_truncated or any(text in stderr for text in _LINKER_ERRORS)
        unusable = precompiled_headers and precompiled_headers.unusable(stderr)
        if not build.files and (unusable or (fast != plain and may_be_linker)):
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
        prefix: Precompiled | None,
        link: Sequence[str],
    ) -> Build:
        included = ["-include", prefix.header] if prefix else ["-imacros", NO_PRAGMA[0]]
        with sandbox.get().workspace() as space:
            for name, data in files.items():
                space.write(name, data)
            main = _write_source(space, source)
            command = [*self._language_flags(source.language), *included, *arguments, main, *link]
            # Another program may have deleted the directory, as a cleaner of temporary files does.
            readable = [prefix.directory] if prefix and prefix.directory.is_dir() else []
            outcome = self._run(space, command, readable=readable)
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
            wall_seconds=_WALL_FACTOR * self.cpu_seconds,
            memory_bytes=self.memory_mib * _MIB,
            processes=_PROCESSES,
            file_bytes=file_bytes,
        )
        return space.run([path, *arguments], limits=limits, writable=True, toolchain=True, readable=readable)


def _library(exports: Iterable[str]) -> tuple[list[str], dict[str, bytes]]:
    """Return the flags and files with which a library that exports functions is compiled; none without functions."""
    listing = "".join(f'"{name}"; ' for name in exports)
    if not listing:
        return [], {}
    return ["-fPIC"], {_EXPORTS: f"{{ global: {listing}local: *; }};\n".encode()}


def _libraries(language: Language) -> list[str]:
    return ["-x", "none", *(["-lstdc++"] if language == "c++" else []), "-lm"]


def _write_source(space: sandbox.Workspace, source: Source) -> str:
    name = MAIN_FILE[source.language]
    space.write(*NO_PRAGMA)
    space.write(name, source.code.encode(errors="replace"))
    return name


def _collect(space: sandbox.Workspace, outcome: sandbox.Outcome, outputs: list[str]) -> Build:
    if not outcome.ok:
        return Build(outcome)
    return Build(outcome, {name: space.read(name, max_bytes=_MAX_OUTPUT_BYTES) for name in outputs})
