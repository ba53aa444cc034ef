from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Verdict
from halo_verifier_gcc import GCC

Check = Callable[..., Verdict]

SUM_TESTS = [
    {"stdin": "3 4\n", "stdout": "7\n"},
    {"stdin": "-3 4\n", "stdout": "1\n"},
    {"stdin": "0 0\n", "stdout": "0\n"},
]


@pytest.fixture
def check() -> Check:
    """Return a function that judges a program, by default one that should print the sum of two integers.

    Keyword arguments that are not options of the verifier become keys of the reference.
    """
    known = {field.name for field in fields(GCC)}

    def run(text: str, tests: list[dict[str, str]] | None = None, **options: Any) -> Verdict:
        reference = {"tests": SUM_TESTS if tests is None else tests}
        if "reference_language" in options:
            reference["language"] = options.pop("reference_language")
        reference |= {key: options.pop(key) for key in options.keys() - known}
        return GCC(**options).check(Prompt("p", "task", reference=reference), Completion("p", 0, text))

    return run
