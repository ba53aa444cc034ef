"""Conversion of Python values to bytes and back, by exact type.

Only plain data crosses between a sample and its verifier: None, bool, int, float, complex, str, bytes, list, tuple,
dict, set and frozenset, of exactly these types. A subclass could lie about equality, so encoding rejects it, and bytes
that a sample forges can only decode to plain data. The format is JSON, with one-key objects for the types that JSON
lacks.
"""

from __future__ import annotations

import json
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MAX_DEPTH = 100
_SAFE_INTEGER = 1 << 53
_MAX_COLLISIONS = 64
"""Maximum number of keys with one hash. More are an attack: each lookup would compare with all of them."""


class NotPlainError(Exception):
    """A value is not plain data, or bytes do not encode plain data."""


def encode(value: object) -> bytes:
    """Return the encoding of `value`; raise `NotPlainError` unless it is plain data."""
    return json.dumps(_pack(value, 0), separators=(",", ":")).encode()


def decode(data: bytes) -> object:
    """Return the value that `data` encodes; raise `NotPlainError` if it encodes none. Safe on any bytes."""
    try:
        return _unpack(json.loads(data))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise NotPlainError(str(error)) from None


def _pack(value: Any, depth: int) -> Any:
    kind = type(value)
    if depth > _MAX_DEPTH:
        raise NotPlainError("nested too deeply")
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_SAFE_INTEGER < value < _SAFE_INTEGER else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is complex:
        return {"complex": [_pack(value.real, depth), _pack(value.imag, depth)]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is list:
        return [_pack(item, depth + 1) for item in value]
    if kind is dict:
        return {"dict": [[_pack(k, depth + 1), _pack(v, depth + 1)] for k, v in value.items()]}
    if kind in (tuple, set, frozenset):
        return {kind.__name__: [_pack(item, depth + 1) for item in value]}
    raise NotPlainError(f"a {kind.__name__} is not plain data")


def _unpack(form: Any) -> Any:
    if isinstance(form, list):
        return [_unpack(item) for item in form]
    if not isinstance(form, dict):
        return form
    ((kind, body),) = form.items()
    if kind == "int":
        return int(body, 16)
    if kind == "float":
        return float(body)
    if kind == "complex":
        return complex(*map(_unpack, body))
    if kind == "bytes":
        return bytes.fromhex(body)
    if kind == "dict":
        keys = [_unpack(key) for key, _ in body]
        _check_collisions(keys)
        return dict(zip(keys, (_unpack(item) for _, item in body), strict=True))
    items = [_unpack(item) for item in body]
    if kind == "tuple":
        return tuple(items)
    _check_collisions(items)
    return {"set": set, "frozenset": frozenset}[kind](items)


def _check_collisions(keys: Iterable[object]) -> None:
    hashes = sorted(map(hash, keys))
    if any(a == b for a, b in zip(hashes, hashes[_MAX_COLLISIONS:], strict=False)):
        raise NotPlainError("too many keys with the same hash")
