"""Telling code from comments and literals, quickly and whatever the text."""

import random
import time

import pytest

from halo_verifier_gcc import forbidden, lexer
from halo_verifier_gcc.precompiled import leading_headers
from halo_verifier_gcc.source import extract, muzzles, renames_lines

PIECES = (
    "```", "~~~", "```c", "main(", "main", "(", ")", "{", "}", ";", "#", "# 1 \"", "3", "%:", "??=", "??/", "\\", "\n",
    " ", "\t", "\r\n", "/*", "*/", "//", '"', "'", "1'", "R\"", "R\"x(", ")x\"", "u8R\"(", "a", "é", "\0", "\ud800",
    "pragma", "diagnostic", "system_header", "include <", "#include <map>", "line", "0x1p-3", "//\\", "std::", "using",
    "goto",
)  # fmt: skip


def read_all(text: str) -> None:
    """Everything that is done to a text before a compiler sees it."""
    source = extract(text)
    source.code.encode()
    extract(text, function="add")
    muzzles(source.code)
    renames_lines(source.code)
    leading_headers(source.code)
    assert len(lexer.masked(source.code)) == len(source.code)
    forbidden.in_source([r"\bgoto\b"], source.code)
    forbidden.in_preprocessed([r"\bgoto\b"], source.code, "main.c")


@pytest.mark.parametrize(
    ("code", "bare"),
    [
        ("a /* b */ c // d\ne", "a   c  \ne"),
        ('x = "/* no */"; y = \'"\';', "x = \"\"; y = '';"),
        (r'"\"" z', '"" z'),
        ("/* never closed", " "),
        ('R"x(a)" /* )x" + b', '"" + b'),
        ('FOR"(a" b', 'FOR"" b'),
        ("1'000 /* c */ + 2", "1'000   + 2"),
        ("'a' + 'b'", "'' + ''"),
        ('"open\nb', '""\nb'),
    ],
)
def test_bare_code(code: str, bare: str) -> None:
    assert bare in lexer.bare(code)


def test_what_a_comment_is_depends_on_the_dialect() -> None:
    assert lexer.bare("1'a/*' b") == {"1'a ", "1'' b"}


def test_positions_are_kept() -> None:
    code = '#include <x>\nint a = 1; // "b"\nchar *c = "d";\n'
    assert lexer.masked(code).split() == ["int", "a", "=", "1;", "char", "*c", "=", ";"]
    assert lexer.masked(code).index("int a") == code.index("int a")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", [*PIECES, '# 1 "x" ', "#/*", "/*\n", "\\\n", "'a'", "main (", 'R"(', 'x R"y(']
)
def test_time_is_linear(piece: str) -> None:
    """Sixty thousand characters of anything take well under the seconds that quadratic time would."""
    started = time.process_time()
    read_all(piece * (60_000 // len(piece)))
    assert time.process_time() - started < 1.0


def test_any_text_can_be_read() -> None:
    """The short form of `benchmarks/bench_verify_c.py fuzz`, which tries 100,000."""
    rng = random.Random(0)
    for _ in range(500):
        read_all("".join(rng.choice(PIECES) for _ in range(rng.randrange(60))))
