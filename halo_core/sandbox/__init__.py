r"""The only door through which untrusted code runs, compilers included.

    from halo_core import sandbox

    with sandbox.get().workspace() as space:
        space.write("main.c", source)
        built = space.run(["/usr/bin/gcc", "-o", "main", "main.c"], writable=True, toolchain=True)
        if built.ok:
            outcome = space.run(["./main"], stdin=b"3 4\n")

How strong the walls are is the sandbox's `tier`; `describe()` says in one line which holds and why.
Below `standard` nothing runs unless the user said so in so many words.
"""

from __future__ import annotations

import os
import threading

from halo_core.errors import SandboxError
from halo_core.sandbox.calls import Answer, Calls, Function
from halo_core.sandbox.client import Sandbox
from halo_core.sandbox.service import Reply, Service
from halo_core.sandbox.starting import inspect
from halo_core.sandbox.types import Finding, LimitName, Limits, Mode, Outcome, Tier
from halo_core.sandbox.values import NotPlainError
from halo_core.sandbox.workspace import Workspace

__all__ = [
    "Answer",
    "Calls",
    "Finding",
    "Function",
    "LimitName",
    "Limits",
    "Mode",
    "NotPlainError",
    "Outcome",
    "Reply",
    "Sandbox",
    "Service",
    "Tier",
    "Workspace",
    "configure",
    "doctor",
    "get",
    "running",
    "start",
]

_lock = threading.Lock()
_mode: Mode = "auto"
_current: Sandbox | None = None


def _forked() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not in this process may have held the other


os.register_at_fork(after_in_child=_forked)


def start(mode: Mode = "auto") -> Sandbox:
    """Start a sandbox of its own; the caller closes it.

    `auto` takes the best tier that holds and refuses below `standard`; the other modes take that tier
    exactly. Raises `SandboxError`, with the reason and the remedy, when it is not to be had.
    """
    return Sandbox(mode)


def configure(mode: Mode) -> None:
    """Set the mode that `get` starts with. Without effect on a sandbox that has been started."""
    global _mode
    _mode = mode


def get() -> Sandbox:
    """Return the process-wide sandbox, started on first use."""
    global _current
    with _lock:
        if _current is None or not _current.usable:
            _current = start(_current.tier if _current else _mode)  # the tier never drops within a process
        return _current


def running() -> Sandbox | None:
    """Return the process-wide sandbox if `get` has started it."""
    return _current


def doctor() -> list[Finding]:
    """Try every tier on this machine; return what was looked at, in order. Takes under a second."""
    try:
        return [Finding(*row) for row in inspect()]
    except SandboxError as error:
        return [Finding("platform", False, f"{error}; {error.hint}")]
