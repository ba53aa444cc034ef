"""Tasks of writing functions, which the prompt's harness calls."""

import random
import shutil
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Prompt, Stage, Status
from halo_verifier_gcc import GCC, elf
from halo_verifier_gcc.building import LIBRARY
from halo_verifier_gcc.source import Source

ADD = {
    "harness": "#include <stdio.h>\nint add(int, int);\n"
    'int main(void) { int a, b; while (scanf("%d %d", &a, &b) == 2) printf("%d\\n", add(a, b)); return 0; }',
    "symbols": ["int add(int, int)"],
    "tests": [{"stdin": "3 4", "stdout": "7"}, {"stdin": "1 1 2 2", "stdout": "2 4"}],
}
TOTAL = {
    "harness": "#include <iostream>\n#include <vector>\nint total(const std::vector<int>&);\n"
    "int main() { std::vector<int> v; for (int x; std::cin >> x;) v.push_back(x); std::cout << total(v); }",
    "symbols": ["int total(const std::vector<int>&)"],
    "tests": [{"stdin": "3 4", "stdout": "7"}, {"stdin": "-2", "stdout": "-2"}],
}
RIGHT = "int add(int a, int b) { return a + b; }"
BODY = "{ int s = 0; for (int x : v) s += x; return s; }"


def test_right_function_passes(check: Any) -> None:
    verdict = check(RIGHT, **ADD)
    assert (verdict.status, verdict.warnings, verdict.score) == (Status.PASS, 0, 1.0)


def test_wrong_function_is_wrong(check: Any) -> None:
    verdict = check("int add(int a, int b) { return a * b; }", **ADD)
    assert verdict.stage is Stage.WRONG
    assert r"expected '7', got '12\n'" in verdict.detail


def test_missing_function_is_invalid_and_named(check: Any) -> None:
    verdict = check("int plus(int a, int b) { return a + b; }", **ADD)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert verdict.detail == "does not define add"


def test_crash_in_the_function_is_a_crash(check: Any) -> None:
    verdict = check("int add(int a, int b) { return a / (b - b); }", **ADD)
    assert verdict.stage is Stage.CRASHED


def test_helpers_and_main_in_the_completion_are_harmless(check: Any) -> None:
    code = "#include <stdio.h>\nstatic int id(int n) { return n; }\nint twice(int n) { return 2 * n; }\n"
    code += (
        'int add(int a, int b) { return id(a) + b + twice(0); }\nint main(void) { printf("%d", add(1, 2)); }'
    )
    assert check(code, **ADD).status is Status.PASS


def test_library_functions_redefined_by_the_completion_stay_private(check: Any) -> None:
    """The harness calls the C library's `printf`, not the completion's."""
    code = "int printf(const char *f, ...) { (void)f; __builtin_trap(); }\n" + RIGHT
    assert check(code, **ADD).status is Status.PASS


def test_last_piece_that_defines_the_function_is_used(check: Any) -> None:
    text = "```c\nint add(int a, int b) { return 0; }\n```\nNo:\n```c\n" + RIGHT + "\n```\nUse it:\n"
    text += "```c\nint main(void) { return add(1, 2); }\n```"
    assert check(text, **ADD).status is Status.PASS


def test_completion_cannot_read_the_harness(check: Any) -> None:
    code = '#include <stdio.h>\nint add(int a, int b) { FILE *f = fopen("harness.c", "r"); '
    code += 'return f || fopen("main.c", "r") || fopen("harness.o", "r") ? 0 : a + b; }'
    assert check(code, **ADD).status is Status.PASS


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("standard", ["", "c++20"])
def test_cpp(check: Any, compiler: str, standard: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    options = {"compiler": compiler, "standard": standard, **TOTAL}
    assert (
        check(f"#include <vector>\nint total(const std::vector<int>& v) {BODY}", **options).status
        is Status.PASS
    )
    by_value = check(f"#include <vector>\nint total(std::vector<int> v) {BODY}", **options)
    assert by_value.stage is Stage.INVALID
    assert by_value.detail.startswith("does not define total as the harness declares it (_Z5total")


def test_language_is_that_of_the_harness(check: Any) -> None:
    code = "int add(int a, int b) { return a + b; }"
    reference = {**ADD, "harness": '#include <iostream>\nint add(int, int);\n'
                 "int main() { int a, b; while (std::cin >> a >> b) std::cout << add(a, b) << '\\n'; }"}  # fmt: skip
    assert check(code, **reference).status is Status.PASS
    assert check(f"```c\n{code}\n```", **reference).status is Status.PASS


def test_several_functions_and_methods(check: Any) -> None:
    reference = {
        "harness": "#include <iostream>\nstruct Stack { int top = 0; void push(int); int pop(); };\n"
        "int size(const Stack&);\n"
        "int main() { Stack s; for (int x; std::cin >> x;) s.push(x); std::cout << size(s) << ' ' << s.pop(); }",
        "symbols": ["push", "int pop()", "int size(const Stack& s)"],
        "tests": [{"stdin": "5 6", "stdout": "2 6"}, {"stdin": "9", "stdout": "1 9"}],
    }
    code = "struct Stack { int top = 0; void push(int); int pop(); };\nstatic int all[99];\n"
    code += "void Stack::push(int n) { all[top++] = n; }\nint Stack::pop() { return all[--top]; }\n"
    assert check(code + "int size(const Stack& s) { return s.top; }", **reference).status is Status.PASS
    assert "size" in check(code, **reference).detail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"harness": "int main(void) { return 0 }"}, "harness does not compile"),
        ({"harness": "int main(void) { return 0; }"}, "does not call add"),
        ({"harness": "int add(int, int);\nint mul(int);\nint main(void) { return add(1, mul(2)); }"},
         "does not link: .*mul"),
        ({"harness": "#include <map>\nint f(int);\nint fabrication(int);\nint main() { return f(fabrication(2)); }",
          "symbols": ["f"]}, "does not link: .*fabrication"),
        ({"symbols": []}, "need each other"),
        ({"symbols": ["(!)"]}, "does not name a function"),
        ({"tests": ADD["tests"][:1]}, "different outputs"),
        ({"tests": []}, "different outputs"),
    ],
)  # fmt: skip
def test_unusable_harness_is_rejected(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        GCC().check_prompt(Prompt("p7", "t", reference={**ADD, **change}))
    assert "p7" in str(caught.value)


def test_broken_harness_is_an_error_and_not_a_failure(check: Any) -> None:
    verdict = check(RIGHT, **{**ADD, "harness": "int main(void) { return 0 }"})
    assert verdict.status is Status.ERROR


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"\x7fELF\x02\x01" + b"\0" * 58]
)
def test_invalid_object_file_has_no_symbols(data: bytes) -> None:
    assert elf.exported_functions(data) == elf.undefined(data) == set()


def test_damaged_library_does_not_raise() -> None:
    data = GCC()._builder().library(Source(RIGHT, "c"), ["add"]).files[LIBRARY]
    assert elf.exported_functions(data) == {"add"}
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(data[: rng.randrange(1, len(data))] if rng.random() < 0.3 else data)
        for _ in range(rng.randrange(8)):
            at = rng.randrange(64) if rng.random() < 0.5 else rng.randrange(len(data))
            damaged[at % len(damaged)] = rng.randrange(256)
        elf.exported_functions(bytes(damaged))
