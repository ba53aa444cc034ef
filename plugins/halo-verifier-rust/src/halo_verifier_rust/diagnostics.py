"""Reading rustc's diagnostics, one JSON object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SUMMARY = re.compile(r"aborting due to |\d+ warnings? emitted")
_UNSAFE = ("unsafe_code", "E0453")
"""The lint that the command line forbids, and an attribute that allows a forbidden lint."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """The errors and warnings of one compilation."""

    errors: tuple[str, ...] = ()
    """Messages, each with its place, without the closing summary."""
    warnings: int = 0
    only_unsafe: bool = False
    """The use of unsafe code, which the command line forbids, is the only kind of error."""


def read(stderr: bytes) -> Diagnostics:
    """Return the diagnostics in rustc's stderr; lines that are not JSON, such as those of a crash, are ignored."""
    found = [message for line in stderr.splitlines() if (message := _message(line))]
    errors = [each for each in found if each["level"].startswith("error") and not _is_summary(each)]
    return Diagnostics(
        errors=tuple(map(_text, errors)),
        warnings=sum(each["level"] == "warning" and not _is_summary(each) for each in found),
        only_unsafe=bool(errors) and all(_code(each) in _UNSAFE for each in errors),
    )


def _message(line: bytes) -> Mapping[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("level"), str) else None


def _is_summary(message: Mapping[str, Any]) -> bool:
    """Return True for "2 warnings emitted" and the like, which are about other messages."""
    return not (_code(message) or message.get("spans")) and bool(_SUMMARY.match(message["message"]))


def _code(message: Mapping[str, Any]) -> str:
    return str((message.get("code") or {}).get("code", ""))


def _text(message: Mapping[str, Any]) -> str:
    code, place = _code(message), next(iter(message.get("spans") or ()), None)
    where = f"{place['file_name']}:{place['line_start']}: " if place else ""
    return f"{where}error{f'[{code}]' if code else ''}: {message['message']}".partition("\n")[0][:160]
