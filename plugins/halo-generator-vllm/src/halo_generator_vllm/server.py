"""A server process: started, watched, started again, and ended with halo."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from halo_core import PluginError

_EFFECT = re.compile(r"root cause|EngineDeadError")
"""Lines that vLLM writes after the error that ended it."""
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Server:
    """One server process on the loopback interface, with its output in the file `log`.

    `seconds` limits how long it may take to answer its first request to `/health`. `interrupt` is called while it
    starts.
    """

    def __init__(
        self,
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] = {},
        seconds: float = 900.0,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log, self._environment, self._seconds = log, environment, seconds
        self._interrupt = interrupt
        self._process: subprocess.Popen[bytes] | None = None
        self._command: Sequence[str] = ()

    @property
    def running(self) -> bool:
        """True if the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str]) -> None:
        """Start `command` in place of what runs, and wait until it answers.

        Raises a `PluginError` with the end of its log if it ends or takes too long.
        """
        self.stop()
        self._command = command
        with self._log.open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-S", str(_SUPERVISOR), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def start_again(self) -> None:
        """Start the command of the last `start` again."""
        self.start(self._command)

    def stop(self) -> None:
        """End the process with all its descendants, and wait for it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._process = None

    def _wait(self) -> None:
        end = time.monotonic() + self._seconds
        while not self._answers():
            self._interrupt()
            if not self.running:
                raise PluginError(f"the server ended while it started: {self.end_of_log()}", hint=self.hint)
            if time.monotonic() > end:
                raise PluginError(
                    f"the server does not answer after {self._seconds:g} s: {self.end_of_log()}",
                    hint=f"raise start_seconds; {self.hint}",
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    @property
    def hint(self) -> str:
        """Return where the log is."""
        return f"its log is {self._log}"

    def end_of_log(self) -> str:
        """Return the last line of the log that reports an error and its cause, or the last line."""
        lines = self._log.read_text(errors="replace").splitlines()
        telling = [line for line in lines[-200:] if "Error" in line or "error:" in line]
        causes = [line for line in telling if not _EFFECT.search(line)]
        shown = causes[-1:] or telling[-1:] or [line for line in lines if line.strip()][-1:]
        return " ".join(shown).strip()[-300:] or "it wrote nothing"
