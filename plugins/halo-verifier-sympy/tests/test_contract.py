import pytest

from halo_core.testing.contracts import VerifierContract
from halo_core.types import Prompt
from halo_verifier_sympy import Sympy


class TestSympy(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Sympy:
        return Sympy(cpu_seconds=1.5, thousands=True)

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("double", "What is sin 2x?", reference={"answer": r"\sin 2x"})

    @pytest.fixture
    def good(self) -> str:
        return r"By the addition theorem it is \boxed{2\sin x\cos x}."

    @pytest.fixture
    def bad(self) -> str:
        return r"\boxed{2\sin x}"


class TestFast(VerifierContract):
    """The same for an answer that never leaves the process."""

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
