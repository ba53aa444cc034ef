"""Assert runner, in the tests' process: executes benchmark asserts unchanged against proxies of the sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from halo_core.sandbox.service import ask
from halo_verifier_pytest.proxy import Link, NotByValueError, SampleGoneError

PASSED, FAILED, GONE, UNUSABLE = "passed", "failed", "gone", "unusable"
SWALLOWED = "{} raised by the program ended an iteration of the test"
_MESSAGE_CHARACTERS = 500
"""Maximum characters of a message, which may contain a value that the sample returned."""


def run(
    context: str,
    setup: str,
    asserts: Sequence[str],
    entries: Sequence[str],
    check: bool,
    more: Mapping[str, Any],
    write_back: bool,
) -> None:
    """Execute each of `asserts` and report its result to the caller.

    `context` is executed first and defines the helpers that the prompt supplies beside the requested function. `more`
    has the fields `imports`, `fetched`, `classes` and `constants` of the task.
    """
    namespace: dict[str, Any] = {"__name__": "tests"}
    ask(("begin", -1))
    for text in (context, more["imports"]):
        with suppress(Exception):
            exec(text, namespace)
    link = Link(more["classes"], more["constants"], write_back=write_back)
    outcome, detail = _prepare(link, namespace, entries, more["fetched"])
    if outcome == PASSED:
        outcome, detail = _attempt(link, setup, namespace, "")
    if outcome != PASSED:
        ask(("setup", outcome, detail))
        return
    for number, text in enumerate(asserts):
        ask(("begin", number))
        ask(("result", number, *_attempt(link, text, namespace, entries[0] if check else "")))


def _prepare(
    link: Link, namespace: dict[str, Any], entries: Sequence[str], fetched: Sequence[str]
) -> tuple[str, str]:
    """Add proxies for the entries, and the other names that the tests use if the program defines them."""
    try:
        namespace |= {entry: link.proxy(entry) for entry in entries}
        for name in fetched:
            with suppress(AttributeError):
                namespace[name] = link.do("find", name)
    except SampleGoneError:
        return GONE, ""
    except BaseException as error:
        return FAILED, f"{type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS]
    return PASSED, ""


def _attempt(link: Link, text: str, namespace: dict[str, Any], candidate: str) -> tuple[str, str]:
    """Execute one test; with `candidate`, pass the proxy of that name to the `check` that the test defines."""
    link.swallowed()
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
    finally:
        link.report()
    if unseen := link.swallowed():
        return FAILED, SWALLOWED.format(type(unseen).__name__)
    return PASSED, "ok"
