import pytest

from halo_core.testing.contracts import VerifierContract
from halo_core.types import Completion, Prompt
from halo_verifier_sympy import Sympy


class TestSympy(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Sympy:
        return Sympy(cpu_seconds=1.5, thousands=True)

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("double", "What squared is 3 + 2 sqrt 2?", reference={"answer": r"1+\sqrt2"})

    @pytest.fixture
    def good(self) -> str:
        return r"By definition it is \boxed{\sqrt{3+2\sqrt2}}."

    @pytest.fixture
    def bad(self) -> str:
        return r"\boxed{\sqrt{2+2\sqrt3}}"


class TestFastPath(VerifierContract):
    """The contract for answers decided in this process."""

    @pytest.fixture
    def verifier(self) -> Sympy:
        return Sympy(where="phrase")

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("half", "Half of one?", reference={"answer": "1/2"})

    @pytest.fixture
    def good(self) -> str:
        return "The answer is 0.5."

    @pytest.fixture
    def bad(self) -> str:
        return "The answer is 2."


def test_extracted_part_is_the_answer() -> None:
    assert Sympy().extracted(Prompt("p"), Completion("p", 0, r"Since 1 + 1 = 2, it is \boxed{2}.")) == "2"
    assert Sympy().extracted(Prompt("p"), Completion("p", 0, "")) is None
