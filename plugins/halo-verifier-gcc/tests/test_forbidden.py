"""Forbidden features."""

from typing import Any

import pytest

from halo_core.config.options import build
from halo_core.errors import ConfigError, DataError
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_gcc import GCC

READ = 'int main(void) { int a, b; scanf("%d %d", &a, &b); '
SOLUTION = f'#include <stdio.h>\n{READ}printf("%d\\n", a + b); return 0; }}'


def stage(text: str, **reference: Any) -> Stage:
    return GCC().check(Prompt("p7", "t", reference=reference), Completion("p7", 0, text)).stage


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("goto end; end:", True),
        ("go\\\nto end; end:", True),
        ("JUMP end; end:", True),
        ("int gotos = 0; (void)gotos;", False),
        ("/* goto */ // goto", False),
        ('puts("goto \\" goto");', False),
        ("int c = 'g'; (void)c; // '\n", False),
    ],
)
def test_forbidden_features(check: Any, code: str, forbidden: bool) -> None:
    program = "#include <stdio.h>\n#define JUMP go##to\n" + READ + f'{code}\nprintf("%d", a + b); }}'
    tests = [{"stdin": "3 4", "stdout": 'goto " goto\n7' if "puts" in code else "7"}]
    verdict = check(program, tests=tests, forbid=(r"\bgoto\b",))
    assert (verdict.stage is Stage.FLAWED) == forbidden, verdict.detail
    assert (verdict.status is Status.PASS) == (not forbidden), verdict.detail


def test_prompt_can_forbid_features_and_headers_are_not_searched() -> None:
    tests = [{"stdin": "3 4", "stdout": "7"}]
    assert stage(SOLUTION, tests=tests, forbid=["extern|typedef"]) is Stage.CORRECT
    assert stage(SOLUTION, tests=tests, forbid=["printf"]) is Stage.FLAWED
    assert stage(SOLUTION, tests=tests, forbid=[r"#\s*include\s*<stdio"]) is Stage.FLAWED


def test_invalid_takes_precedence_over_forbidden() -> None:
    assert stage("int main(void) { goto }", tests=[{"stdout": "1"}], forbid=["goto"]) is Stage.INVALID


def test_invalid_patterns_are_rejected() -> None:
    with pytest.raises(DataError, match="not a valid pattern"):
        GCC().check_prompt(Prompt("p7", "t", reference={"forbid": ["("]}))
    with pytest.raises(ConfigError, match="not a valid pattern"):
        build(GCC, {"forbid": r"(?=x)"}, where="verifier 'gcc'")
    assert build(GCC, {"forbid": r"\bgoto\b"}, where="verifier 'gcc'").forbid == (r"\bgoto\b",)


@pytest.mark.timeout(20)
def test_every_pattern_is_fast() -> None:
    code = "int main(void) { return 0; } // \nint " + "a" * 50_000 + ";"
    assert stage(code, tests=[{"stdout": "1"}], forbid=["(a+)+$", "(a|a)*b", "(.*)*x"]) is Stage.FLAWED
