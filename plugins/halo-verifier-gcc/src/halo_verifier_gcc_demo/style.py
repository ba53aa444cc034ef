"""Coding styles of the corpus: one `Style` is one author, with habits drawn at random.

Every method that returns lines returns correct C; `mistakes` adds mistakes later. Lines are indented by four spaces
relative to their block.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
Lines = list[str]


class Style:
    """One author's habits. The same seed gives the same author and the same program."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.n = rng.choice(["n", "n", "x", "num"])
        self.a, self.b, self.c = rng.choice([("a", "b", "c"), ("a", "b", "c"), ("x", "y", "z")])
        self.i = rng.choice(["i", "i", "k"])
        self.acc = rng.choice(["s", "sum", "r"])
        self.word = rng.choice(["s", "word"])
        self.newline = rng.choice(["\\n", "\\n", "\\n", ""])
        self.braces = rng.random() < 0.6
        self.void = rng.choice(["void", "void", ""])
        self.returns = rng.random() < 0.8

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of several equivalent forms at random."""
        return self.rng.choice(options)

    def program(self, body: Lines, *headers: str) -> str:
        """Return a whole program with `body` in `main`."""
        includes = [f"#include <{header}.h>" for header in ("stdio", *headers)]
        ending = ["return 0;"] if self.returns else []
        return "\n".join([*includes, f"int main({self.void}) {{", *indent(body + ending), "}"]) + "\n"

    def block(self, head: str, body: Lines) -> Lines:
        """Return a statement with its body; a body of one line may have no braces."""
        if len(body) == 1 and not self.braces:
            return [head, *indent(body)]
        return [head + " {", *indent(body), "}"]

    def read(self, *names: str, kind: str = "int") -> Lines:
        """Return lines that declare variables and read them."""
        code = {"int": "%d", "double": "%lf"}[kind]
        declared = [f"{kind} {', '.join(names)};"]
        if len(names) > 1 and self.rng.random() < 0.2:
            declared = [f"{kind} {name};" for name in names]
        places = ", ".join(f"&{name}" for name in names)
        return [*declared, f'scanf("{self.pick([" ", " ", ""]).join([code] * len(names))}", {places});']

    def print_value(self, value: str, code: str = "%d", kind: str = "int") -> Lines:
        """Return lines that print a value, directly or through a variable."""
        if self.rng.random() < 0.7 or value.isidentifier():
            return [f'printf("{code}{self.newline}", {value});']
        name = self.pick(["result", "ans"])
        return [f"{kind} {name} = {value};", f'printf("{code}{self.newline}", {name});']

    def print_text(self, text: str) -> Lines:
        """Return lines that print a fixed text."""
        return [self.pick([f'printf("{text}{self.newline}");', f'puts("{text}");'])]

    def print_either(self, condition: str, yes: str, no: str) -> Lines:
        """Return lines that print `yes` if `condition` holds, else `no`."""
        form = self.rng.randrange(4)
        if form == 0:
            return [f'puts({condition} ? "{yes}" : "{no}");']
        if form == 1:
            return [f'printf("%s{self.newline}", {condition} ? "{yes}" : "{no}");']
        return [
            *self.block(f"if ({condition})", self.print_text(yes)),
            *self.block("else", self.print_text(no)),
        ]

    def add(self, target: str, op: str, value: str) -> Lines:
        """Return lines that update `target` by `value`."""
        if value == "1" and op == "+" and self.rng.random() < 0.7:
            return [self.pick([f"{target}++;", f"{target}++;", f"++{target};"])]
        return [self.pick([f"{target} {op}= {value};", f"{target} = {target} {op} {value};"])]

    def loop(self, start: str, stop: str, body: Lines, *, step: str = "1", down: bool = False) -> Lines:
        """Return a loop that counts `self.i` from `start` up to (or down to) `stop` inclusive."""
        i, test = self.i, ">=" if down else "<="
        advance = (f"{self.i}{'--' if down else '++'}" if step == "1" else f"{self.i} += {step}") + ";"
        if self.rng.random() < 0.3:
            return [f"int {i} = {start};", f"while ({i} {test} {stop}) {{", *indent([*body, advance]), "}"]
        if self.rng.random() < 0.3:
            return [f"int {i};", *self.block(f"for ({i} = {start}; {i} {test} {stop}; {advance[:-1]})", body)]
        return self.block(f"for (int {i} = {start}; {i} {test} {stop}; {advance[:-1]})", body)

    def repeat(self, count: str, body: Lines) -> Lines:
        """Return a loop that runs `body` `count` times."""
        if self.rng.random() < 0.3:
            return self.loop("1", count, body)
        if self.rng.random() < 0.2:
            return [f"while ({count}-- > 0) {{", *indent(body), "}"]
        return self.block(f"for (int {self.i} = 0; {self.i} < {count}; {self.i}++)", body)


def indent(lines: Lines) -> Lines:
    """Return `lines` indented by one level."""
    return [f"    {line}" for line in lines]
