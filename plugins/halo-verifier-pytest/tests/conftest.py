from collections.abc import Callable
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Verdict
from halo_verifier_pytest import Pytest

Check = Callable[..., Verdict]

ADD = {
    "entry_point": "add",
    "tests": [
        {"args": [3, 4], "expected": 7},
        {"args": ["a", "b"], "expected": "ab"},
        {"args": [1, "b"], "raises": "TypeError"},
    ],
}


@pytest.fixture
def check() -> Check:
    """Return a function that judges a program; the default reference expects `add`."""

    def run(
        text: str, reference: dict[str, Any] | None = None, prompt: str = "Add.", **options: Any
    ) -> Verdict:
        posed = Prompt("p", prompt, reference=ADD if reference is None else reference)
        return Pytest(**options).check(posed, Completion("p", 0, text))

    return run
