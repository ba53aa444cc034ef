"""Canonical text of result rows: two cells have the same value and type if and only if their texts are equal.

The format is JSON with Python's spelling of numbers: 1, 1.0, true, "1" and null are five different values, 0.0
differs from -0.0, and NaN equals itself. A type that JSON lacks becomes an object whose only key names the type:
blobs as hexadecimal, decimals without trailing zeros, everything else (dates, intervals, UUIDs) as its text.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any


def _tagged(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"blob": bytes(value).hex()}
    if isinstance(value, Decimal):
        return {"decimal": _digits(value)}
    return {type(value).__name__: str(value)}


def _digits(value: Decimal) -> str:
    if not value.is_finite():
        return str(value)
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def plain(cell: Any) -> Any:
    """Return a nested cell (a list, a struct, a map) in a form that differs from the encoding of any other type."""
    kind = type(cell)
    if kind is dict:
        return {"struct": [[plain(key), plain(value)] for key, value in cell.items()]}
    return [plain(item) for item in cell] if kind in (list, tuple) else cell


def storable(cell: Any) -> Any:
    """Return a cell as a type that can be sent to the host and inserted into its column again."""
    if cell is None or type(cell) in (bool, int, float, str, bytes):
        return cell
    if isinstance(cell, memoryview | bytearray):
        return bytes(cell)
    return float(cell) if isinstance(cell, Decimal) else str(cell)


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_tagged)
encode = _ENCODER.encode
"""Return the canonical text of a row or of a list of rows. Rows may be tuples."""


def decode(text: str) -> list[list[Any]]:
    """Return the rows of a canonical text. Encoding them again returns the same text."""
    rows: list[list[Any]] = json.loads(text)
    return rows


def from_data(cell: Any) -> Any:
    """Return the value of a cell in a prompt's data: `{"blob": "00ff"}` is a blob, other values stay unchanged.

    Raises `ValueError` for values that a column cannot hold.
    """
    if isinstance(cell, dict) and cell.keys() == {"blob"} and isinstance(cell["blob"], str):
        return bytes.fromhex(cell["blob"])
    if cell is None or type(cell) in (bool, int, float, str):
        return cell
    raise ValueError(f"{cell!r} is not a valid cell value")
