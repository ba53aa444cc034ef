import pytest

from halo_verifier_gcc.source import count_silencing_directives, extract

PROGRAM = "#include <stdio.h>\nint main(void) { return 0; }\n"


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        f"```c\n{PROGRAM}```",
        f"Sure:\n\n```c\n{PROGRAM}```\nThe `main()` function returns 0.",
        f"~~~ C\n{PROGRAM}~~~",
        f"    ```\n{PROGRAM}    ```\n",
        f"```c\n{PROGRAM}",  # never closed
        f"{PROGRAM}```\nThat is all.",  # opened in the prompt
        f"```c\nint main() {{ wrong }}\n```\nNo, rather:\n```c\n{PROGRAM}```",  # the last one counts
        f"```c\n{PROGRAM}```\nRun it:\n```sh\n./a.out\n```",
    ],
)
def test_program_is_found(text: str) -> None:
    assert extract(text).code.strip() == PROGRAM.strip()


def test_text_without_a_program_is_returned_unchanged() -> None:
    assert extract("I cannot do that.").code == "I cannot do that.\n"
    assert extract("").code == "\n"


def test_fenced_code_is_used_if_no_piece_defines_main() -> None:
    assert extract("So:\n```c\nint x;\n```\nend").code == "int x;\n"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (PROGRAM, "c"),
        (f"```cpp\n{PROGRAM}```", "c++"),
        (f"```C++\n{PROGRAM}```", "c++"),
        ("```c\n#include <iostream>\nint main() { }\n```", "c"),  # the tag decides
        ("#include <iostream>\nint main() { }", "c++"),
        ("int main() { std::puts(0); }", "c++"),
        ("int main() { /* using a namespace */ }", "c"),
    ],
)
def test_language(text: str, language: str) -> None:
    assert extract(text).language == language


def test_set_language_overrides_the_tag() -> None:
    assert extract(f"```c\n{PROGRAM}```", "c++").language == "c++"


@pytest.mark.parametrize(
    "line",
    [
        '#pragma GCC diagnostic ignored "-Wall"',
        "#pragma GCC system_header",
        '#pragma clang diagnostic ignored "-Wall"',
        '  %: pragma GCC diagnostic ignored "-Wall"',
        '#/**/pragma/*\n*/GCC diagnostic ignored "-Wall"',
        '#pra\\\ngma GCC diag\\\nnostic ignored "-Wall"',
        '# 1 "main.h" 3',
        '#/* a */ 1 /* b\n */ "main.h" 1 3',
        '??= 1 "x" 3',
    ],
)
def test_silencing_directives_are_counted(line: str) -> None:
    assert count_silencing_directives(f"{line}\n{PROGRAM}") == 1


@pytest.mark.parametrize(
    "line", ["#pragma once", "#pragma GCC optimize(3)", '// rule #1: "be kind" to the 3', '#line 7 "main.c"']
)
def test_other_directives_are_not_counted(line: str) -> None:
    assert count_silencing_directives(f"{line}\n{PROGRAM}") == 0


def test_hostile_text_is_read_quickly() -> None:
    for hostile in ("#" + "/**/" * 20000, "```\n" * 20000, "main(" * 20000, '# 1 "' + "\\" * 50000):
        extract(hostile)
        count_silencing_directives(hostile)
