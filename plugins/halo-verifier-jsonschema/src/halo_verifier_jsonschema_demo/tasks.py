"""The demo's tasks: requests in English, each with the calls or the body that answer it.

Each family lists one task for every combination of its parts. A split by task therefore separates training and
held-out prompts: a held-out task is an unseen combination of parts that training tasks contain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from halo_verifier_jsonschema_demo.api import API, TOOLS

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """One request."""

    family: str
    wordings: tuple[str, ...]
    """Phrasings of the request; the first is the task's name within its family."""
    calls: tuple[Call, ...] = ()
    operation: str = ""
    body: Any = None
    """Request body of `operation`, if the task calls no tool."""

    @property
    def key(self) -> str:
        """Name of the task: unique among all tasks and stable across runs."""
        return f"{self.family}: {self.wordings[0]}"

    @property
    def reference(self) -> dict[str, Any]:
        """The prompt's reference, as the verifier reads it."""
        if self.calls:
            calls = [{"name": name, "arguments": arguments} for name, arguments in self.calls]
            return {"tools": list(TOOLS), "calls": calls, "order": "any"}
        return {"openapi": API, "operation": self.operation, "answer": self.body, "unordered": True}

    def phrase(self, rng: random.Random) -> str:
        """Return the request in a random wording."""
        return rng.choice(self.wordings)


NAMES = ("Ann", "Ben", "Carla", "Dev", "Emma", "Finn", "Grace", "Hugo")
CITIES = ("Oslo", "Paris", "Rome", "Lima", "Cairo", "Tokyo", "Delhi", "Quito", "Accra", "Berlin")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ROOMS = ("kitchen", "bedroom", "hall", "office", "garage", "bathroom", "attic", "cellar")
GENRES = ("jazz", "rock", "folk", "techno", "soul", "blues", "opera", "reggae")
COLORS = ("red", "green", "blue", "white", "orange", "purple")
LABELS = ("tea", "pasta", "eggs", "laundry", "bread", "rice")
TEXTS = ("I am late", "call me back", "dinner is ready", "happy birthday", "see you soon", "the train is late",
         "thank you", "good night", "bring the keys", "no rain today")  # fmt: skip
GOODS = ("apples", "pens", "lamps", "books", "chairs", "cups", "towels", "plates")
TITLES = ("lunch", "review", "picnic", "concert", "workshop", "party", "meeting", "race")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip


def _without_none(**arguments: Any) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def timers() -> Iterator[Task]:
    """Yield timers, some with a label."""
    for amount, unit, label in product(range(2, 31), ("seconds", "minutes", "hours"), (None, *LABELS)):
        name = f" for the {label}" if label else ""
        wordings = (f"Set a timer of {amount} {unit}{name}.", f"Start a {amount} {unit} timer{name}.",
                    f"Tell me when {amount} {unit} are over{name}.")  # fmt: skip
        yield Task("timer", wordings, (("set_timer", _without_none(amount=amount, unit=unit, label=label)),))


def weather() -> Iterator[Task]:
    """Yield forecasts, some with a number of days or a unit system."""
    scales = ((None, ""), ("metric", " in celsius"), ("imperial", " in fahrenheit"))
    for city, days, (units, scale) in product(CITIES, (None, *range(2, 11)), scales):
        span = f" for {days} days" if days else ""
        wordings = (f"What is the weather in {city}{span}{scale}?", f"Weather for {city}{span}{scale}, please.",
                    f"Show the forecast in {city}{span}{scale}.")  # fmt: skip
        yield Task("weather", wordings, (("get_weather", _without_none(city=city, days=days, units=units)),))


def messages() -> Iterator[Task]:
    """Yield messages to a person, some of them urgent."""
    for name, text, urgent in product(NAMES, TEXTS, (None, True)):
        mark = " It is urgent." if urgent else ""
        wordings = (f"Tell {name}: {text}.{mark}", f"Send {name} the message: {text}.{mark}",
                    f"Write to {name}: {text}.{mark}")  # fmt: skip
        yield Task("message", wordings, (("send_message", _without_none(to=name, text=text, urgent=urgent)),))


def lights() -> Iterator[Task]:
    """Yield settings of a light: on, off, a level, a colour, or a level and a colour."""
    for room, level, color in product(ROOMS, (None, *range(10, 101, 10)), (None, *COLORS)):
        if level or color:
            how = " and ".join(
                word
                for word in (f"to {level} percent" if level else "", f"to {color}" if color else "")
                if word
            )
            wordings = (f"Set the {room} light {how}.", f"Put the light in the {room} {how}.")
            yield Task(
                "light", wordings, (("set_light", _without_none(room=room, level=level, color=color)),)
            )
    for room, on in product(ROOMS, (True, False)):
        word = "on" if on else "off"
        wordings = (f"Turn the {room} light {word}.", f"Switch {word} the light in the {room}.")
        yield Task("light", wordings, (("set_light", {"room": room, "on": on}),))


def tables() -> Iterator[Task]:
    """Yield bookings of a restaurant table."""
    places = ((None, ""), (True, " outside"), (False, " inside"))
    for people, day, hour, (outside, where) in product(range(2, 9), DAYS, range(17, 22), places):
        for minute in ("00", "30"):
            time = f"{hour}:{minute}"
            wordings = (f"Book a table for {people} on {day} at {time}{where}.",
                        f"A table for {people} people{where} on {day} at {time}, please.")  # fmt: skip
            arguments = _without_none(people=people, day=day, time=time, outside=outside)
            yield Task("table", wordings, (("book_table", arguments),))


def music() -> Iterator[Task]:
    """Yield music to play, some at a volume, some shuffled."""
    for genre, volume, shuffle in product(GENRES, (None, *range(5, 100, 5)), (None, True)):
        how = f" at volume {volume}" if volume else ""
        mixed = " shuffled" if shuffle else ""
        wordings = (f"Play some {genre}{mixed}{how}.", f"I want to hear {genre}{mixed}{how}.",
                    f"Put on {genre}{mixed}{how}.")  # fmt: skip
        yield Task(
            "music", wordings, (("play_music", _without_none(genre=genre, volume=volume, shuffle=shuffle)),)
        )


def pairs() -> Iterator[Task]:
    """Yield requests that need two calls."""
    for room, on, genre in product(ROOMS, (True, False), GENRES):
        word = "on" if on else "off"
        wordings = (f"Turn the {room} light {word} and play {genre}.",
                    f"Play {genre}, and turn the {room} light {word}.")  # fmt: skip
        calls = (("set_light", {"room": room, "on": on}), ("play_music", {"genre": genre}))
        yield Task("pair", wordings, calls)
    for one, other in product(CITIES, CITIES):
        if one != other:
            wordings = (
                f"What is the weather in {one} and in {other}?",
                f"Weather for {one} and {other}, please.",
            )
            yield Task("pair", wordings, (("get_weather", {"city": one}), ("get_weather", {"city": other})))


def orders() -> Iterator[Task]:
    """Yield bodies of orders for one item or two."""
    single = [((goods, count),) for goods, count in product(GOODS, range(2, 10))]
    double = [((a, m), (b, n)) for (a, m), (b, n) in product(product(GOODS, (2, 4, 7)), product(GOODS, (3, 5)))
              if a != b]  # fmt: skip
    for things, express in product((*single, *double), (None, True)):
        listed = " and ".join(f"{count} {goods}" for goods, count in things)
        fast = " by express" if express else ""
        wordings = (f"POST /orders: {listed}{fast}.", f"POST /orders for {listed}{fast}.")
        items = [{"name": goods, "count": count} for goods, count in things]
        yield Task(
            "order", wordings, operation="createOrder", body=_without_none(items=items, express=express)
        )


def events() -> Iterator[Task]:
    """Yield bodies of calendar entries."""
    dates = [(month, 1 + (5 * month + 7 * k) % 28) for month in range(1, 13) for k in range(4)]
    companies: Sequence[tuple[str, ...]] = (
        (),
        *((name,) for name in NAMES[:4]),
        *pairwise(NAMES),
    )
    for title, (month, day), guests in product(TITLES, dates, companies):
        whom = f" with {' and '.join(guests)}" if guests else ""
        wordings = (f"POST /events: {title} on {day} {MONTHS[month - 1]} 2027{whom}.",
                    f"POST /events for a {title}{whom} on {MONTHS[month - 1]} {day}, 2027.")  # fmt: skip
        body = _without_none(title=title, date=f"2027-{month:02}-{day:02}", guests=list(guests) or None)
        yield Task("event", wordings, operation="createEvent", body=body)


FAMILIES = (timers, weather, messages, lights, tables, music, pairs, orders, events)


def all_tasks() -> list[Task]:
    """Return all tasks in a fixed order."""
    return [task for family in FAMILIES for task in family()]
