"""Sandboxes for the tests. `box` is one of each tier in turn; a tier that this machine lacks is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError

Mode = Literal["weak", "standard", "strong"]


@pytest.fixture(scope="session", params=["weak", "standard", "strong"])
def box(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    try:
        started = sandbox.start(cast(Mode, request.param))
    except SandboxError as error:
        pytest.skip(str(error))
    with started:
        yield started


@pytest.fixture(scope="session")
def weak() -> Iterator[sandbox.Sandbox]:
    with sandbox.start("weak") as started:
        yield started
