"""One weak sandbox for the tests of the interface, which is the same in every tier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from halo_core import sandbox


@pytest.fixture(scope="session")
def weak() -> Iterator[sandbox.Sandbox]:
    with sandbox.start("weak") as box:
        yield box
