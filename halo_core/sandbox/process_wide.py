"""The sandbox that all code of a process shares."""

from __future__ import annotations

import os
import threading

from halo_core.sandbox.client import Sandbox
from halo_core.sandbox.types import Mode

lock = threading.Lock()
current: Sandbox | None = None
_mode: Mode = "auto"


def _replace_lock() -> None:
    global lock
    lock = threading.Lock()  # a thread that the fork did not copy may hold the old one


os.register_at_fork(after_in_child=_replace_lock)


def start(mode: Mode = "auto") -> Sandbox:
    """Start a separate sandbox; the caller closes it.

    `auto` takes the best tier that holds and rejects one below `standard`; the other modes take exactly their tier.
    Raises `SandboxError`, with the reason and the remedy, when the tier is not available.
    """
    return Sandbox(mode)


def configure(mode: Mode) -> None:
    """Set the mode that `get` starts with. Has no effect on a sandbox that has been started."""
    global _mode
    _mode = mode


def get() -> Sandbox:
    """Return the process-wide sandbox, started on first use."""
    global current
    with lock:
        if current is None or not current.usable:
            current = start(current.tier if current else _mode)  # the tier never drops within a process
        return current


def running() -> Sandbox | None:
    """Return the process-wide sandbox if `get` has started it."""
    return current
