from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Verdict
from halo_verifier_rust import Rust

Check = Callable[..., Verdict]
HERE = Path(__file__).parent
SUM_TESTS = [
    {"stdin": "3 4\n", "stdout": "7\n"},
    {"stdin": "-3 4\n", "stdout": "1\n"},
    {"stdin": "0 0\n", "stdout": "0\n"},
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that compile where rustc is missing."""
    if shutil.which("rustc") is None:
        for item in items:
            if HERE in item.path.parents and "without_compiler" not in item.keywords:
                item.add_marker(pytest.mark.skip(reason="rustc is not installed"))


@pytest.fixture
def check() -> Check:
    """Return a function that judges a program, by default one that should print the sum of two integers."""
    known = {field.name for field in fields(Rust)}

    def run(text: str, tests: list[dict[str, str]] | None = None, **options: Any) -> Verdict:
        assert options.keys() <= known
        prompt = Prompt("p", "task", reference={"tests": SUM_TESTS if tests is None else tests})
        return Rust(**options).check(prompt, Completion("p", 0, text))

    return run
