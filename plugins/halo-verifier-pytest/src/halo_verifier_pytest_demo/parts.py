"""Parts of the demo's tasks: sources of values, conditions on a value, changes to a value, and goals.

Each part has an English phrase, its Python and its meaning, the function that computes expected answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Source:
    """Source of values: a parameter and the values taken from it."""

    english: str
    parameter: str
    item: str
    python: tuple[str, ...]
    """Alternative expressions for an iterable of the values."""
    values: Callable[[Any], Iterable[Any]]
    draw: Callable[[random.Random], Any]
    """Function that returns a random argument."""


@dataclass(frozen=True)
class Step:
    """Condition on a value, or change to it; `{}` in the Python stands for the value."""

    english: str
    python: str
    meaning: Callable[[Any], Any]


@dataclass(frozen=True)
class Goal:
    """Result computed from all the values."""

    english: str
    python: tuple[str, ...]
    """Alternative expressions for the result; `{}` stands for a generator or a list."""
    start: str
    """Initial value of the result in a loop; empty if a loop would be unnatural."""
    add: str
    """Statement that adds a value in a loop: `{0}` is the result so far, `{1}` the value."""
    meaning: Callable[[list[Any]], Any]
    empty: bool = True
    """True if the result is defined for no values at all."""


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("aabceeilmnorstu") for _ in range(rng.randint(1, 7)))


def _list(rng: random.Random) -> list[int]:
    return [rng.randint(-4, 14) for _ in range(rng.randint(4, 8))]


NUMBERS = (
    Source("the numbers in xs", "xs", "x", ("xs",), lambda xs: xs, _list),
    Source("the numbers from 1 to n", "n", "i", ("range(1, n + 1)",), lambda n: range(1, n + 1),
           lambda rng: rng.randint(5, 14)),
    Source("the digits of n", "n", "d", ("map(int, str(n))", "[int(c) for c in str(n)]"),
           lambda n: map(int, str(n)), lambda rng: rng.randint(100, 9999999)),
    Source("the word lengths in s", "s", "k", ("map(len, s.split())", "[len(w) for w in s.split()]"),
           lambda s: map(len, s.split()),
           lambda rng: " ".join(_word(rng) for _ in range(rng.randint(3, 7)))),
)  # fmt: skip
LETTERS = (
    Source("the letters of s", "s", "c", ("s",), lambda s: s,
           lambda rng: _word(rng) + _word(rng) + "aeb"[: rng.randint(0, 3)]),
)  # fmt: skip


def _steps(
    english: str, python: str, constants: Iterable[Any], meaning: Callable[[Any, Any], Any]
) -> list[Step]:
    """Return one step per constant `k`."""
    return [Step(english.format(k=k), python.format(k=k), partial(_with, meaning, k)) for k in constants]


def _with(meaning: Callable[[Any, Any], Any], k: Any, value: Any) -> Any:
    return meaning(value, k)


ALL = Step("", "", lambda v: True)
SAME = Step("", "{}", lambda v: v)

NUMBER_TESTS = (
    ALL,
    Step("that are even", "{} % 2 == 0", lambda v: v % 2 == 0),
    Step("that are odd", "{} % 2 == 1", lambda v: v % 2 == 1),
    *_steps("above {k}", "{{}} > {k}", range(2, 7), lambda v, k: v > k),
    *_steps("below {k}", "{{}} < {k}", range(3, 8), lambda v, k: v < k),
    *_steps("divisible by {k}", "{{}} % {k} == 0", range(3, 6), lambda v, k: v % k == 0),
)
NUMBER_CHANGES = (
    SAME,
    Step("squared", "{0} * {0}", lambda v: v * v),
    *_steps("plus {k}", "{{}} + {k}", range(1, 6), lambda v, k: v + k),
    *_steps("times {k}", "{{}} * {k}", range(2, 6), lambda v, k: v * k),
    *_steps("minus {k}", "{{}} - {k}", range(1, 5), lambda v, k: v - k),
)
LETTER_TESTS = (
    ALL,
    Step("that are vowels", '{} in "aeiou"', lambda v: v in "aeiou"),
    Step("that are no vowels", '{} not in "aeiou"', lambda v: v not in "aeiou"),
    *_steps("after {k}", '{{}} > "{k}"', "bcel", lambda v, k: v > k),
    *_steps("before {k}", '{{}} < "{k}"', "emrs", lambda v, k: v < k),
    *_steps("but {k}", '{{}} != "{k}"', "aeio", lambda v, k: v != k),
)
LETTER_CHANGES = (
    SAME,
    Step("in capitals", "{}.upper()", lambda v: v.upper()),
    Step("twice", "{} * 2", lambda v: v * 2),
    *_steps("with {k} behind", '{{}} + "{k}"', "-.!", lambda v, k: v + k),
)

NUMBER_GOALS = (
    Goal("the sum of", ("sum({})",), "0", "{0} += {1}", sum),
    Goal("a list of", ("list({})",), "[]", "{0}.append({1})", list),
    Goal("the largest of", ("max({})",), "", "", max, empty=False),
    Goal("the smallest of", ("min({})",), "", "", min, empty=False),
    Goal("a sorted list of", ("sorted({})",), "", "", sorted),
    Goal("the set of", ("set({})",), "set()", "{0}.add({1})", set),
)
LETTER_GOALS = (
    Goal("a string of", ('"".join({})',), '""', "{0} += {1}", "".join),
    Goal("a list of", ("list({})",), "[]", "{0}.append({1})", list),
    Goal("a reversed list of", ("list({})[::-1]",), "", "", lambda v: v[::-1]),
    Goal("a sorted list of", ("sorted({})",), "", "", sorted),
)
