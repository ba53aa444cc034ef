from collections.abc import Callable
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Verdict
from halo_verifier_sympy import Sympy

Check = Callable[..., Verdict]


@pytest.fixture(scope="session")
def check_completion() -> Check:
    """Return a function that checks a completion; `options` go to the verifier, keywords to the reference."""

    def run(gold: str, text: str, options: dict[str, Any] | None = None, **reference: Any) -> Verdict:
        prompt = Prompt("p", "task", reference={"answer": gold, **reference})
        return Sympy(**(options or {})).check(prompt, Completion("p", 0, text))

    return run


@pytest.fixture(scope="session")
def check(check_completion: Check) -> Check:
    """Return a function that checks an answer in a box."""

    def run(gold: str, answer: str, options: dict[str, Any] | None = None, **reference: Any) -> Verdict:
        return check_completion(gold, rf"So it is \boxed{{{answer}}}.", options, **reference)

    return run
