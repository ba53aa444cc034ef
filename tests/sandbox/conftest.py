"""Sandboxes for the tests. `box` is one of each tier in turn, `walled` one of each that holds
programs in; a tier that this machine lacks is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError

Mode = Literal["weak", "standard", "strong"]


def started(mode: Mode) -> sandbox.Sandbox:
    try:
        return sandbox.start(mode)
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=["weak", "standard", "strong"])
def box(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    with started(cast(Mode, request.param)) as each:
        yield each


@pytest.fixture(scope="session", params=["standard", "strong"])
def walled(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    with started(cast(Mode, request.param)) as each:
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
