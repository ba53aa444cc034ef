"""Beginners' mistakes: functions that turn a correct program into a wrong one.

`KINDS` groups them by effect and gives the rate of each kind.
"""

from __future__ import annotations

from halo_core.demo.mistakes import Mistake, MistakeInjector, swap

SYNTAX: tuple[Mistake, ...] = (
    swap(r";$", ""),  # missing semicolon
    swap(r";$", ""),
    swap(r"^(    )int (\w+) = ", r"\1\2 = "),  # undeclared variable
    swap(r"\(int (\w+) = ", r"(\1 = "),
    swap(r"^    int [\w, ]+;\n", ""),
    swap(r"^ *\}\n", ""),  # unclosed brace
    swap(r"\);$", ";"),  # unclosed parenthesis
    swap(r'" ?\)|",', lambda m: m[0][1:]),  # unclosed string
    swap(r"\bprintf\(", "print("),  # misspelt function
    swap(r"\bscanf\(", "scan("),
    swap(r'(printf\("[^"]*"),', r"\1"),  # missing comma
    swap(r"\b(if|while) \((.+)\)( \{)?$", r"\1 \2:"),  # another language
    swap(r"(printf\(.*, )(\w+)\);$", r"\1value);"),  # undeclared name
)
WARNING: tuple[Mistake, ...] = (
    swap(r"^    scanf", "    int tmp;\n    scanf"),  # unused variable
    swap(r'(printf\("[^"]*)%d', r"\1%f"),  # wrong format
    swap(r'(printf\("[^"]*)%d', r"\1%s"),
    swap(r'(scanf\("[^"]*)%d', r"\1%f"),
    swap(r"if \((.*[^=!<>]) == ", r"if (\1 = "),  # assignment for comparison
)
CRASH: tuple[Mistake, ...] = (
    swap(r"return 0;", "return 1;"),
    swap(r"^(    scanf.*)&(\w+\);)$", r"\1\2"),  # missing address
    swap(r" % \w+", " % 0"),
)
WRONG: tuple[Mistake, ...] = (
    swap(r" <= ", " < "),  # off by one
    swap(r" < ", " <= "),
    swap(r"(int \w+) = 0;", r"\1 = 1;"),
    swap(r" > (\w+)", r" < \1"),
    swap(r" >= (\w+)", r" > \1"),
    swap(r"(\w+) ([-/]) (\w+)", r"\3 \2 \1"),  # swapped operands
    swap(r" \+ ", " - "),  # wrong operator
    swap(r" \* ", " + "),
    swap(r" == ", " != "),
    swap(r"\? (\S+) : (\S+)\)", r"? \2 : \1)"),  # swapped answers
)

KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "syntax": (SYNTAX, 0.36),
    "warning": (WARNING, 0.08),
    "crash": (CRASH, 0.04),
    "wrong": (WRONG, 0.24),
}

BEGINNER = MistakeInjector(KINDS)
make_mistake = BEGINNER.inject
