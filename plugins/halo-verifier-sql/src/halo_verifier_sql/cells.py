"""Result rows as canonical text: two cells are the same value of the same type when their texts are equal.

The form is JSON with Python's spelling of numbers: 1, 1.0, true, "1" and null are five values, so are 0.0 and
-0.0; NaN equals itself. What JSON lacks is an object of one key that names the type: blobs as hexadecimal,
decimals without trailing zeros, everything else (dates, intervals, UUIDs, structs) by its text.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any


def _other(value: object) -> object:
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
    """Return a cell that may hold others (a list, a struct, a map) as one that no other type is encoded as."""
    kind = type(cell)
    if kind is dict:
        return {"struct": [[plain(key), plain(value)] for key, value in cell.items()]}
    return [plain(item) for item in cell] if kind in (list, tuple) else cell


def storable(cell: Any) -> Any:
    """Return a cell as one of the types that cross to the host, and that its column takes back."""
    if cell is None or type(cell) in (bool, int, float, str, bytes):
        return cell
    if isinstance(cell, memoryview | bytearray):
        return bytes(cell)
    return float(cell) if isinstance(cell, Decimal) else str(cell)


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_other)
encode = _ENCODER.encode
"""Return the canonical text of a row, or of a list of rows. Rows may be tuples."""


def decode(text: str) -> list[list[Any]]:
    """Return the rows that a list's canonical text stands for, such that encoding them gives it again."""
    rows: list[list[Any]] = json.loads(text)
    return rows


def from_data(cell: Any) -> Any:
    """Return a cell of a prompt's data as a value: `{"blob": "00ff"}` is a blob, all else is itself.

    Raises `ValueError` for anything that no column holds.
    """
    if isinstance(cell, dict) and cell.keys() == {"blob"} and isinstance(cell["blob"], str):
        return bytes.fromhex(cell["blob"])
    if cell is None or type(cell) in (bool, int, float, str):
        return cell
    raise ValueError(f"{cell!r} is no value of a cell")
