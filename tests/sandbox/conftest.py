"""Sandboxes for the tests, shared by all tests of a session.

`box` is a sandbox of each tier in turn, `confined` of each tier that isolates programs; tiers that this machine
lacks are skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Literal, cast

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError

Mode = Literal["weak", "standard", "strong"]
WaitUntil = Callable[[Callable[[], bool]], None]


def start_or_skip(mode: Mode) -> sandbox.Sandbox:
    try:
        return sandbox.start(mode)
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=["weak", "standard", "strong"])
def box(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    with start_or_skip(cast(Mode, request.param)) as each:
        yield each


@pytest.fixture(scope="session", params=["standard", "strong"])
def confined(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    with start_or_skip(cast(Mode, request.param)) as each:
        yield each


@pytest.fixture(scope="session")
def best() -> Iterator[sandbox.Sandbox]:
    try:
        with sandbox.start() as each:
            yield each
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def weak() -> Iterator[sandbox.Sandbox]:
    with sandbox.start("weak") as each:
        yield each


@pytest.fixture
def wait_until() -> WaitUntil:
    """Return a function that waits until a condition holds and fails after a hundred seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 100
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.01)

    return wait
