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
    """Judge a program, by default as one that should define `add`."""

    def run(
        text: str, reference: dict[str, Any] | None = None, prompt: str = "Add.", **options: Any
    ) -> Verdict:
        made = Prompt("p", prompt, reference=ADD if reference is None else reference)
        return Pytest(**options).check(made, Completion("p", 0, text))

    return run


@pytest.fixture
def decided() -> Callable[[Verdict], Verdict]:
    """Skip a test of a CPU limit where other work keeps the machine from ever reaching it."""

    def see(verdict: Verdict) -> Verdict:
        if verdict.status == "inconclusive":
            pytest.skip("the machine is too busy")
        return verdict

    return see
