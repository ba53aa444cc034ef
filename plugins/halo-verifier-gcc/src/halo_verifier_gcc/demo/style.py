"""How the corpus' authors write C: one `Pen` is one author, with habits drawn at random.

Every method returns lines of C that are right; mistakes come later, from `mistakes`. Lines are nested by
four spaces relative to the block they stand in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
Lines = list[str]


class Pen:
    """One author's habits. The same seed gives the same author, writing the same program."""

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
        """Choose one of several ways to write a thing."""
        return self.rng.choice(options)

    def program(self, body: Lines, *headers: str) -> str:
        """Return the whole program around `body`."""
        includes = [f"#include <{header}.h>" for header in ("stdio", *headers)]
        ending = ["return 0;"] if self.returns else []
        return "\n".join([*includes, f"int main({self.void}) {{", *indent(body + ending), "}"]) + "\n"

    def block(self, head: str, body: Lines) -> Lines:
        """Return a statement with its body; a body of one line may go without braces."""
        if len(body) == 1 and not self.braces:
            return [head, *indent(body)]
        return [head + " {", *indent(body), "}"]

    def read(self, *names: str, kind: str = "int") -> Lines:
        """Declare variables and read them."""
        code = {"int": "%d", "double": "%lf"}[kind]
        declared = [f"{kind} {', '.join(names)};"]
        if len(names) > 1 and self.rng.random() < 0.2:
            declared = [f"{kind} {name};" for name in names]
        places = ", ".join(f"&{name}" for name in names)
        return [*declared, f'scanf("{self.pick([" ", " ", ""]).join([code] * len(names))}", {places});']

    def show(self, value: str, code: str = "%d", kind: str = "int") -> Lines:
        """Print a value, at once or by way of a variable."""
        if self.rng.random() < 0.7 or value.isidentifier():
            return [f'printf("{code}{self.newline}", {value});']
        name = self.pick(["result", "ans"])
        return [f"{kind} {name} = {value};", f'printf("{code}{self.newline}", {name});']

    def say(self, text: str) -> Lines:
        """Print a fixed text."""
        return [self.pick([f'printf("{text}{self.newline}");', f'puts("{text}");'])]

    def choose(self, condition: str, yes: str, no: str) -> Lines:
        """Print one of two texts."""
        form = self.rng.randrange(4)
        if form == 0:
            return [f'puts({condition} ? "{yes}" : "{no}");']
        if form == 1:
            return [f'printf("%s{self.newline}", {condition} ? "{yes}" : "{no}");']
        return [*self.block(f"if ({condition})", self.say(yes)), *self.block("else", self.say(no))]

    def add(self, target: str, op: str, value: str) -> Lines:
        """Update `target` by `value`."""
        if value == "1" and op == "+" and self.rng.random() < 0.7:
            return [self.pick([f"{target}++;", f"{target}++;", f"++{target};"])]
        return [self.pick([f"{target} {op}= {value};", f"{target} = {target} {op} {value};"])]

    def loop(self, start: str, stop: str, body: Lines, *, step: str = "1", down: bool = False) -> Lines:
        """Count from `start` up to (or down to) `stop` inclusive, with `self.i`."""
        i, test = self.i, ">=" if down else "<="
        advance = (f"{self.i}{'--' if down else '++'}" if step == "1" else f"{self.i} += {step}") + ";"
        if self.rng.random() < 0.3:
            return [f"int {i} = {start};", f"while ({i} {test} {stop}) {{", *indent([*body, advance]), "}"]
        if self.rng.random() < 0.3:
            return [f"int {i};", *self.block(f"for ({i} = {start}; {i} {test} {stop}; {advance[:-1]})", body)]
        return self.block(f"for (int {i} = {start}; {i} {test} {stop}; {advance[:-1]})", body)

    def repeat(self, count: str, body: Lines) -> Lines:
        """Do `body` `count` times."""
        if self.rng.random() < 0.3:
            return self.loop("1", count, body)
        if self.rng.random() < 0.2:
            return [f"while ({count}-- > 0) {{", *indent(body), "}"]
        return self.block(f"for (int {self.i} = 0; {self.i} < {count}; {self.i}++)", body)


def indent(lines: Lines) -> Lines:
    """Move `lines` one level in."""
    return [f"    {line}" for line in lines]
