"""The `rust` verifier: compile with rustc, run on each test's input, compare the output token by token."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from halo_core import Attack, SandboxError, driver, sandbox
from halo_core.programs import Build, ProgramVerifier, build, find_tool, tool_version
from halo_verifier_rust import attacks, diagnostics
from halo_verifier_rust.language import RUST

_ASSEMBLY = re.compile(r"\b(?:asm|global_asm|naked_asm|llvm_asm)\b")
_HELLO = 'fn main() {\n    println!("ok");\n}\n'
_LINKERS: tuple[tuple[str, ...], ...] = ((), ("-Clink-arg=-fuse-ld=bfd",))
"""Flags for the toolchain's own linker, and for the system's: in tier `standard` under root, gcc does not find a linker
that is in a directory of root's."""


@driver
class Rust(ProgramVerifier):
    """Compiles a Rust program, runs it on each test's stdin and compares its output.

    A prompt's reference is `{"tests": [{"stdin": "3 4", "stdout": "7"}, ...]}`, and may have the key `solution`, a
    correct program. A test passes if the program exits with code 0, without a signal and within the limits, and its
    stdout has the expected tokens. There are no crates besides the standard library.

    The score is the share of tests that passed. The stage is `invalid` if the program does not compile, `flawed` if it
    uses unsafe code or assembly, or prints nothing in any test, `crashed` if it panics or exceeds a limit in any test,
    else `wrong` if any output differs.
    """

    compiler: str = "rustc"
    """Compiler command: rustc or a path."""
    edition: Literal["2015", "2018", "2021", "2024"] = "2021"
    """Edition of the language; 2024 needs Rust 1.85."""
    flags: str = ""
    """Further compiler flags, quoted as in a shell, such as `-O`. Without it, overflow panics and compiling is fast."""
    unsafe_code: bool = False
    """Accept unsafe code and assembly."""
    warnings: Literal["count", "reject"] = "count"
    """count: a program with warnings runs, and the reward decides what they cost; reject: its stage is `flawed`."""

    language = RUST
    source_file: ClassVar[str] = "main.rs"
    hello: ClassVar[str] = _HELLO
    install: ClassVar[str] = (
        "install Rust and a linker (Debian, Ubuntu: apt-get install rustc gcc; or https://rustup.rs)"
    )

    def build(self, code: str) -> Build:
        """Compile a program; see `ProgramVerifier.build`."""
        compiler = _compiler(self.compiler)
        linker = _linker(compiler, sandbox.get().tier)
        forbid = () if self.unsafe_code else ("-Funsafe_code",)
        flags = [f"--edition={self.edition}", *forbid, *shlex.split(self.flags), *linker]
        built = self.compile([*_command(compiler), *flags, self.source_file], code, "program")
        found = diagnostics.read(built.outcome.stderr)
        return replace(
            built,
            warnings=found.warnings,
            error=found.errors[0] if found.errors else "",
            flaw=self._flaw(code, built, found),
        )

    def tools(self) -> str:
        """Return the version of the compiler."""
        return tool_version(_compiler(self.compiler), "--version")

    def constant_program(self, output: str) -> str:
        """Return a program that prints `output`; see `ProgramVerifier.constant_program`."""
        text = "".join(f"\\u{{{ord(character):x}}}" for character in output)
        return f'fn main() {{\n    print!("{{}}", "{text}");\n}}\n'

    def attacks(self) -> Sequence[Attack]:
        """Return wrong programs crafted to be accepted."""
        return attacks.load()

    def _flaw(self, code: str, built: Build, found: diagnostics.Diagnostics) -> str:
        """Return why a program is not run although it compiles, apart from the flag that forbids unsafe code."""
        if found.only_unsafe:
            return f"uses unsafe code: {found.errors[0]}"
        if built.files and not self.unsafe_code and _ASSEMBLY.search(RUST.masked(code)):
            return "uses assembly"
        if built.files and self.warnings == "reject" and found.warnings:
            return f"compiles with {found.warnings} warnings"
        return ""


@functools.cache
def _compiler(command: str) -> str:
    """Return the path of the compiler itself, which is in its toolchain's directory.

    The command of rustup is a link to rustup, which reads its settings and starts the toolchain's compiler. The sandbox
    makes a compiler's own directories readable, so rustup is asked here. Raises a `SandboxError` if it is missing.
    """
    path = shutil.which(command)
    if path is None or Path(path).resolve().name != "rustup":
        return find_tool(command)
    try:
        done = subprocess.run([path, "--print=sysroot"], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"{command!r} printed no sysroot within 60 seconds") from error
    if done.returncode != 0:
        raise SandboxError(f"{command!r} does not work: {(done.stderr.splitlines() or ['no message'])[0]}")
    return find_tool(f"{done.stdout.strip()}/bin/rustc")


def _command(compiler: str) -> list[str]:
    """Return the command with the flags that do not depend on the options.

    - The linker is named by a path, because rustc looks for a command in a way that the sandbox does not permit.
    - Attributes of a program cannot silence its warnings, nor use features that are not stable.
    """
    stable = ["-Zallow-features="] if "nightly" in tool_version(compiler, "--version") else []
    kind = ["--crate-type=bin", "--crate-name=program", "--error-format=json", "-o", "program"]
    return [compiler, *kind, f"-Clinker={find_tool('cc')}", "--force-warn=unused", *stable]


@functools.cache
def _linker(compiler: str, tier: str) -> tuple[str, ...]:
    """Return the first of `_LINKERS` with which a program can be built in the sandbox's `tier`."""
    limits = sandbox.Limits(cpu_seconds=30, memory_bytes=4 << 30, processes=64, file_bytes=64 << 20)
    for flags in _LINKERS:
        argv = [*_command(compiler), *flags, "main.rs"]
        if build(argv, {"main.rs": _HELLO}, ["program"], limits=limits).files:
            return flags
    return ()
