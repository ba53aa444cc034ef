"""Strict parsing: rejected texts, numbers, and linear time."""

import json
from decimal import Decimal
from typing import Any

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from halo_verifier_jsonschema.strict import Limits, NotStrictError, canonical, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ("[1,]", "not JSON"),
        ("01", "text after"),
        ("+1", "not JSON"),
        (".5", "not JSON"),
        ("1.", "text after"),
        ("0x10", "text after"),
        ("1 2", "text after"),
        ("{} {}", "text after"),
        ("\u00a01", "not JSON"),
        ("\ufeff1", "not JSON"),
        ("１", "not JSON"),
        ('"\t"', "not JSON"),
        ('"\\x41"', "not JSON"),
        ("NaN", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ('{"a": 1, "a": 1}', "'a' twice"),
        ('[{"b": {"\\u0061": 1, "a": 2}}]', "'a' twice"),
        ("1e400", "out of range"),
        ("-1e400", "out of range"),
        ("1e-400", "out of range"),
        ("1e" + "9" * 400, "out of range"),
        ("1e-" + "9" * 400, "out of range"),
        ("1" * 1001, "more than 1000 characters"),
        ("0." + "1" * 1001, "more than 1000 characters"),
        ('"\\ud800"', "surrogate"),
        ('{"\\uDC00": 1}', "surrogate"),
        ('"\ud800"', "surrogate"),
        ("[" * 65 + "]" * 65, "nested more than 64"),
        ("[" * 100_000, "bytes"),
        ('"' + "é" * 40_000 + '"', "80002 bytes"),
    ],
)
def test_texts_that_are_not_strict_json_raise(text: str, reason: str) -> None:
    with pytest.raises(NotStrictError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" \r\n\t1 \n", 1),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud800"', "\\ud800"),
        ('"\u2028"', "\u2028"),
        ("[" * 64 + "]" * 64, None),
        ('"' + "[" * 1000 + '"', "[" * 1000),
        ('["\\"[[["]', ['"[[[']),
        ("0e5", 0.0),
        ("-0E" + "9" * 400, -0.0),
        ("0.0e-" + "9" * 400, 0.0),
        ("0." + "0" * 320 + "1e321", 1.0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_strict_json_is_parsed(text: str, value: Any) -> None:
    found = parse(text)
    assert value is None or (found == value and type(found) is type(value))


def test_brackets_in_strings_do_not_count_as_depth() -> None:
    text = json.dumps(["[{" * 40 for _ in range(20)])
    assert parse(text, Limits(max_depth=1)) == json.loads(text)
    with pytest.raises(NotStrictError):
        parse(f"[{text}]", Limits(max_depth=1))


def test_text_after_the_value_is_ignored_on_request() -> None:
    assert parse('{"a": 1} and so on', trailing=True) == {"a": 1}
    with pytest.raises(NotStrictError):
        parse('and {"a": 1}', trailing=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", "1e0"),
        ("1", "true"),
        ("0", "-0"),
        ("0.0", "-0.0"),
        ("0", "false"),
        ('"1"', "1"),
        ("[]", "{}"),
        ("null", '"null"'),
        ("9007199254740992", "9007199254740993"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("[1, 2]", "[2, 1]"),
        ('{"a": 1}', '{"a": 1, "b": null}'),
        ('"é"', '"e\\u0301"'),
    ],
)
def test_exact_numbers_and_types_differ(one: str, other: str) -> None:
    assert canonical(parse(one)) != canonical(parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [2]}', '{ "b":[2],"a":1}'),
        ("1.0", "1.00"),
        ("1e2", "100.0"),
        ("2.5e-1", "0.25"),
        ('"\\u0041"', '"A"'),
        ("-0", "-0.0"),
        ("3.14159265358979323846", "3.14159265358979323846"),
        ("1e22", "10000000000000000000000.0"),
    ],
)
def test_spellings_of_one_value_are_equal(one: str, other: str) -> None:
    assert canonical(parse(one)) == canonical(parse(other))


def test_numbers_by_value() -> None:
    def form(text: str) -> str:
        return canonical(parse(text, numbers="value"))

    assert form("1") == form("1.0") == form("10e-1")
    assert form("0") == form("-0") == form("-0.0")
    assert form("0.1") == form("0.1000000000000000055511151231257827")
    assert form("1") != form("true")
    assert form("9007199254740993") != form("9007199254740992")


def test_a_decimal_that_no_double_represents_is_kept() -> None:
    assert parse("3.14159265358979323846") == Decimal("3.14159265358979323846")
    assert type(parse("3.141592653589793")) is float
    assert type(parse("0.30000000000000004")) is float
    assert type(parse("5e-324")) is float


@given(JSON)
def test_parse_reads_the_output_of_json_dumps(value: Any) -> None:
    try:
        text = json.dumps(value)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert canonical(parse(text)) == canonical(value)
    assert canonical(parse(json.dumps(value, indent=2, ensure_ascii=False))) == canonical(value)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_equals_itself_in_every_notation(number: float) -> None:
    assert canonical(parse(repr(number))) == canonical(number)
    if isinstance(number, float) and number:
        assert canonical(parse(f"{number:.17e}")) in (
            canonical(number),
            canonical(Decimal(f"{number:.17e}")),
        )


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"[' * 300_000,
        '"\\' * 500_000,
        "[" * 1_000_000,
        '{"a":' * 200_000,
        '["[",' * 200_000,
        " " * 1_000_000,
        '"[' * 500_000,
    ],
    ids=range(7),
)
def test_parsing_takes_linear_time(text: str) -> None:
    def refuse(size: int) -> None:
        with pytest.raises(NotStrictError):
            parse(text[:size], Limits(max_bytes=10_000_000))

    assert grows_linearly(refuse, len(text))
