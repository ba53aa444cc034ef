"""Compilation in the sandbox; a compiler never runs anywhere else."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halo_core import sandbox
from halo_core.errors import SandboxError

_MAX_OUTPUT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Build:
    """The result of a compilation, or of the check of a script's syntax."""

    outcome: sandbox.Outcome
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The files of the program, by plain file name; empty if it could not be built."""
    warnings: int = 0
    """The compiler's warnings."""
    error: str = ""
    """The compiler's first error. Empty: it is searched in the stderr of `outcome`."""
    flaw: str = ""
    """Why the program is not run although it could be built: a feature that is forbidden."""


def build(
    argv: Sequence[str],
    sources: Mapping[str, str],
    outputs: Sequence[str],
    *,
    limits: sandbox.Limits,
    toolchain: bool = True,
    readable: Sequence[str | Path] = (),
    env: Mapping[str, str] | None = None,
) -> Build:
    """Run a compiler in a workspace with the files `sources`, and return the files `outputs` if it succeeds.

    The program is later run in another workspace, so it can read only `outputs`. Raises a `SandboxError` if the
    compiler cannot be started.
    """
    with sandbox.get().workspace() as space:
        for name, text in sources.items():
            space.write(name, text.encode(errors="replace"))
        outcome = space.run(
            [find_tool(argv[0]), *argv[1:]],
            limits=limits,
            writable=True,
            toolchain=toolchain,
            readable=readable,
            env=env or {},
        )
        if not outcome.ok:
            return Build(outcome)
        try:
            return Build(outcome, {name: space.read(name, max_bytes=_MAX_OUTPUT_BYTES) for name in outputs})
        except FileNotFoundError as error:
            return Build(outcome, error=f"the compiler does not write {error.filename}")


def find_tool(command: str) -> str:
    """Return the absolute path of a command, symbolic links resolved. Raises a `SandboxError` if it is missing."""
    path = shutil.which(command)
    if path is None:
        raise SandboxError(f"{command!r} not found", hint="install it, or name its path")
    return os.path.realpath(path)


@functools.cache
def tool_version(*argv: str) -> str:
    """Return the first line that a trusted command such as `rustc --version` prints; empty if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).partition("\n")[0]
