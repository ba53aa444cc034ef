"""Wrong programs crafted to be accepted, each named after its trick.

`Attack.stage` is the furthest stage that an honest wrong answer of the same kind reaches: a well-formed program
that prints nonsense is `wrong`; a program that reads a file at compile time is `invalid`.
"""

from __future__ import annotations

import functools
from importlib import resources

from halo_core.drivers import Attack
from halo_core.programs import read_attacks
from halo_core.types import Prompt

SUM = Prompt(
    "attack-sum",
    "Read two integers and print their sum.",
    reference={
        "tests": [
            {"stdin": "3 4\n", "stdout": "7\n"},
            {"stdin": "-3 4\n", "stdout": "1\n"},
            {"stdin": "123 456\n", "stdout": "579\n"},
        ]
    },
)
ADD = Prompt(
    "attack-add",
    "Write a C function int add(int a, int b) that returns the sum.",
    reference={
        "harness": "#include <stdio.h>\nint add(int, int);\nint main(void) {\n    int a, b;\n"
        '    while (scanf("%d %d", &a, &b) == 2) printf("%d\\n", add(a, b));\n    return 0;\n}\n',
        "symbols": ["int add(int, int)"],
        "tests": [{"stdin": "3 4\n-3 4\n", "stdout": "7 1"}, {"stdin": "123 456\n", "stdout": "579"}],
    },
)
TOTAL = Prompt(
    "attack-total",
    "Write a C++ function int total(const std::vector<int>& v) that returns the sum of the elements.",
    reference={
        "harness": "#include <iostream>\n#include <vector>\nint total(const std::vector<int>& v);\n"
        "int main() {\n    std::vector<int> v;\n    for (int x; std::cin >> x;) v.push_back(x);\n"
        "    std::cout << total(v) << std::endl;\n}\n",
        "symbols": ["int total(const std::vector<int>& v)"],
        "tests": [{"stdin": "3 4 5\n", "stdout": "12"}, {"stdin": "-7\n", "stdout": "-7"}],
    },
)
NO_LOOP = Prompt(
    "attack-no-loop",
    "Read n and print 1 + 2 + ... + n, without a loop.",
    reference={
        "tests": [{"stdin": "4\n", "stdout": "10"}, {"stdin": "10\n", "stdout": "55"}],
        "forbid": [r"\b(for|while|do|goto)\b"],
    },
)
NO_SORT = Prompt(
    "attack-no-sort",
    "Read n and n integers, and print them in order, without qsort.",
    reference={
        "tests": [{"stdin": "3 3 1 2", "stdout": "1 2 3"}, {"stdin": "2 9 4", "stdout": "4 9"}],
        "forbid": [r"\bqsort\b", r"#\s*include\s*<algorithm>"],
    },
)
C_ONLY = Prompt(
    "attack-c-only",
    "Write a C program that reads two integers and prints their sum.",
    reference={"language": "c", "tests": SUM.reference["tests"]},
)
UNTESTED = Prompt("attack-untested", "Read two integers and print their sum.")

_PROMPTS = (SUM, ADD, TOTAL, NO_LOOP, NO_SORT, C_ONLY, UNTESTED)


@functools.cache
def load() -> tuple[Attack, ...]:
    """Return the attacks in `attacks.txt`; see `read_attacks`.

    The attack that reaches `untested`, on a prompt without tests, is a correct answer: not even that may pass.
    """
    text = resources.files(__package__).joinpath("attacks.txt").read_text(encoding="utf-8")
    return read_attacks(text, _PROMPTS)
