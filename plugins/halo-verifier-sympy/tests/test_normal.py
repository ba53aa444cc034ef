"""Normal forms decide equality of rational functions and radicals, and never guess."""

from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_verifier_sympy import numeric
from halo_verifier_sympy.compare import difference
from halo_verifier_sympy.criteria import Criteria
from halo_verifier_sympy.fast import FastDecider
from halo_verifier_sympy.latex import latex
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.poly import Undecided
from halo_verifier_sympy.tree import Refused, Tree, free_variables, integer, map_children, rename

LEAVES = st.one_of(
    st.integers(-9, 9).map(integer),
    st.fractions(-5, 5, max_denominator=6).map(lambda q: ("num", q.numerator, q.denominator)),
    st.sampled_from(
        [("sym", "x"), ("sym", "y"), ("const", "pi"), ("const", "i"), ("root", integer(2), integer(2))]
    ),
)


def _grow(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    some = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        some.map(lambda terms: ("add", terms)),
        some.map(lambda factors: ("mul", factors)),
        inner.map(lambda tree: ("neg", tree)),
        st.tuples(inner, inner).map(lambda pair: ("div", *pair)),
        st.tuples(inner, st.integers(-2, 3)).map(lambda pair: ("pow", pair[0], integer(pair[1]))),
        inner.map(lambda tree: ("call", "sin", (tree,))),
    )


TREES = st.recursive(LEAVES, _grow, max_leaves=8)


def fast(left: Tree, right: Tree) -> bool | None:
    """Return whether the fast path finds two expressions equal; None if it does not decide."""
    try:
        return FastDecider().equal(left, right)
    except Undecided:
        return None


def settled(text: str, other: str) -> bool | None:
    return fast(parse(text), parse(other))


@settings(max_examples=300)
@given(TREES, TREES)
def test_agrees_with_numeric_values(left: Tree, right: Tree) -> None:
    """Expressions found equal have equal values; those found unequal have different values."""
    try:
        found = fast(left, right)
        differ = numeric.differ(left, right, "complex")
    except Refused:
        return
    assert not (found and differ)
    if found is False:
        assert differ


@settings(max_examples=300)
@given(TREES, st.randoms(use_true_random=False), st.integers(-4, 5).filter(bool))
def test_equivalent_expressions_are_equal(tree: Tree, rng: Any, factor: int) -> None:
    """An expression equals itself after reordering, rescaling, regrouping and printing, but not plus one."""
    try:
        numeric.differ(tree, tree, "complex")
        FastDecider().equal(tree, tree)
    except (Refused, Undecided):
        return
    other = parse(latex(("div", ("mul", (integer(factor), _shuffled(tree, rng))), integer(factor))))
    assert difference(tree, other, Criteria(), FastDecider()) == "", latex(tree)
    assert fast(tree, ("add", (other, integer(1)))) is not True


def _shuffled(tree: Tree, rng: Any) -> Tree:
    tree = map_children(tree, lambda part: _shuffled(part, rng))
    if tree[0] in ("add", "mul"):
        parts = list(tree[1])
        rng.shuffle(parts)
        if len(parts) > 2 and rng.random() < 0.5:
            parts[:2] = [(tree[0], tuple(parts[:2]))]
        return (tree[0], tuple(parts))
    if tree[0] == "neg" and rng.random() < 0.5:
        return ("mul", (integer(-1), tree[1]))
    return tree


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 3)), min_size=1, max_size=4),
    st.sampled_from("tuvk"),
)
def test_bound_variables_may_be_renamed(terms: list[tuple[int, int]], name: str) -> None:
    body = "+".join(f"({factor})x^{power}" for factor, power in terms)
    condition = rf"\{{x \mid {body} > 0\}}"
    renamed = rf"\{{{name} : {body.replace('x', name)} > 0\}}"
    with suppress(Refused):  # conditions that are always true or always false
        assert difference(parse(condition), parse(renamed), Criteria(), FastDecider()) == ""
    tree = parse(rf"\sum_{{x=1}}^{{5}} ({body})")
    assert free_variables(tree) == frozenset()
    assert rename(tree, "x", name) == tree


@settings(max_examples=100)
@given(
    st.tuples(*[st.integers(-6, 6)] * 3).filter(lambda c: c[0] or c[1]),
    st.fractions(-4, 4, max_denominator=5),
)
def test_equations_may_be_rescaled(coefficients: tuple[int, int, int], factor: Fraction) -> None:
    a, b, c = coefficients
    gold = parse(f"({a})x+({b})y = {c}")
    if factor:
        scaled = parse(f"0 = ({factor})(({a})x+({b})y-({c}))")
        assert difference(gold, scaled, Criteria(), FastDecider()) == ""
        turned = parse(f"({factor})(({a})x+({b})y) > ({factor})({c})")
        same = difference(parse(f"({a})x+({b})y > {c}"), turned, Criteria(), FastDecider()) == ""
        assert same == (factor > 0)
    assert difference(gold, parse(f"({a})x+({b})y = {c + 1}"), Criteria(), FastDecider())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"\sqrt{x^2}", "x"), (r"\sqrt{x}\sqrt{y}", r"\sqrt{xy}"), (r"\ln x^2", r"2\ln x"), (r"(x^2)^{1/2}", "x"),
        (r"\arctan x", r"-\arctan(-x)"), (r"\sqrt{3+2\sqrt2}", r"1+\sqrt2"), ("e", r"\pi"),
        (r"\ln(xy)", r"\ln x+\ln y"),
        ("|x|", "x"), (r"\arcsin(\sin x)", "x"), (r"(-1)^{2n}", "1"), ("(x^a)^b", "x^{ab}"),
    ],
)  # fmt: skip
def test_does_not_decide_unknown_identities(left: str, right: str) -> None:
    assert settled(left, right) is None


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"\sin^2 x+\cos^2 x", "1"), (r"\sin 3x", r"3\sin x-4\sin^3 x"), (r"\cosh^2 x-\sinh^2 x", "1"),
        (r"\tan(x+y)", r"\frac{\tan x+\tan y}{1-\tan x\tan y}"), (r"\cos(x-\pi)", r"-\cos x"),
        (r"\sin(i x)", r"i\sinh x"), (r"e^{ix}", r"\cos x+i\sin x"),
        (r"\sin x\cos y", r"\frac{\sin(x+y)+\sin(x-y)}{2}"),
        (r"\sin\frac{x}{y}\cdot 2\cos\frac{x}{y}", r"\sin\frac{2x}{y}"), (r"\cot x\tan x", "1"),
        (r"\sin 300^\circ", r"-\frac{\sqrt3}{2}"),
    ],
)  # fmt: skip
def test_proves_identities_from_eulers_formula(left: str, right: str) -> None:
    assert settled(left, right) is True


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"\sqrt2", "1.41421356"), (r"\sqrt2+\sqrt3", r"\sqrt5"), (r"\sqrt[3]{2}", r"\sqrt{2}"), (r"\pi", "22/7"),
        ("x", "y"), ("x", "x+0.0000001"), ("i", "1"), ("e^2", "e^3"), ("x^{1/2}", "x^{1/3}"), (r"2^{1/2}", r"4^{1/3}"),
        (r"\frac{1}{1+\sqrt2}", r"1-\sqrt2"), ("0.1+0.2", "0.30000000000000004"), ("10^{100}", "10^{100}+1"),
    ],
)  # fmt: skip
def test_finds_different_values_unequal(left: str, right: str) -> None:
    assert settled(left, right) is False


@pytest.mark.parametrize(
    "text",
    [
        "1/0",
        "0^0",
        "0^{-1}",
        "x/(x-x)",
        r"\ln 0",
        r"1/(\sqrt4-2)",
        r"\infty-\infty",
        "(-1)!",
        r"\tan(\pi/2)",
        "1001!",
        r"\binom{1900}{3}",
    ],
)
def test_refuses_undefined_or_too_large_values(text: str) -> None:
    with pytest.raises(Refused):
        FastDecider().equal(integer(1), parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^9}",
        "9^{9^{9^9}}",
        "(x+y)^{1000}",
        "(a+b+c+d)^{30}",
        "x^{10^9}",
        "2^{3000}",
        "+".join(f"x_{{{n}}}" for n in range(20)),
    ],
)
def test_large_expressions_are_abandoned(text: str) -> None:
    """Expanding one would take longer than the test's timeout."""
    tree = parse(rf"({text})({text})({text})")
    assert fast(tree, integer(1)) in (None, False)


def test_budget_covers_the_whole_answer() -> None:
    gold = parse(r"\{" + ", ".join(f"x^{{{n}}}+{n}" for n in range(40)) + r"\}")
    answer = parse(r"\{" + ", ".join(f"(x+{n})^{{16}}(y-{n})^{{16}}" for n in range(15)) + r"\}")
    with pytest.raises(Undecided):
        difference(gold, answer, Criteria(), FastDecider())
