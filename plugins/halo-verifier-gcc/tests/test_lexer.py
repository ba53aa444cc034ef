"""Separation of code from comments and literals: correct, fast and total."""

import random

import pytest
from growth import grows_linearly

from halo_verifier_gcc import forbidden, lexer, preprocessed
from halo_verifier_gcc.extraction import candidates
from halo_verifier_gcc.precompiled import leading_headers
from halo_verifier_gcc.source import count_silencing_directives, has_line_directive

PIECES = (
    "```", "~~~", "```c", "main(", "main", "(", ")", "{", "}", ";", "#", "# 1 \"", "3", "%:", "??=", "??/", "\\", "\n",
    " ", "\t", "\r\n", "/*", "*/", "//", '"', "'", "1'", "R\"", "R\"x(", ")x\"", "u8R\"(", "a", "é", "\0", "\ud800",
    "pragma", "diagnostic", "system_header", "include <", "#include <map>", "line", "0x1p-3", "//\\", "std::", "using",
    "goto",
)  # fmt: skip


def read_all(text: str) -> None:
    """Apply every function that reads a text before the compiler does."""
    source = candidates(text)[0]
    source.code.encode()
    candidates(text, functions=("add", "main"))
    count_silencing_directives(source.code)
    has_line_directive(source.code)
    leading_headers(source.code)
    assert len(lexer.masked(source.code)) == len(source.code)
    forbidden.in_source([r"\bgoto\b"], source)
    code = preprocessed.read(source.code, "main.c", ("/usr/include",))
    forbidden.in_preprocessed([r"\bgoto\b"], code, ("/usr/include",), source.language)
    forbidden.names_functions_in_strings(code.own)
    forbidden.pristine(source, code, ("/usr/include",))


@pytest.mark.parametrize(
    ("code", "stripped"),
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
def test_without_comments_and_literals(code: str, stripped: str) -> None:
    assert stripped in lexer.without_comments_and_literals(code)


def test_comments_depend_on_the_dialect() -> None:
    assert lexer.without_comments_and_literals("1'a/*' b") == {"1'a ", "1'' b"}


def test_masking_keeps_positions() -> None:
    code = '#include <x>\nint a = 1; // "b"\nchar *c = "d";\n'
    assert lexer.masked(code).split() == ["int", "a", "=", "1;", "char", "*c", "=", ";"]
    assert lexer.masked(code).index("int a") == code.index("int a")


@pytest.mark.parametrize(
    "piece", [*PIECES, '# 1 "x" ', "#/*", "/*\n", "\\\n", "'a'", "main (", 'R"(', 'x R"y(']
)
def test_time_is_linear(piece: str) -> None:
    assert grows_linearly(lambda size: read_all(piece * (size // len(piece))), 60_000)


def test_random_text_does_not_raise() -> None:
    """A short form of `benchmarks/bench_verify_c.py fuzz`, which reads 100,000 texts."""
    rng = random.Random(0)
    for _ in range(500):
        read_all("".join(rng.choice(PIECES) for _ in range(rng.randrange(60))))
