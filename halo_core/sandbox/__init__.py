r"""The only module through which untrusted code runs, compilers included.

    from halo_core import sandbox

    with sandbox.get().workspace() as space:
        space.write("main.c", source)
        built = space.run(["/usr/bin/gcc", "-o", "main", "main.c"], writable=True, toolchain=True)
        if built.ok:
            outcome = space.run(["./main"], stdin=b"3 4\n")

The sandbox's `tier` is the level of isolation; `describe()` returns one line with the tier and the reason for it.
Below `standard` nothing runs unless the user explicitly chose that tier.
"""

from __future__ import annotations

from halo_core.errors import SandboxError
from halo_core.sandbox.calls import Answer, Calls, Function
from halo_core.sandbox.client import Sandbox
from halo_core.sandbox.process_wide import configure, get, running, start
from halo_core.sandbox.service import Reply, Service
from halo_core.sandbox.starting import check_tiers
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


def doctor() -> list[Finding]:
    """Try every tier on this machine; return the checks in the order they ran. Takes under a second."""
    try:
        return [Finding(*row) for row in check_tiers()]
    except SandboxError as error:
        return [Finding("platform", False, f"{error}; {error.hint}")]
