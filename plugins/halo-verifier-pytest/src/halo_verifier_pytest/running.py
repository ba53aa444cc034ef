"""In the tests' own process: pytest files, run against stand-ins or together with the sample.

Each function here serves one call in a process of its own, forked from one that has `warm` loaded.
"""

from __future__ import annotations

import hashlib
import hmac
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from types import ModuleType
from typing import Any

import pytest
from _pytest.main import Session
from _pytest.runner import runtestprotocol

from halo_core.sandbox.service import ask
from halo_verifier_pytest import guard, guest, warm
from halo_verifier_pytest.asserting import FAILED, GONE, PASSED, UNUSABLE
from halo_verifier_pytest.proxy import NotByValueError, SampleGoneError, stand_in

_SHOWN = 500
"""Characters of a message, which may hold what the sample returned, that are passed on."""
RAISED = "raised"
"""A test that ended in an exception other than a failed assertion."""


class _Stub:
    """Stands for whatever a test file takes from the program while nothing but its tests is wanted."""

    def __call__(self, *args: object, **kwargs: object) -> _Stub:
        return self

    def __getattr__(self, name: str) -> _Stub:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Any:
        return iter(())


def serve(what: str, *rest: Any) -> object:
    """Do what is wanted: `collect`, run `apart`, or run `together`."""
    functions: dict[str, Callable[..., object]] = {"collect": collect, "apart": apart, "together": together}
    return functions[what](*rest)


class _StubModule(ModuleType):
    def __getattr__(self, name: str) -> _Stub:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Stub()


def collect(
    files: Mapping[str, str], module: str, readings: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Return the node ids of the tests in `files`, found with a known program or, without one, with stubs."""
    if readings:
        guest.serve("parse", readings, names, ())
        _become(module)
    else:
        sys.modules[module] = _StubModule(module)
    return [item.nodeid for item in _collect(files)[1]]


def apart(files: Mapping[str, str], module: str, entries: Sequence[str], expected: Sequence[str]) -> None:
    """Run the tests against stand-ins, telling the one who called how each went."""
    ask(("begin", -1))
    stand_ins = ModuleType(module)
    stand_ins.__dict__.update({entry: stand_in(entry) for entry in entries})
    sys.modules[module] = stand_ins
    try:
        items = _collect(files)[1]
    except SampleGoneError:
        ask(("setup", GONE, ""))
        return
    except Exception as error:
        ask(("setup", RAISED, _describe(error)))
        return
    _run(
        items,
        expected,
        before=lambda number: ask(("begin", number)),
        after=lambda *said: ask(("result", *said)),
    )


def together(
    files: Mapping[str, str],
    module: str,
    readings: Sequence[str],
    names: Sequence[str],
    forbidden: Sequence[str],
    expected: Sequence[str],
    seconds: float,
    key: bytes,
) -> None:
    """Run the tests and the sample in this one process, telling the one who called how each went.

    What is said bears a seal made with `key`, so that it takes more than the channel to forge it. The kernel
    ends the process when a test has used up its `seconds` of CPU time.
    """
    say = partial(_say_sealed, hmac.new(key, digestmod=hashlib.sha256).copy, _intact)
    del key
    problem: Any = guest.serve("parse", readings, names, forbidden)
    if problem[0] == guest.PARSED and guest.is_stub(names):
        problem = guest.FLAWED, "has nothing in it"
    say("parsed", *problem)
    _hide()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        _become(module)
    except BaseException as error:
        say("executed", RAISED, _describe(error))
        return
    say("executed", PASSED, "")
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        items = _collect(files)[1]
    except BaseException as error:
        say("collected", RAISED, _describe(error))
        return
    say("collected", PASSED, "")

    def before(number: int) -> None:
        signal.setitimer(signal.ITIMER_PROF, seconds)

    _run(items, expected, before, say)


def _hide() -> None:
    """Close the ways by which a sample that is about to run could find those who judge it."""
    guard.close_ways()
    for name in [name for name in sys.modules if name.startswith("halo_")]:
        del sys.modules[name]


def _say_sealed(
    new_seal: Callable[[], Any], intact: Callable[[], bool], what: int | str, outcome: str, detail: str
) -> None:
    if not intact():
        raise RuntimeError("what judges has been replaced")
    seal = new_seal()
    seal.update(f"{what} {outcome}".encode())
    ask(("sealed", what, outcome, detail, seal.digest()))


def seal(key: bytes, what: int | str, outcome: str) -> bytes:
    """Return the seal under what is said in the process of `together`."""
    return hmac.new(key, f"{what} {outcome}".encode(), hashlib.sha256).digest()


def _become(module: str) -> None:
    """Execute the program that was parsed and give it its place among the modules."""
    guest.serve("execute", 0.0)
    sys.modules[module] = sys.modules["solution"]


def _collect(files: Mapping[str, str]) -> tuple[Session, list[pytest.Item]]:
    """Collect the tests in `files`. Modules that are no tests can be imported by them; conftest.py is a plugin."""
    session = warm.new_session(warm.CONFIG)
    texts = dict(
        sorted(files.items(), key=lambda file: (_is_test(file[0]), file[0] == "conftest.py", file[0]))
    )
    items: list[pytest.Item] = []
    for name, text in texts.items():
        file = warm.test_file(session, name, text)
        if _is_test(name):
            assert file.obj  # raises what the file raises, where pytest would make a report of it
            items += session.genitems(file)
        else:
            sys.modules[name[:-3]] = file.obj
        if name == "conftest.py":
            warm.CONFIG.pluginmanager.register(file.obj, "conftest")
    if session.testsfailed:
        raise ImportError("a class or a parametrization in the test files is broken")
    return session, items


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py")


def _run(
    items: Sequence[pytest.Item],
    expected: Sequence[str],
    before: Callable[[int], object],
    after: Callable[[int, str, str], object],
) -> None:
    """Run the tests whose ids are expected; what else there is came from the sample."""
    numbers = {nodeid: number for number, nodeid in enumerate(expected)}
    known = [item for item in items if item.nodeid in numbers]
    for item, following in zip(known, [*known[1:], None], strict=True):
        number = numbers.pop(item.nodeid, None)
        if number is not None:
            before(number)
            after(number, *_run_one(item, following))


def _run_one(item: pytest.Item, following: pytest.Item | None) -> tuple[str, str]:
    """Run one test. It has passed only if its function was called and returned, and pytest agrees."""
    returned: list[bool] = []
    errors: list[BaseException] = []
    function: Any = item
    function.obj = _witnessed(function.obj, returned, errors)
    reports = runtestprotocol(item, log=False, nextitem=following)
    if errors:
        return _failure(errors[0])
    bad = next((report for report in reports if report.outcome != "passed"), None)
    if bad is not None:
        reason = bad.longrepr[2] if isinstance(bad.longrepr, tuple) else str(bad.longrepr)
        return (FAILED if bad.outcome == "skipped" else RAISED), f"{bad.outcome} in {bad.when}: {reason}"[
            :_SHOWN
        ]
    if any(hasattr(report, "wasxfail") for report in reports):
        return FAILED, "passed, but was expected to fail"
    if returned != [True] or [report.when for report in reports] != ["setup", "call", "teardown"]:
        return FAILED, "did not run to its end"
    return PASSED, "ok"


def _witnessed(function: Callable[..., Any], returned: list[bool], errors: list[BaseException]) -> Any:
    """Wrap a test so that it is known whether it returned or what it raised."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            errors.append(error)
            raise
        returned.append(result is None)
        return result

    return run


def _failure(error: BaseException) -> tuple[str, str]:
    if isinstance(error, SampleGoneError):
        return GONE, ""
    if isinstance(error, NotByValueError):
        return UNUSABLE, str(error)
    if isinstance(error, pytest.skip.Exception) and not _came_from_the_sample(error):
        return FAILED, f"skipped: {_describe(error)}"
    by_test = isinstance(error, AssertionError | pytest.fail.Exception) and not _came_from_the_sample(error)
    return FAILED if by_test else RAISED, _describe(error)


def _came_from_the_sample(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == guest.NAME:
            return True
        trace = trace.tb_next
    return False


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:_SHOWN]
    except BaseException:
        return type(error).__name__


_intact = guard.watch()
"""Made before any sample is there, and in a module that is whole."""
