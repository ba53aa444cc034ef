"""The confined half of a `Service`: trusted code that processes data written by a model.

The worker loads the service once, before any untrusted data arrives: it imports the modules and finds the function.
The processes forked from it are confined and answer calls, over one socket, by value.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import site
import sys
import time

from halo_core.sandbox import guest, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from halo_core.sandbox.wire import Message

DIED = "ProcessDied"
"""The error name of a call whose process ended without reaching a limit."""
_function: Callable[..., object] | None = None


def load(spec: Message) -> None:
    """Import the function and modules of the service `spec`. Import errors propagate."""
    global _function
    for name in ("halo_core.sandbox", "halo_core"):  # the supervisor's stubs of these packages
        sys.modules.pop(name, None)
    sys.path[:] = spec["path"]
    for folder in spec["path"]:
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            site.addsitedir(folder)
    for name in spec["preload"]:
        importlib.import_module(name)
    module, _, name = spec["target"].partition(":")
    _function = getattr(importlib.import_module(module), name)
    gc.collect()
    gc.freeze()


def main(argv: list[str]) -> None:
    """Answer calls until the other side hangs up. `argv` holds the CPU seconds for each call, or nothing."""
    guest.move_channel()
    gc.enable()
    budget = float(argv[0]) if argv else 0.0
    while (arguments := guest.receive()) is not None:
        if budget:  # SIGPROF's default action ends the process even in the middle of C code
            signal.setitimer(signal.ITIMER_PROF, budget)
        started = time.process_time()
        reply = _call(arguments)
        if budget:
            signal.setitimer(signal.ITIMER_PROF, 0)
        guest.send(values.encode(("done", *reply, time.process_time() - started)))


def ask(question: object) -> object:
    """Within a call, send `question` to the caller and return the answer; both are plain data."""
    guest.send(values.encode(("ask", question)))
    answer = guest.receive()
    if answer is None:
        os._exit(1)  # the caller is gone
    return answer[0]


def _call(arguments: Any) -> tuple[object, str | None, str]:
    assert _function is not None
    try:
        result = _function(*arguments)
        values.encode(result)
        return result, None, ""
    except BaseException as error:
        return None, type(error).__name__, guest.describe(error)
