"""In the tests' own process: asserts as benchmarks have them, executed unchanged against stand-ins."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from halo_core.sandbox.service import ask
from halo_verifier_pytest.proxy import NotByValueError, SampleGoneError, stand_in

PASSED, FAILED, GONE, UNUSABLE = "passed", "failed", "gone", "unusable"
_SHOWN = 500
"""Characters of a message, which may hold what the sample returned, that are passed on."""


def run(context: str, setup: str, asserts: Sequence[str], entries: Sequence[str], check: bool) -> None:
    """Execute each of `asserts`, telling the one who called how it went.

    `context` is executed first, for the helpers that the prompt defines beside the function asked for.
    """
    space: dict[str, Any] = {"__name__": "tests"}
    ask(("begin", -1))
    with suppress(Exception):
        exec(context, space)
    space |= {entry: stand_in(entry) for entry in entries}
    outcome, detail = _attempt(setup, space, "")
    if outcome != PASSED:
        ask(("setup", outcome, detail))
        return
    for number, text in enumerate(asserts):
        ask(("begin", number))
        ask(("result", number, *_attempt(text, space, entries[0] if check else "")))


def _attempt(text: str, space: dict[str, Any], candidate: str) -> tuple[str, str]:
    """Execute one test; with `candidate`, call the `check` that it defines with the stand-in of that name."""
    try:
        exec(compile(text, "<test>", "exec"), space)
        if candidate:
            space["check"](space[candidate])
    except SampleGoneError:
        return GONE, ""
    except NotByValueError as error:
        return UNUSABLE, str(error)
    except AssertionError as error:
        return FAILED, str(error)[:_SHOWN] or "assertion failed"
    except BaseException as error:
        return FAILED, f"the test raised {type(error).__name__}: {error}"[:_SHOWN]
    return PASSED, "ok"
