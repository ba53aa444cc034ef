"""Comparison of results as typed multisets."""

import math
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from halo_verifier_sql.cells import decode, encode, plain
from halo_verifier_sql.compare import Gold, Group, Tolerance, difference

EXACT = Tolerance()
VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    0.0,
    -0.0,
    1.0,
    1.5,
    math.nan,
    math.inf,
    "",
    "1",
    "x",
    b"",
    b"x",
    Decimal(1),
]


def gold(rows: list[list[Any]], *, ordered: bool = False, count: int | None = None, names: str = "") -> Gold:
    texts = tuple(map(encode, rows))
    groups = tuple(Group((text,), 1) for text in texts) if ordered else (Group(texts, count or len(rows)),)
    columns = tuple(names or "abcdefgh"[: len(rows[0])])
    return Gold(columns, encode(rows), groups, by_name=bool(names))


def same(expected: Gold, rows: list[list[Any]], tolerance: Tolerance = EXACT, names: str = "") -> bool:
    width = len(rows[0]) if rows else len(expected.columns)
    return not difference(expected, list(names or "abcdefgh"[:width]), encode(rows), tolerance)


def test_values_of_different_types_differ() -> None:
    for a, first in enumerate(VALUES):
        for b, second in enumerate(VALUES):
            assert same(gold([[first]]), [[second]]) == (a == b), (first, second)


def test_scale_of_a_decimal_is_ignored() -> None:
    assert same(gold([[Decimal("1.50")]]), [[Decimal("1.5")]])
    assert not same(gold([[Decimal("1.50")]]), [[1.5]])
    assert (
        encode([Decimal("100"), Decimal("1E+2"), Decimal("NaN")])
        == '[{"decimal":"100"},{"decimal":"100"},{"decimal":"NaN"}]'
    )


def test_structs_differ_from_blobs_and_lists_from_texts() -> None:
    assert encode([b"\0"]) == '[{"blob":"00"}]' != encode([plain({"blob": "00"})])
    assert encode([plain([{"blob": "00"}])]) != encode([[b"\0"]])
    assert encode([plain(["a"])]) != encode(["['a']"])


def test_multiplicity_matters_and_order_does_not() -> None:
    rows = [[1, "a"], [2, "b"], [1, "a"]]
    assert same(gold(rows), [rows[1], rows[0], rows[2]])
    assert not same(gold(rows), [rows[0], rows[1]])
    assert not same(gold(rows), [rows[0], rows[1], rows[1]])
    assert not same(gold(rows), [*rows, rows[0]])


def test_order_matters_if_ordered() -> None:
    rows = [[1], [2], [3]]
    assert same(gold(rows, ordered=True), rows)
    assert not same(gold(rows, ordered=True), rows[::-1])


def test_ties_match_in_any_order_and_a_limit_may_keep_any_of_them() -> None:
    expected = Gold(("a",), "", (Group(("[1]",), 1), Group(("[2]", "[3]", "[4]"), 2)))
    assert same(expected, [[1], [4], [2]])
    assert not same(expected, [[2], [1], [3]])
    assert not same(expected, [[1], [2], [2]])
    assert not same(expected, [[1], [2]])
    assert not same(expected, [[1], [2], [3], [4]])


def test_columns_by_name() -> None:
    expected = gold([[1, "x"]], names="ab")
    assert same(expected, [["x", 1]], names="BA")
    assert not same(expected, [[1, "x"]], names="ac")
    assert not same(expected, [[1, "x"]], names="ba")
    assert not same(expected, [[1, 1]], names="aa")


def test_tolerance_applies_to_floats_only() -> None:
    loose = Tolerance(relative=0.01)
    assert same(gold([[100.0]]), [[100.9]], loose)
    assert not same(gold([[100.0]]), [[101.1]], loose)
    assert same(gold([[0.0]]), [[1e-9]], Tolerance(absolute=1e-6))
    for expected, actual in [
        (100, 101),
        (100.0, 100),
        ("1.0", "1.001"),
        (math.nan, 1.0),
        (math.inf, 1e308),
        (1.0, None),
    ]:
        assert not same(gold([[expected]]), [[actual]], Tolerance(relative=1.0, absolute=1e300)), (
            expected,
            actual,
        )
    assert same(gold([[math.nan], [math.inf]]), [[math.inf], [math.nan]], loose)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-50, 50)), min_size=1, max_size=60), st.randoms()
)
def test_tolerance_matches_rows_in_any_order(rows: list[tuple[str, int]], rng: Any) -> None:
    expected = [[name, float(value)] for name, value in rows]
    actual = [[name, value + rng.uniform(-0.1, 0.1)] for name, value in expected]
    rng.shuffle(actual)
    assert same(gold(expected), actual, Tolerance(absolute=0.11))
    actual[0][1] += 1000.0
    assert not same(gold(expected), actual, Tolerance(absolute=0.1))


def test_many_close_rows_are_compared_quickly() -> None:
    rows = [[float(n)] for n in range(20_000)]
    assert same(gold(rows), [[n + 0.001] for n in range(20_000)], Tolerance(absolute=0.01))


cells = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())


@given(st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1), st.randoms())
def test_shuffled_rows_are_equal(rows: list[list[Any]], rng: Any) -> None:
    text = encode(rows)
    assert encode(decode(text)) == text
    expected = gold(rows)
    rng.shuffle(rows)
    assert same(expected, rows)
    assert not same(expected, rows[1:])
