from typing import Any

import pytest

from halo_core.testing.contracts import VerifierContract
from halo_core.types import Completion, Prompt
from halo_verifier_pytest import Pytest

REFERENCES: dict[str, dict[str, Any]] = {
    "values": {
        "entry_point": "double",
        "tests": [{"args": [2], "expected": 4}, {"args": [0], "expected": 0}],
    },
    "asserts": {"entry_point": "double", "test": "def check(candidate):\n    assert candidate(2) == 4\n"},
    "files": {
        "files": {"test_it.py": "from solution import double\ndef test_it():\n    assert double(2) == 4\n"}
    },
}


@pytest.fixture(params=REFERENCES)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestPytest(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Pytest:
        return Pytest(cpu_seconds=0.5, paths=("/usr/share",), forbid=("eval",))

    @pytest.fixture
    def prompt(self, form: str) -> Prompt:
        return Prompt("double", "Write double(n).", reference=REFERENCES[form])

    @pytest.fixture
    def good(self) -> str:
        return "Like this:\n```python\ndef double(n):\n    return 2 * n\n```"

    @pytest.fixture
    def bad(self) -> str:
        return "def double(n):\n    return n\n"


def test_extracted_part_is_the_program() -> None:
    prompt = Prompt("double", "Write double(n).", reference=REFERENCES["values"])
    found = Pytest().extracted(
        prompt, Completion("p", 0, "So:\n```python\ndef double(n):\n    return 2 * n\n```\nDone.")
    )
    assert found is not None
    assert found.strip() == "def double(n):\n    return 2 * n"
    assert Pytest().extracted(prompt, Completion("p", 0, "")) is None
