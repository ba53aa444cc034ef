"""Reading the symbols of an object file or a library, as `nm` would, without believing any text."""

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
_MOST = 1 << 20


def undefined(data: bytes) -> set[str]:
    """Return the names that an object file uses and leaves for others to define."""
    found = _symbols(data, _SYMBOL_TABLES["object"])
    return {name for name, info, section in found if section == _UNDEFINED and info >> 4 != _LOCAL}


def exported_functions(data: bytes) -> set[str]:
    """Return the names of the functions that a shared library offers."""
    found = _symbols(data, _SYMBOL_TABLES["library"])
    return {name for name, info, section in found if section != _UNDEFINED and info & 15 == _FUNCTION}


def _symbols(data: bytes, table: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, info, section) for each symbol of a 64-bit little-endian ELF file; none where it is odd."""
    try:
        identity, *_, start, _, _, _, _, size, count, _ = _HEADER.unpack_from(data)
        if identity[:6] != b"\x7fELF\x02\x01" or size != _SECTION.size:
            return
        sections = [_SECTION.unpack_from(data, start + n * size) for n in range(count)]
        for _, kind, _, _, offset, length, link, _, _, _ in sections:
            if kind == table:
                names, names_length = sections[link][4:6]
                yield from _entries(data, offset, min(length, _MOST), data[names : names + names_length])
    except (struct.error, IndexError, OverflowError):
        return


def _entries(data: bytes, offset: int, length: int, names: bytes) -> Iterator[tuple[str, int, int]]:
    for at in range(offset, offset + length, _SYMBOL.size):
        name, info, _, section, _, _ = _SYMBOL.unpack_from(data, at)
        text = names[name : names.find(b"\0", name)].decode(errors="replace")
        if text:
            yield text, info, section
