"""The trainer's half of a session with a worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from halo_core.errors import SandboxError
from halo_core.sandbox import cgroups, wire
from halo_core.sandbox.channel import Channel
from halo_core.sandbox.sharing import SessionOwner
from halo_core.sandbox.types import Limits, Outcome

GRACE = 300.0
"""Seconds that a worker may take for its own work, on top of the time limit of the program it runs."""
HIGHER_LIMIT = "start halo where this limit is higher, or set the soft limit alone: ulimit -S"


class StuckError(SandboxError):
    """A worker did not answer in time."""


class Session:
    """A session with one worker, which runs one program at a time in a private directory."""

    def __init__(self, sock: socket.socket, owner: SessionOwner) -> None:
        self.owner = owner
        self.directory = -1
        """Descriptor of the worker's directory."""
        self.path = ""
        """The path of that directory as programs see it."""
        self.is_stuck = False
        """The worker timed out and takes no further sessions."""
        self._sock = sock
        self._sock.settimeout(GRACE)

    def open(self) -> None:
        """Wait for the worker; raise `SandboxError` if it failed to start."""
        received = self._receive(GRACE)
        if received is None:
            raise SandboxError("the sandbox supervisor is gone")
        reply, fds = received
        if "failure" in reply:
            raise SandboxError(f"the sandbox failed: {reply['failure']}")
        (self.directory,) = fds
        self.path = reply["path"]

    def run(self, request: wire.Message, stdin: bytes) -> Outcome:
        """Run a program to its end."""
        fds = [_memory_file(stdin)] if stdin else []
        try:
            with suppress(ConnectionError):
                wire.send(self._sock, request, fds)
        finally:
            for fd in fds:
                os.close(fd)
        return self.outcome(request["argv"][0], request["wall_seconds"] + GRACE)

    def start(self, request: wire.Message, max_bytes: int) -> Channel:
        """Start one of the worker's own functions in a process; return the channel to it."""
        ours, theirs = socket.socketpair()
        with theirs, suppress(ConnectionError):
            wire.send(self._sock, request, [theirs.fileno()])
        return Channel(ours, max_bytes)

    def outcome(self, program: str, seconds: float) -> Outcome:
        """Return how the program ended. Raises `StuckError` if the worker does not report that within `seconds`."""
        received = self._receive(seconds)
        if received is None:
            raise SandboxError("a sandbox worker died", hint="the machine may be out of memory")
        reply, _ = received
        if "failure" in reply:
            raise launch_error(
                program, reply["failure"], reply.get("unreadable", ""), reply.get("reason", "")
            )
        stdout, stderr = reply.pop("blobs")
        return Outcome(**reply, stdout=stdout, stderr=stderr)

    def close(self, *, hang_up: bool) -> None:
        """Close the descriptors; with `hang_up`, end the session and wait until the worker has wiped its directory.

        A forked process must not hang up: its parent may still use the session.
        """
        if self.directory >= 0:
            os.close(self.directory)
        if hang_up:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
                self._sock.recv(1)  # returns when the worker has wiped the directory and hung up
        self._sock.close()

    def _receive(self, seconds: float) -> tuple[wire.Message, list[int]] | None:
        """Return the worker's next message, None if it has died; on a timeout or interrupt, end the session."""
        try:
            self._sock.settimeout(seconds)
            return wire.receive(self._sock)
        except BaseException as error:  # Ctrl-C too: a late message must not be read as the next answer
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            if isinstance(error, TimeoutError):
                self.is_stuck = True
                raise StuckError(
                    f"a sandbox worker has not answered for {seconds:.0f} seconds",
                    hint="the machine may be out of memory, or the worker was stopped",
                ) from None
            raise


def guest_request(main: str, limits: Limits, *, argv: Sequence[str], readable: Sequence[str]) -> wire.Message:
    """Return the request that starts `main`, one of the worker's own functions, in a confined process."""
    return {
        **asdict(limits),
        "wall_seconds": limits.wall,
        "main": main,
        "argv": list(argv),
        "env": {},
        "writable": False,
        "toolchain": False,
        "readable": list(readable),
    }


def launch_error(program: str, code: int, unreadable: str = "", limit: str = "") -> SandboxError:
    """Return the error for a program that could not be started, from the errno in the worker's reply.

    `unreadable` is the path in `readable` that is the cause, if one is; `limit` describes a limit that is.
    """
    if limit:
        return SandboxError(f"cannot run {program!r}: {limit}", hint=HIGHER_LIMIT)
    if code == cgroups.LOST:
        return SandboxError(
            f"cannot run {program!r} within its limits: its control group is gone or cannot be entered",
            hint="check with `halo doctor` that cgroup v2 is still delegated; start halo again",
        )
    reason = os.strerror(code) if code > 0 else "internal error"
    if unreadable:
        return SandboxError(
            f"{program or 'a process'!r} cannot read {unreadable!r}, although `readable` names it: {reason}",
            hint="check that it exists and that every user may read it (chmod -R o+rX): under root, programs run as "
            "another user",
        )
    return SandboxError(f"cannot run {program!r}: {reason}", hint="check that it exists and is executable")


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("stdin")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd
