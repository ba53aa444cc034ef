"""Beginners' mistakes: each turns a correct program into a faulty one.

`KINDS` groups them by their effect, with the rate at which an author makes a mistake of that kind.
"""

from __future__ import annotations

from halo_core.demo.mistakes import Mistake, MistakeInjector, swap

SYNTAX: tuple[Mistake, ...] = (
    swap(r":$", ""),  # missing colon
    swap(r"[)\]}]$", ""),  # unclosed bracket
    swap(r" in ", " "),  # missing word
    swap(r" == ", " = "),  # assignment instead of comparison
    swap(r"^(    +\w.*\n)    return ", r"\1   return "),  # wrong indentation
    swap(r"^(\s+)return (.*)$", r"\1return \2;}"),  # syntax of another language
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
    swap(r"^(\s+)return (r|result|out)$", r"\1    return \2"),  # returns too early
    swap(r"\bsorted\(", "list("),
    swap(r"\breturn \[(.*)\]$", r"return [\1][1:]"),  # drops the first item
    swap(r" not in ", " in "),
    swap(r"\.upper\(\)", ".lower()"),
)

KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "syntax": (SYNTAX, 0.28),
    "crash": (CRASH, 0.10),
    "wrong": (WRONG, 0.22),
}

careless = MistakeInjector(KINDS)
spoil = careless.inject
