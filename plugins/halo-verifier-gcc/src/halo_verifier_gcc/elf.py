"""Symbols of an object file or a shared library, read from the ELF tables.

The text output of `nm` is not used: a symbol's name could forge lines in it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOL_TABLES = {"object": 2, "library": 11}
_FUNCTION = 2
_UNDEFINED = 0
_LOCAL = 0
_MAX_TABLE_BYTES = 16 << 20


def undefined(data: bytes) -> set[str]:
    """Return the names that an object file uses but does not define."""
    found = _symbols(data, _SYMBOL_TABLES["object"])
    return {name for name, info, section in found if section == _UNDEFINED and info >> 4 != _LOCAL}


def exported_functions(data: bytes) -> set[str]:
    """Return the names of the functions that a shared library exports."""
    found = _symbols(data, _SYMBOL_TABLES["library"])
    return {name for name, info, section in found if section != _UNDEFINED and info & 15 == _FUNCTION}


def _symbols(data: bytes, table: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, info, section) for each symbol of a 64-bit little-endian ELF file.

    Stops at the first malformed entry; yields nothing for any other file.
    """
    try:
        identity, *_, start, _, _, _, _, size, count, _ = _HEADER.unpack_from(data)
        if identity[:6] != b"\x7fELF\x02\x01" or size != _SECTION.size:
            return
        sections = [_SECTION.unpack_from(data, start + n * size) for n in range(count)]
        for _, kind, _, _, offset, length, link, _, _, _ in sections:
            if kind == table:
                names, names_length = sections[link][4:6]
                strings = data[names : names + names_length]
                yield from _entries(data, offset, min(length, _MAX_TABLE_BYTES), strings)
    except (struct.error, IndexError, OverflowError):
        return


def _entries(data: bytes, offset: int, length: int, strings: bytes) -> Iterator[tuple[str, int, int]]:
    for at in range(offset, offset + length, _SYMBOL.size):
        name, info, _, section, _, _ = _SYMBOL.unpack_from(data, at)
        text = strings[name : strings.find(b"\0", name)].decode(errors="replace")
        if text:
            yield text, info, section
