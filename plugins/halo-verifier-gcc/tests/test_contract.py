import pytest

from halo_core.testing.contracts import VerifierContract
from halo_core.types import Completion, Prompt
from halo_verifier_gcc import GCC


class TestGCC(VerifierContract):
    @pytest.fixture
    def verifier(self) -> GCC:
        return GCC(cpu_seconds=0.5, rtol=1e-6)

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("double", "Double it.", reference={"tests": [{"stdin": "2", "stdout": "4"}]})

    @pytest.fixture
    def good(self) -> str:
        return (
            '```c\n#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d", 2 * n); }\n```'
        )

    @pytest.fixture
    def bad(self) -> str:
        return '#include <stdio.h>\nint main(void) { puts("5"); }'


def test_extracted_part_is_the_program() -> None:
    prompt = Prompt("p", "Print 7.")
    for text, program in (
        ("Here:\n```c\nint main(void) { return 0; }\n```\nDone.", "int main(void) { return 0; }\n"),
        ("<think>int main</think>int main(void) { return 0; }", "int main(void) { return 0; }\n"),
    ):
        assert GCC().extracted(prompt, Completion("p", 0, text)) == program
