import pytest

from halo_core.testing import VerifierContract
from halo_core.types import Prompt
from halo_verifier_rust import Rust


class TestRust(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Rust:
        return Rust(cpu_seconds=0.5, rtol=1e-6)

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("double", "Double it.", reference={"tests": [{"stdin": "2", "stdout": "4"}]})

    @pytest.fixture
    def good(self) -> str:
        return (
            "```rust\nfn main() {\n    let mut line = String::new();\n"
            "    std::io::stdin().read_line(&mut line).unwrap();\n"
            '    println!("{}", 2 * line.trim().parse::<i64>().unwrap());\n}\n```'
        )

    @pytest.fixture
    def bad(self) -> str:
        return 'fn main() { println!("5"); }'
