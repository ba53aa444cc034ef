"""Choice of the tier: tested at each start by escape attempts, never by version numbers alone."""

from __future__ import annotations

import os
import socket
import sys

from halo_core.sandbox import linux, seccomp, wire
from halo_core.sandbox.box import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

Row = tuple[str, bool, str]
"""Name of the check, whether it holds, and the details or the remedy."""

PROBE_REQUEST = {
    "cpu_seconds": 5.0,
    "wall_seconds": 10.0,
    "memory_bytes": 1 << 30,
    "file_bytes": 1 << 20,
    "processes": 1,
    "stdout_bytes": 1 << 16,
    "stderr_bytes": 1 << 16,
    "open_files": 64,
    "main": "probe",
    "env": {},
    "writable": False,
    "toolchain": False,
    "readable": [],
}


class Choice:
    """The chosen tier, and the results of all checks."""

    def __init__(self, mode: str, abi: int) -> None:
        self.abi = abi
        self.tier = mode if mode in ("weak", "none") else ""
        """Empty if no tier that the mode accepts is available."""
        self.rows: list[Row] = []
        self.reasons: dict[str, str] = {}
        """Why a tier does not hold, by tier."""
        self.has_cgroups = False
        """Control groups limit the total use of all processes of a run."""

    def record_cgroups(self, reason: str) -> None:
        """Record that control groups are used or, with a `reason`, that they cannot be."""
        self.has_cgroups = not reason
        detail = (
            f"memory is limited for each process separately: {reason}"
            if reason
            else "memory is limited for each run"
        )
        self.rows.append(("cgroup v2", self.has_cgroups, detail))

    def summary(self) -> str:
        """Return the line that a run prints at its start."""
        limits = (
            "limits, cgroup" if self.has_cgroups else "limits; memory per process, no cgroup is delegated"
        )
        parts = {
            "strong": f"landlock {self.abi}, seccomp, namespaces, {limits}",
            "standard": f"landlock {self.abi}, seccomp, {limits}",
            "weak": "limits only; programs can read your files and use the network",
            "none": "no isolation",
        }
        better = self.reasons.get("strong") if self.tier == "standard" else ""
        return f"sandbox: {self.tier} ({parts[self.tier]})" + (f"; not strong: {better}" if better else "")


def choose(mode: str, directory: str, abi: int, trial: Callable[[str], socket.socket]) -> Choice:
    """Return the best tier that `mode` accepts; with mode `doctor`, try all tiers.

    `trial` starts a worker in a given tier and returns a session with it.
    """
    choice = Choice(mode, abi)
    if mode in ("weak", "none"):
        return choice
    missing = _missing(choice)
    for tier in ("strong", "standard"):
        if mode not in ("auto", "doctor", tier) or (mode == "auto" and choice.tier):
            continue
        reason = missing or attempt_escape(tier, directory, trial)
        choice.rows.append((f"tier {tier}", not reason, reason or "every attempt to escape failed"))
        if reason:
            choice.reasons[tier] = reason
        elif not choice.tier:
            choice.tier = tier
    return choice


def _missing(choice: Choice) -> str:
    """Check the requirements of both tiers; return what is missing, "" if nothing is."""
    machine = os.uname().machine
    found = seccomp.supported() and sys.maxsize > 2**32
    choice.rows.append(("architecture", found, machine if found else f"{machine}: no table of system calls"))
    choice.rows.append(
        (
            "landlock",
            choice.abi > 0,
            f"version {choice.abi}"
            if choice.abi
            else "needs Linux 5.13 or later with `landlock` in its lsm= list",
        )
    )
    if not found:
        return f"no table of system calls for {machine}"
    return "" if choice.abi else "the kernel has no Landlock (needs Linux 5.13 or later, `landlock` in lsm=)"


def attempt_escape(tier: str, directory: str, trial: Callable[[str], socket.socket]) -> str:
    """Start a worker in `tier` that attempts to escape; return why the tier does not hold, "" if it does."""
    canary = f"{directory}/canary"
    fd = os.open(canary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    os.fchmod(fd, 0o666)
    os.write(fd, b"canary")
    os.close(fd)
    try:
        with trial(tier) as session:
            hello = wire.receive(session)
            if hello is None or "failure" in hello[0]:
                return hello[0]["failure"] if hello else "the worker died"
            for fd in hello[1]:
                os.close(fd)
            wire.send(session, {**PROBE_REQUEST, "argv": [canary, str(os.getpid())]})
            received = wire.receive(session)
        with open(canary, "rb") as file:
            unharmed = file.read() == b"canary"
    except OSError as error:
        return str(error)
    finally:
        os.unlink(canary)
    if received is None or "failure" in received[0]:
        return (
            f"the confinement could not be set up: {_reason(received[0]) if received else 'the worker died'}"
        )
    *escaped, last = received[0]["blobs"][0].decode().split("\n")
    if last != "done":
        return f"the probe did not end: {received[0]['stderr'].decode()[-200:] or received[0]['signal']}"
    return "the probe could " + ", ".join(escaped) if escaped or not unharmed else ""


def _reason(reply: wire.Message) -> str:
    """Return why a worker could not start a process."""
    code = reply["failure"]
    return reply.get("reason") or (os.strerror(code) if code > 0 else "internal error")


def explain(error: OSError) -> str:
    """Return a message for users on why the kernel refused namespaces."""
    return (
        f"namespaces are not permitted here ({error.strerror or error}); a container's seccomp profile or "
        "kernel.apparmor_restrict_unprivileged_userns may be the cause"
    )


def box_user() -> User | None:
    """Return a separate user for the programs of one box, None if this process may not change user."""
    if os.geteuid() != 0:
        return None
    needed = (linux.CAP_CHOWN, linux.CAP_SETUID, linux.CAP_SETGID)
    held = linux.capabilities()
    return User() if all(held >> c & 1 for c in needed) else None
