"""Formats of dates and times, as text or as whole numbers, in which new ones are written like the given ones."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y")
_TIMES = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_SHORT = (
    "%Y-%-m-%-d",
    "%Y/%-m/%-d",
    "%-d.%-m.%Y",
    "%-d/%-m/%Y",
    "%-m/%-d/%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%-m/%-d/%y",
)
_NAMED = ("%d %b %Y", "%d %B %Y", "%-d %B %Y", "%b %d, %Y", "%B %d, %Y", "%B %-d, %Y", "%d-%b-%Y", "%d-%b-%y")
FORMATS = (
    *_DATES,
    *_TIMES,
    *("%Y%m%d", "%Y-%m", "%Y/%m", "%Y"),
    *(f"{date}{mark}{time}" for date in _DATES for mark in (" ", "T") for time in _TIMES),
    *_SHORT,
    *(f"{date} {time}" for date in _SHORT for time in ("%H:%M:%S", "%H:%M", "%-H:%M", "%-I:%M %p")),
    *_NAMED,
)
"""Formats as in `datetime.strftime`; `%-d` is a number without a leading zero."""
_TAIL = re.compile(r"(?<=:\d\d)(?:\.\d{1,9})?\s?(?:Z|UTC|[+-]\d\d(?::?\d\d)?)?$")
"""Fraction and zone of a time, which new values repeat."""
_DIGITS = re.compile(r"\d{1,4}")


@dataclass(frozen=True, slots=True)
class Moments:
    """A format of dates, times or both."""

    pattern: str
    """One of `FORMATS`."""
    whole: bool = False
    """True if values are whole numbers instead of text."""
    tail: str = ""

    def parse(self, value: Any) -> datetime | None:
        """Return the moment; None if `value` is not exactly in this format."""
        text = str(value) if type(value) is (int if self.whole else str) else ""
        head = text[: len(text) - len(self.tail)] if self.tail and text.endswith(self.tail) else text
        try:
            moment = datetime.strptime(head, self.pattern.replace("%-", "%"))
        except ValueError:
            return None
        return moment if self._first <= moment.year < 3000 and moment.strftime(self.pattern) == head else None

    def write(self, moment: datetime) -> Any:
        """Return a moment in this format."""
        text = moment.strftime(self.pattern) + self.tail
        return int(text) if self.whole else text

    def near(self, value: Any, rng: random.Random) -> Any:
        """Return a moment some seconds to some years before or after `value`; `value` itself if it is none."""
        moment = self.parse(value)
        if moment is None:
            return value
        return self.write(self._moved(moment, rng))

    def matching(self, hint: Any, examples: Sequence[Any]) -> Iterator[Any]:
        """Yield moments at `hint`, and next to it: a moment, the beginning or end of one, or one of its numbers."""
        text = str(hint).strip("%") if type(hint) in (str, int) else ""
        moments = [moment for example in examples[:4] if (moment := self.parse(example))]
        if (exact := self.parse(hint)) is not None:
            steps = (
                timedelta(days=1),
                timedelta(seconds=1) if "%S" in self.pattern else timedelta(minutes=1),
            )
            yield from (self.write(moved) for step in steps for moved in _around(exact, step))
        elif len(text) >= 3 and not self.whole:
            for example in examples[:4]:
                yield from self._valid(text + str(example)[len(text) :])
                if (ending := self.parse(str(example)[: -len(text)] + text)) is not None:
                    yield from map(self.write, _around(ending, timedelta(days=1)))
            yield from self._valid(text + "0000-01-01 00:00:00"[len(text) :])
        if _DIGITS.fullmatch(text):
            for moment in moments:
                for number in (int(text) - 1, int(text), int(text) + 1):
                    for part in ("year",) if len(text) > 2 else ("month", "day", "hour", "minute"):
                        yield from self._with(moment, part, number)

    @property
    def _first(self) -> int:
        """First year: numbers without punctuation are dates only if they look like recent ones."""
        return 1800 if self.pattern == "%Y%m%d" else 1000

    def _moved(self, moment: datetime, rng: random.Random) -> datetime:
        step = timedelta(seconds=1)
        if "%H" in self.pattern or "%I" in self.pattern:
            step *= rng.choice([60, 3600, 3600 * 5] + ([1] if "%S" in self.pattern else []))
        if "%Y" in self.pattern or "%y" in self.pattern:
            step = rng.choice(
                [timedelta(days=1), timedelta(days=31), timedelta(days=366), timedelta(days=366)]
            )
        moved = moment + rng.choice([-2, -1, 1, 2]) * step
        return moved if self._first <= moved.year < 3000 else moment

    def _valid(self, text: str) -> Iterator[Any]:
        if self.parse(text) is not None:
            yield text

    def _with(self, moment: datetime, part: str, number: int) -> Iterator[Any]:
        try:
            value = self.write(moment.replace(**{part: number}))  # type: ignore[arg-type]
        except ValueError:
            return
        if self.parse(value) is not None:
            yield value


def find_format(values: Sequence[Any]) -> Moments | None:
    """Return the format that all of `values` are in; None if there is none."""
    if not values or len({type(value) for value in values}) > 1 or type(values[0]) not in (str, int):
        return None
    first = str(values[0])
    tail = (found[0] if (found := _TAIL.search(first)) else "") if type(values[0]) is str else ""
    for pattern in ("%Y%m%d",) if type(values[0]) is int else FORMATS:
        moments = Moments(pattern, type(values[0]) is int, tail)
        if all(map(moments.parse, values)):
            return moments
    return None


def default_format(declared: str) -> tuple[Moments, Any]:
    """Return the format of a declared type, and a moment in it."""
    if declared.startswith("TIME") and not declared.startswith("TIMESTAMP"):
        return Moments("%H:%M:%S"), "10:30:00"
    if "TIME" in declared:
        return Moments("%Y-%m-%d %H:%M:%S"), "2020-03-15 10:30:00"
    return Moments("%Y-%m-%d"), "2020-03-15"


def _around(moment: datetime, step: timedelta) -> tuple[datetime, ...]:
    return moment - step, moment, moment + step
