"""Accepted and rejected notation; equal notations give one tree."""

import pytest
from growth import grows_linearly

from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.tree import Refused, Unreadable, free_variables


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("-x^2", "-(x^2)"),
        ("2^3^2", "2^{(3^2)}"),
        ("a/b*c", r"\frac{a}{b}\cdot c"),
        ("1/2 + x", r"\frac12+x"),
        ("2x y", r"2\cdot x\cdot y"),
        ("xy^2", r"x\cdot y^2"),
        ("2(x+1)(x-1)", r"2\cdot(x+1)\cdot(x-1)"),
        (r"\sin 2x", r"\sin(2x)"),
        (r"\sin x \cos y", r"\sin(x)\cdot\cos(y)"),
        (r"\sin^2 x", r"(\sin(x))^2"),
        ("sin(x)^2", r"\sin^2 x"),
        (r"\sin^{-1} x", r"\arcsin x"),
        ("2^-3", "2^{-3}"),
        (r"\sqrt2x", r"\sqrt{2}\cdot x"),
        ("√12", r"\sqrt{12}"),
        ("2|x|", r"2\cdot|x|"),
        ("|x||y|", r"|x|\cdot|y|"),
        ("||x|-1|", r"|(|x|)-1|"),
        ("x_1^2", "(x_{1})^{2}"),
        ("x₁²", "x_1^2"),
        ("f(x+1)", r"f\left(x+1\right)"),
        ("n!", "(n)!"),
        ("(n+1)!", r"\left(n+1\right)!"),
        ("3.0", "3"),
        (r"\mathrm{e}^{x}", "e^x"),
        (r"\text{5}", "5"),
        (r"\langle 1, 2\rangle", "(1, 2)"),
        (r"\mathbf{x}", "x"),
        ("$x$", "x"),
        ("$$x$$", "x"),
        ("x.", "x"),
        (r"\int xdx", r"\int x\,dx"),
        (r"\displaystyle x", "x"),
        (r"\bigl( x \bigr)", "(x)"),
        (r"5~\text{cm}", "5 cm"),
        (r"3\text{ in}", r"3\text{ inches}"),
    ],
)
def test_notations_give_the_same_tree(left: str, right: str) -> None:
    assert parse(left) == parse(right)


@pytest.mark.parametrize(
    "text",
    [
        "1/2x", "x/2y", "1/2(x+1)", r"1/2\sin x", r"\sin x/2", r"3\frac{5}{2}", "3 5/2", "12,000", "(12,000)",
        "1{2}", "2e5", "1e-7", r"\sqrt12", r"\frac123", "3!!", "x^2!", "x = 1 < 2", "1 < x > 0",
        "1 or 2 and 3", "x_12", r"\sec^{-1}x!!",
        "[1,2] \\cup [3,4] \\cap [5,6]", "9" * 401,
    ],
)  # fmt: skip
def test_refuses_ambiguous_notation(text: str) -> None:
    with pytest.raises((Refused, Unreadable)):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "()", "(", ")", "1 2", "x 2", "1..2", "1.2.3", "+", "x+", "*x", "x**", "^2", "2^", r"\frac{1}",
        r"\frac{1}{2", r"\foo", r"\sqrt", "sinx", "import", "hello", "a.b", "x'y\"", "x@y", "#", "`", "x;", ",1", "1,",
        "(1,2", "[1,2", r"\{1", "{1,2]", "[1,2,3)", "x==", "=x", "x=", "<1",
        r"\left. x \right|", "|x", "||", "lambda x: x",
        "x[0]", "x.y", "f(", "f()", r"\begin{cases} x \end{cases}", r"\begin{pmatrix} 1 & 2 \\ 3 \end{pmatrix}",
        r"\begin{pmatrix} 1", r"\sum_{k} k", r"\int x", r"\lim_{x} x", "(1,2)+(3,4)", r"\{1\}^2", r"2\cdot[1,2]",
        "1 = (1 = 1)x",
        "١", "х", "1​2", "‮1", "∂", "≈3", "\0", "\ud800", "1" + "(" * 3000, "((((" * 20 + "1" + "))))" * 20,
    ],
)  # fmt: skip
def test_rejects_text_that_is_not_mathematics(text: str) -> None:
    with pytest.raises((Unreadable, Refused)):
        parse(text)


def test_thousands_separators_need_the_option_or_markup() -> None:
    assert parse("1,234,567.5", thousands=True) == parse("1234567.5")
    assert parse(r"1{,}234") == parse(r"1\,234") == parse("1234")
    assert parse("(1,234)") == parse("(1, 234)")
    for text in ("1,234", "(1,000)"):
        with pytest.raises(Refused):
            parse(text)
    with pytest.raises(Refused):
        parse("(1,234)", thousands=True)
    assert parse("1,23", thousands=True) == parse("1, 23")


@pytest.mark.parametrize("text", [r"\frac{d^2y}{dx^2}", r"\frac{d}{dx}x^2", r"\frac{dy}{2}"])
def test_derivatives_are_not_quotients(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)
    assert parse(r"\frac{d}{2}") == ("div", ("sym", "d"), ("num", 2, 1))


def test_numerals_become_one_number() -> None:
    assert parse("0.1\\overline{6}") == ("num", 1, 6)
    assert parse("1 \\frac{3}{4}") == parse("1 3/4") == parse("1¾") == ("num", 7, 4)
    assert parse("-1.50") == ("neg", ("num", 3, 2))


def test_bound_variables_are_not_free() -> None:
    assert free_variables(parse(r"\sum_{k=1}^{n} k x")) == {"n", "x"}
    assert free_variables(parse(r"\int_0^a t\,dt")) == {"a"}
    assert free_variables(parse(r"\{x \mid x > y\}")) == {"y"}
    assert free_variables(parse(r"\sum_{i=1}^{n} i")) == {"n"}
    assert free_variables(parse("e + i")) == frozenset()


def test_time_is_linear_in_the_text() -> None:
    assert grows_linearly(lambda size: parse("+".join(["x"] * size)), 240)
