"""Make every escape attempt in each of the given tiers, and print the successful ones as JSON.

    python campaign.py plain standard strong standard@1 strong+compiler

`plain` is a bare subprocess: most attempts must succeed there, otherwise they prove nothing. `@1` emulates a kernel
whose Landlock has version 1. `+compiler` gives each attempt the rights of a compiler: a writable workspace and
permission to fork.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from halo_core import sandbox

SCRIPT = Path(__file__).with_name("attempts.py")
WRITABLE = {"leave_a_set_user_id_file", "read_through_a_symbolic_link"}
"""Attempts that get a writable workspace."""
FORKING = {"leave_a_daemon"}
"""Attempts that may fork."""
COMPILER_MAY = {"fork_a_process"}

Try = Callable[[str, dict[str, Any]], bool]


def load_names() -> list[str]:
    spec = importlib.util.spec_from_file_location("attempts", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.ATTEMPTS)


@contextmanager
def set_up_targets() -> Iterator[dict[str, Any]]:
    """Set up the targets of the attempts, outside any sandbox."""
    os.environ["HALO_ESCAPE_SECRET"] = "s3cret"
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="halo-escape-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        canary = directory / "canary"
        canary.write_bytes(b"secret")
        canary.chmod(0o600)
        descriptor = os.open(canary, os.O_RDWR)
        os.set_inheritable(descriptor, True)
        stack.callback(os.close, descriptor)
        victim = stack.enter_context(subprocess.Popen(["/bin/sleep", "600"], start_new_session=True))
        stack.callback(victim.kill)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        path = str(directory / "socket")
        abstract = f"halo-escape-{os.getpid()}"
        for name in (path, "\0" + abstract):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(name)
            server.listen(64)
        Path(path).chmod(0o777)
        libc = ctypes.CDLL(None)
        segment = libc.shmget(0, 4096, 0o1666)
        stack.callback(libc.shmctl, segment, 0, None)
        master, terminal = os.openpty()
        os.set_inheritable(terminal, True)
        stack.callback(os.close, master)
        stack.callback(os.close, terminal)
        mapped = Path(f"/proc/{victim.pid}/maps").read_text().split("-")[0]
        yield {
            "directory": str(directory),
            "canary": str(canary),
            "descriptor": descriptor,
            "pid": victim.pid,
            "address": int(mapped, 16),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": path,
            "abstract": abstract,
            "shm": segment,
            "terminal": os.ttyname(terminal),
            "terminal_descriptor": terminal,
            "mark": f"59{os.getpid()}",
        }


def daemons(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if mark.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def attempt_plain(name: str, targets: dict[str, Any]) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        process = subprocess.run(
            [sys.executable, "-I", "-S", str(SCRIPT), name, json.dumps(targets)],
            cwd=scratch,
            close_fds=False,
            capture_output=True,
            timeout=30,
        )
    return process.stdout.endswith(b"OUT\n")


def attempt_in(box: sandbox.Sandbox, compiler: bool) -> Try:
    def attempt(name: str, targets: dict[str, Any]) -> bool:
        """Return whether the attempt succeeded. A blocked attempt must show an error or death by the filter."""
        with box.workspace() as space:
            space.write("attempts.py", SCRIPT.read_bytes())
            process = space.run(
                [sys.executable, "-I", "-S", "attempts.py", name, json.dumps(targets)],
                writable=compiler or name in WRITABLE,
                toolchain=compiler,
                limits=sandbox.Limits(processes=8 if name in FORKING else 1, cpu_seconds=10),
            )
        if not process.stdout.startswith((b"blocked: ", b"OUT\n")) and process.signal != signal.SIGSYS:
            raise RuntimeError(f"{name} broke: {process}")
        return process.stdout.endswith(b"OUT\n")

    return attempt


def escaped(attempt: Try, name: str, targets: dict[str, Any]) -> bool:
    """Return whether an attempt succeeded; for a daemon, whether it outlived the run."""
    Path(targets["directory"], "doomed").write_bytes(b"")
    succeeded = attempt(name, {**targets, "doomed": targets["directory"] + "/doomed"})
    if name in FORKING:
        left = daemons(targets["mark"])
        for pid in left:
            os.kill(pid, 9)
        return bool(left)
    return succeeded


def campaign(attempt: Try, names: list[str], targets: dict[str, Any]) -> list[str]:
    if not attempt("control", targets):
        raise RuntimeError("the control was blocked")
    return [name for name in names if escaped(attempt, name, targets)]


def main(tiers: list[str]) -> None:
    results: dict[str, list[str]] = {}
    names = load_names()
    with set_up_targets() as targets:
        for tier in tiers:
            if tier == "plain":
                results[tier] = campaign(attempt_plain, names, targets)
                continue
            wanted, _, compiler = tier.partition("+")
            mode, _, abi = wanted.partition("@")
            tried = [name for name in names if not (compiler and name in COMPILER_MAY)]
            with sandbox.Sandbox(cast(sandbox.Mode, mode), landlock_abi=int(abi or 7)) as box:
                results[tier] = campaign(attempt_in(box, bool(compiler)), tried, targets)
    print(json.dumps({"uid": os.getuid(), "attempts": len(names), "escaped": results}))


if __name__ == "__main__":
    main(sys.argv[1:])
