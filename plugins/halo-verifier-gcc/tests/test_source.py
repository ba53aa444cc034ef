"""Directives in a program's source."""

import pytest

from halo_verifier_gcc.source import count_silencing_directives

PROGRAM = "#include <stdio.h>\nint main(void) { return 0; }\n"


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
        count_silencing_directives(hostile)
