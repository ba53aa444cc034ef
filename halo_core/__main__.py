"""The program `halo`, also as `python -m halo_core`."""

import atexit
import os
import signal
import sys
from contextlib import suppress

_STOPPED = 130
"""Exit code after Ctrl-C."""


def main() -> None:
    """Run the command line; Ctrl-C while its modules are imported ends the process without a traceback."""
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from halo_core.cli import main as command_line

    signal.signal(signal.SIGINT, previous)
    try:
        command_line()
    except SystemExit as end:
        if end.code == _STOPPED:
            _end()
        raise


def _end() -> None:
    """End the process after Ctrl-C. Everything is closed by now; freeing torch's modules takes more than a second."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader of a pipe has ended
            stream.flush()
    os._exit(_STOPPED)


if __name__ == "__main__":
    main()
