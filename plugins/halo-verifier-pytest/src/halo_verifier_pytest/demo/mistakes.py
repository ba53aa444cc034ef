"""Beginners' mistakes: each takes a correct program and spoils it, the way the demo's authors sometimes do.

`KINDS` groups them by what comes of it, with how often an author makes one of that kind.
"""

from __future__ import annotations

from halo_core.demo.mistakes import Careless, Mistake, swap

SYNTAX: tuple[Mistake, ...] = (
    swap(r":$", ""),  # missing colon
    swap(r"[)\]}]$", ""),  # unclosed bracket
    swap(r" in ", " "),  # missing word
    swap(r" == ", " = "),  # assignment for comparison
    swap(r"^(    +\w.*\n)    return ", r"\1   return "),  # indentation
    swap(r"^(\s+)return (.*)$", r"\1return \2;}"),  # another language
    swap(r" if (.*?)([)\]}])", r" where \1\2"),
    swap(r'"(.)"', r'"\1'),  # unclosed string
)
CRASH: tuple[Mistake, ...] = (
    swap(r"\bfor (\w+) in\b", "for j in"),  # undefined name
    swap(r"return (r|result|out)$", "return total"),
    swap(r"\bstr\(n\)", "n"),  # an integer is not iterable
    swap(r"range\(1, n \+ 1\)", "n"),
    swap(r"\.append\(", ".push("),
    swap(r"map\(len, s.split\(\)\)", "len(s.split())"),
    swap(r"\bsum\(|\bsorted\(", "total("),
)
WRONG: tuple[Mistake, ...] = (
    swap(r" > ", " >= "),  # off by one
    swap(r" < ", " <= "),
    swap(r"range\(1, n \+ 1\)", "range(1, n)"),
    swap(r"range\(1, n \+ 1\)", "range(n + 1)"),
    swap(r" == 0", " != 0"),
    swap(r" if [^:\n]*?(?=[)\]}])", ""),  # forgotten condition
    swap(r"(\w) [+*-] (\d)", r"\1 - \2"),  # wrong operator
    swap(r"\bmax\(", "min("),
    swap(r"\bmin\(", "max("),
    swap(r"^(\s+)return (r|result|out)$", r"\1    return \2"),  # too early
    swap(r"\bsorted\(", "list("),
    swap(r"\breturn \[(.*)\]$", r"return [\1][1:]"),  # without the first
    swap(r" not in ", " in "),
    swap(r"\.upper\(\)", ".lower()"),
)

KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "syntax": (SYNTAX, 0.28),
    "crash": (CRASH, 0.10),
    "wrong": (WRONG, 0.22),
}

careless = Careless(KINDS)
spoil = careless.spoil
