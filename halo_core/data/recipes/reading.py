"""Reading the columns of foreign data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from halo_core.errors import DataError

Row = Mapping[str, Any]
Recipe = Callable[[Row, str, str], dict[str, Any]]


def text_of(row: Row, place: str, *names: str) -> str:
    """Return the first of the columns `names` that has text. Raises a `DataError` if none has."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value
    raise DataError(
        f"{place}: no text in column {' or '.join(names)}", hint=f"the columns are {', '.join(map(str, row))}"
    )


def value_of(row: Row, place: str, *names: str) -> Any:
    """Return the value of the first of the columns `names`, JSON text parsed. Raises a `DataError` without one."""
    for name in names:
        if row.get(name) not in (None, ""):
            value = row[name]
            return parsed(value, f"{place}: {name}") if isinstance(value, str) else value
    raise DataError(
        f"{place}: no value in column {' or '.join(names)}",
        hint=f"the columns are {', '.join(map(str, row))}",
    )


def parsed(text: str, place: str) -> Any:
    """Return the value of JSON text. Raises a `DataError`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{place}: not JSON: {error}") from error


def identity(row: Row, *names: str) -> dict[str, str]:
    """Return the key `id` with the value of the first of the columns `names` that has one; empty without."""
    for name in names:
        if row.get(name) not in (None, ""):
            return {"id": str(row[name])}
    return {}
