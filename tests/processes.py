"""Processes that start at once: forked from one that has imported torch, transformers and peft.

These imports take seconds, and another process for each command proves nothing about them. halo's own modules are not
imported beforehand: each process imports them as a new one does.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

__all__ = ["COMMAND", "Process", "run", "start"]
COMMAND = "import runpy; runpy.run_module('halo_core', run_name='__main__', alter_sys=True)"
"""The program of `python -m halo_core`."""
_SERVER = r"""
import gc, json, os, sys
import peft, torch._dynamo, torch.optim, torch.utils.checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        break
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
else:
    os._exit(0)
del gc, line, pid
files = os.open(os.devnull, os.O_RDONLY), os.open(job["output"], os.O_WRONLY), os.open(job["errors"], os.O_WRONLY)
for number, file in enumerate(files):
    os.dup2(file, number)
    os.close(file)
sys.stdin = open(0, closefd=False)
os.chdir(job["directory"])
os.environ.clear()
os.environ.update(job["environment"])
sys.argv = ["", *job["arguments"]]
sys.path[0] = ""
exec(compile(job["code"], "<string>", "exec"), {"__name__": "__main__"})
"""


class Process:
    """A running process. Only one runs at a time."""

    def __init__(
        self, code: str, arguments: list[str], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._server = _server()
        files = {name: Path(self._folder.name, name) for name in ("output", "errors")}
        for path in files.values():
            path.touch()
        job = {
            "code": code,
            "arguments": arguments,
            "directory": str(directory),
            "environment": dict(environment),
            **{name: str(path) for name, path in files.items()},
        }
        self._files = files
        _pipe(self._server.stdin).write(json.dumps(job) + "\n")
        _pipe(self._server.stdin).flush()
        self.pid = int(_pipe(self._server.stdout).readline())
        self._code: int | None = None

    def wait(self) -> int:
        """Wait for the end; return the exit code, which is negative for a signal."""
        if self._code is None:
            self._code = int(_pipe(self._server.stdout).readline())
        return self._code

    def kill(self) -> None:
        """Kill the process, unless it has ended, and wait for its end."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def is_running(self) -> bool:
        """Return True until the process has ended."""
        state = Path(f"/proc/{self.pid}/stat")
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"

    @property
    def output(self) -> str:
        """The standard output so far."""
        return self._files["output"].read_text()

    @property
    def errors(self) -> str:
        """The standard error stream so far."""
        return self._files["errors"].read_text()


def start(
    *arguments: object,
    code: str = COMMAND,
    directory: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Process:
    """Start halo, or `code`, with arguments."""
    return Process(code, [str(each) for each in arguments], directory or Path.cwd(), environment)


def run(
    *arguments: object,
    code: str = COMMAND,
    directory: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """Run halo, or `code`, with arguments until it ends."""
    process = start(*arguments, code=code, directory=directory, environment=environment)
    returned = process.wait()
    return subprocess.CompletedProcess(
        [str(each) for each in arguments], returned, process.output, process.errors
    )


@cache
def _server() -> subprocess.Popen[str]:
    """Start the process that the others are forked from; it ends with this one."""
    command = [sys.executable, "-c", _SERVER]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert _pipe(server.stdout).readline() == "ready\n"
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    _pipe(server.stdin).close()
    server.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
