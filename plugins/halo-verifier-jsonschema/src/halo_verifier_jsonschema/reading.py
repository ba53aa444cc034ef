"""Search for JSON values within a text, in time linear in the text."""

from __future__ import annotations

import json
from typing import Any

_MAX_SCANS = 16
"""Maximum number of unsuccessful attempts to read a value, on average per character."""
_LENIENT = json.JSONDecoder()


class Reader:
    """Reads JSON values at any position of one text, until its attempts have taken too long."""

    def __init__(self, text: str, decoder: json.JSONDecoder = _LENIENT) -> None:
        self._text = text
        self._decoder = decoder
        self._budget = _MAX_SCANS * len(text)

    @property
    def is_exhausted(self) -> bool:
        """True if the attempts have taken too long: no further value is found."""
        return self._budget < 0

    def spend(self, characters: int) -> None:
        """Count `characters` that were read to no avail."""
        self._budget -= characters

    def read(self, start: int) -> tuple[Any, int] | None:
        """Return the JSON value at `start` and its end, if any. Raises what the decoder's hooks raise."""
        if self.is_exhausted:
            return None
        try:
            return self._decoder.raw_decode(self._text, start)
        except json.JSONDecodeError as error:
            to_the_end = error.msg.startswith("Unterminated")
            self.spend((len(self._text) if to_the_end else error.pos + 1) - start)
            self.spend(error.pos // 16)  # making the error counts the lines before it
        except (ValueError, RecursionError):  # a number of too many digits, too many brackets
            self.spend(len(self._text) - start)
        return None
