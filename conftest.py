"""Settings of all tests, those of the packages under `plugins/` included."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from halo_core.sandbox import process_wide

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other cores run other tests
settings.register_profile("halo", deadline=None, derandomize=True)  # a slow machine is not a failure
settings.load_profile("halo")


@pytest.fixture(autouse=True)
def sandbox_that_confines() -> Iterator[None]:
    """End a process-wide sandbox that does not confine after the test that wanted it.

    A later test would run attacks in it, and some kill every process of their user.
    """
    yield
    process_wide.configure("auto")
    current = process_wide.running()
    if current is not None and current.tier in ("weak", "none"):
        process_wide.current = None
        current.close()
