"""Assert runner, in the tests' process: executes benchmark asserts unchanged against proxies of the sample."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from halo_core.sandbox.service import ask
from halo_verifier_pytest.proxy import NotByValueError, SampleGoneError, make_proxy

PASSED, FAILED, GONE, UNUSABLE = "passed", "failed", "gone", "unusable"
_MESSAGE_CHARACTERS = 500
"""Maximum characters of a message, which may contain a value that the sample returned."""


def run(context: str, setup: str, asserts: Sequence[str], entries: Sequence[str], check: bool) -> None:
    """Execute each of `asserts` and report its result to the caller.

    `context` is executed first and defines the helpers that the prompt supplies beside the requested function.
    """
    namespace: dict[str, Any] = {"__name__": "tests"}
    ask(("begin", -1))
    with suppress(Exception):
        exec(context, namespace)
    namespace |= {entry: make_proxy(entry) for entry in entries}
    outcome, detail = _attempt(setup, namespace, "")
    if outcome != PASSED:
        ask(("setup", outcome, detail))
        return
    for number, text in enumerate(asserts):
        ask(("begin", number))
        ask(("result", number, *_attempt(text, namespace, entries[0] if check else "")))


def _attempt(text: str, namespace: dict[str, Any], candidate: str) -> tuple[str, str]:
    """Execute one test; with `candidate`, pass the proxy of that name to the `check` that the test defines."""
    try:
        exec(compile(text, "<test>", "exec"), namespace)
        if candidate:
            namespace["check"](namespace[candidate])
    except SampleGoneError:
        return GONE, ""
    except NotByValueError as error:
        return UNUSABLE, str(error)
    except AssertionError as error:
        return FAILED, str(error)[:_MESSAGE_CHARACTERS] or "assertion failed"
    except BaseException as error:
        return FAILED, f"the test raised {type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS]
    return PASSED, "ok"
