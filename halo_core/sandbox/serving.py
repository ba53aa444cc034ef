"""The confined half of a `Service`: trusted code that works on data a model wrote.

The worker learns its trade once, before there is any untrusted data: it imports the modules and finds the
function. The processes forked from it enter the walls and answer calls, over one socket, by value.
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
"""Named as the error of a call whose process ended though no limit was reached."""
_function: Callable[..., object] | None = None


def learn(trade: Message) -> None:
    """Import what `trade` names. Raises what importing raises."""
    global _function
    for name in ("halo_core.sandbox", "halo_core"):  # what stands in for them in the supervisor
        sys.modules.pop(name, None)
    sys.path[:] = trade["path"]
    for folder in trade["path"]:
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            site.addsitedir(folder)
    for name in trade["preload"]:
        importlib.import_module(name)
    module, _, name = trade["target"].partition(":")
    _function = getattr(importlib.import_module(module), name)
    gc.collect()
    gc.freeze()


def main(argv: list[str]) -> None:
    """Answer calls until the other side hangs up. `argv` holds the CPU seconds for each call, or nothing."""
    guest.take_channel()
    gc.enable()
    budget = float(argv[0]) if argv else 0.0
    while (arguments := guest.receive()) is not None:
        if budget:  # by default SIGPROF ends the process, in the middle of C code too
            signal.setitimer(signal.ITIMER_PROF, budget)
        begun = time.process_time()
        reply = _serve(arguments)
        if budget:
            signal.setitimer(signal.ITIMER_PROF, 0)
        guest.send(values.encode(("done", *reply, time.process_time() - begun)))


def ask(question: object) -> object:
    """Within a call, put `question` to the one who called and return the answer; plain data both ways."""
    guest.send(values.encode(("ask", question)))
    answer = guest.receive()
    if answer is None:
        os._exit(1)  # nobody is there to work for
    return answer[0]


def _serve(arguments: Any) -> tuple[object, str | None, str]:
    assert _function is not None
    try:
        result = _function(*arguments)
        values.encode(result)
        return result, None, ""
    except BaseException as error:
        return None, type(error).__name__, guest.describe(error)
