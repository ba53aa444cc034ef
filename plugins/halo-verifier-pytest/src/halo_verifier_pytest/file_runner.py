"""File runner, in the tests' process: runs pytest files against proxies or together with the sample.

Each call of `serve` has its own process, forked from one that has `pytest_session` loaded.
"""

from __future__ import annotations

import hashlib
import hmac
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from types import ModuleType
from typing import Any

import pytest
from _pytest.main import Session
from _pytest.runner import runtestprotocol

from halo_core.sandbox.service import ask
from halo_verifier_pytest import guard, pytest_session, sample_runner
from halo_verifier_pytest.assert_runner import FAILED, GONE, PASSED, SWALLOWED, UNUSABLE
from halo_verifier_pytest.proxy import Link, NotByValueError, SampleGoneError

_MESSAGE_CHARACTERS = 500
"""Maximum characters of a message, which may contain a value that the sample returned."""
RAISED = "raised"
"""Outcome of a test that ended in an exception other than a failed assertion."""


class _Stub:
    """Replaces any object that a test file imports from the program while the tests are collected."""

    def __call__(self, *args: object, **kwargs: object) -> _Stub:
        return self

    def __getattr__(self, name: str) -> _Stub:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Any:
        return iter(())


def serve(command: str, *arguments: Any) -> object:
    """Run one of the commands `collect`, `split` and `shared`."""
    commands: dict[str, Callable[..., object]] = {
        "collect": collect,
        "split": run_split,
        "shared": run_shared,
    }
    return commands[command](*arguments)


class _StubModule(ModuleType):
    def __getattr__(self, name: str) -> _Stub:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Stub()


def collect(
    files: Mapping[str, str], module: str, candidates: Sequence[str], names: Sequence[str], imports: str
) -> list[str]:
    """Return the node ids of the tests in `files`, collected with a known program or, without one, with stubs."""
    if candidates:
        sample_runner.serve("parse", candidates, names, ())
        _load_sample(module, 0.0, imports)
    else:
        sys.modules[module] = _StubModule(module)
    return [item.nodeid for item in _collect(files)[1]]


def run_split(
    files: Mapping[str, str],
    module: str,
    entries: Sequence[str],
    expected: Sequence[str],
    more: Mapping[str, Any],
    write_back: bool,
) -> None:
    """Run the tests with the ids `expected` against proxies and report each result to the caller.

    `more` has the fields `imports`, `fetched`, `classes` and `constants` of the task.
    """
    ask(("begin", -1))
    link = Link(more["classes"], more["constants"], write_back=write_back)
    proxies = ModuleType(module)
    sys.modules[module] = proxies
    try:
        exec(more["imports"], proxies.__dict__)
        proxies.__dict__.update({entry: link.proxy(entry) for entry in entries})
        for name in more["fetched"]:
            with suppress(AttributeError):
                setattr(proxies, name, link.do("find", name))
        items = _collect(files)[1]
    except SampleGoneError:
        ask(("setup", GONE, ""))
        return
    except NotByValueError as error:
        ask(("setup", UNUSABLE, str(error)))
        return
    except BaseException as error:
        ask(("setup", RAISED, _describe(error)))
        return
    finally:
        link.report()

    def after(number: int, outcome: str, detail: str) -> None:
        link.report()
        error = link.swallowed()
        if error is not None and outcome == PASSED:
            outcome, detail = FAILED, SWALLOWED.format(type(error).__name__)
        ask(("result", number, outcome, detail))

    def before(number: int) -> None:
        link.swallowed()
        ask(("begin", number))

    _run(items, expected, before, after)


# attacks.md looks for some functions and locals below by name. Renaming one would disarm the attack.


def run_shared(
    files: Mapping[str, str],
    module: str,
    candidates: Sequence[str],
    names: Sequence[str],
    forbidden: Sequence[str],
    imports: str,
    expected: Sequence[str],
    seconds: float,
    key: bytes,
) -> None:
    """Run the tests with the ids `expected` and the sample in this process; report each result to the caller.

    Each report carries a seal made with `key`, so that access to the channel is not enough to forge it. The kernel
    ends the process when a test has used its `seconds` of CPU time.
    """
    say = partial(_say_sealed, hmac.new(key, digestmod=hashlib.sha256).copy, _intact)
    del key
    problem: Any = sample_runner.serve("parse", candidates, names, forbidden)
    if problem[0] == sample_runner.PARSED and sample_runner.is_stub(names):
        problem = sample_runner.FLAWED, "the function is empty"
    say("parsed", *problem)
    _hide_verifier()
    try:
        _load_sample(module, seconds, imports)
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


def _hide_verifier() -> None:
    """Block the ways by which the sample, once it runs, could find the verifier."""
    guard.refuse_introspection()
    for name in [name for name in sys.modules if name.startswith("halo_")]:
        del sys.modules[name]


def _say_sealed(
    new_seal: Callable[[], Any], intact: Callable[[], bool], what: int | str, outcome: str, detail: str
) -> None:
    if not intact():
        raise RuntimeError("the verifier's code has been replaced")
    seal = new_seal()
    seal.update(f"{what} {outcome}".encode())
    ask(("sealed", what, outcome, detail, seal.digest()))


def seal(key: bytes, what: int | str, outcome: str) -> bytes:
    """Return the seal of a report from `run_shared`."""
    return hmac.new(key, f"{what} {outcome}".encode(), hashlib.sha256).digest()


def _load_sample(module: str, seconds: float, imports: str) -> None:
    """Execute the parsed program within `seconds` of CPU time and register it in `sys.modules` as `module`.

    The names of `imports`, on which the tests rely, are added unless the program defines them.
    """
    sample_runner.serve("execute", seconds)
    loaded = sys.modules["solution"]
    namespace: dict[str, Any] = {}
    with suppress(Exception):
        exec(imports, namespace)
    for name, value in namespace.items():
        loaded.__dict__.setdefault(name, value)
    sys.modules[module] = loaded


def _collect(files: Mapping[str, str]) -> tuple[Session, list[pytest.Item]]:
    """Collect the tests in `files`. Other modules are importable by the tests; conftest.py becomes a plugin."""
    session = pytest_session.new_session(pytest_session.CONFIG)
    texts = dict(
        sorted(files.items(), key=lambda file: (_is_test(file[0]), file[0] == "conftest.py", file[0]))
    )
    items: list[pytest.Item] = []
    for name, text in texts.items():
        file = pytest_session.test_file(session, name, text)
        if _is_test(name):
            assert file.obj  # raises the file's own exception, which pytest would turn into a report
            items += session.genitems(file)
        else:
            sys.modules[name[:-3]] = file.obj
        if name == "conftest.py":
            pytest_session.CONFIG.pluginmanager.register(file.obj, "conftest")
    if session.testsfailed:
        raise ImportError("a class or a parametrization in the test files is invalid")
    return session, items


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py")


def _run(
    items: Sequence[pytest.Item],
    expected: Sequence[str],
    before: Callable[[int], object],
    after: Callable[[int, str, str], object],
) -> None:
    """Run the tests whose ids are expected; any other test was added by the sample."""
    numbers = {nodeid: number for number, nodeid in enumerate(expected)}
    known = [item for item in items if item.nodeid in numbers]
    for item, following in zip(known, [*known[1:], None], strict=True):
        number = numbers.pop(item.nodeid, None)
        if number is not None:
            before(number)
            after(number, *_run_one(item, following))


def _run_one(item: pytest.Item, following: pytest.Item | None) -> tuple[str, str]:
    """Run one test. It passes only if its function was called and returned, and pytest reports it as passed."""
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
        detail = f"{bad.outcome} in {bad.when}: {reason}"
        return FAILED if bad.outcome == "skipped" else RAISED, detail[:_MESSAGE_CHARACTERS]
    if any(hasattr(report, "wasxfail") for report in reports):
        return FAILED, "passed, but was expected to fail"
    if returned != [True] or [report.when for report in reports] != ["setup", "call", "teardown"]:
        return FAILED, "did not run to its end"
    return PASSED, "ok"


def _witnessed(function: Callable[..., Any], returned: list[bool], errors: list[BaseException]) -> Any:
    """Wrap a test to record that it returned, or the exception that it raised."""

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
    if isinstance(error, pytest.skip.Exception) and not _came_from_sample(error):
        return FAILED, f"skipped: {_describe(error)}"
    by_test = isinstance(error, AssertionError | pytest.fail.Exception) and not _came_from_sample(error)
    return FAILED if by_test else RAISED, _describe(error)


def _came_from_sample(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == sample_runner.NAME:
            return True
        trace = trace.tb_next
    return False


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:_MESSAGE_CHARACTERS]
    except BaseException:
        return type(error).__name__


_intact = guard.watch(guard, sample_runner, pytest_session, sys.modules[__name__])
"""Created at the end of the module, when all its functions exist, and before any sample is loaded."""
