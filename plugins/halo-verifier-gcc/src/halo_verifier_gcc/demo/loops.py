"""Families with a loop, over numbers, over digits or over letters; and those about words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from halo_verifier_gcc.demo.parts import TESTS, One, Test, divides, of_one, rest
from halo_verifier_gcc.demo.style import Lines, Pen, indent
from halo_verifier_gcc.demo.tasks import Task

FILTERS: list[tuple[str, str, Test]] = [
    ("", "", lambda n: True),
    ("even ", "{} % 2 == 0", lambda n: n % 2 == 0),
    ("odd ", "{} % 2 != 0", lambda n: n % 2 != 0),
]
SHAPES: list[tuple[str, str, One]] = [
    ("numbers", "{}", lambda i: i),
    ("squares of the numbers", "{0} * {0}", lambda i: i * i),
    *[(f"numbers times {k}", f"{k} * {{}}", lambda i, k=k: k * i) for k in range(2, 6)],
]


def total() -> Iterator[Task]:
    """A sum over a range, of all, the even or the odd numbers, each changed in some way."""
    for (kind, condition, keep), (shape, value, change), low in product(FILTERS, SHAPES, range(1, 4)):
        words = shape.replace("numbers", f"{kind}numbers")
        yield _total(f"the sum of the {words} from {low} to n", low, condition, keep, value, change)
    for k in range(2, 8):
        what = f"the sum of the multiples of {k} up to n"
        yield _total(what, 1, f"{{}} % {k} == 0", divides(k), "{}", lambda i: i)


def _total(what: str, low: int, condition: str, keep: Test, value: str, change: One) -> Task:
    def write(pen: Pen) -> str:
        i = pen.i
        step = pen.add(pen.acc, "+", value.format(i))
        body = pen.block(f"if ({condition.format(i)})", step) if condition else step
        loop = pen.loop(str(low), pen.n, body)
        return pen.program([*pen.read(pen.n), f"int {pen.acc} = 0;", *loop, *pen.show(pen.acc)])

    def answer(n: int) -> int:
        return sum(change(i) for i in range(low, n + 1) if keep(i))

    return Task("total", what, "natural", answer, write)


def listing() -> Iterator[Task]:
    """The numbers of a range, up or down, each changed in some way."""
    for (shape, value, change), low, down in product(SHAPES, range(1, 4), (False, True)):
        way = f"from n down to {low}" if down else f"from {low} to n"
        yield _listing(f"the {shape} {way}", value, change, low, down)


def _listing(what: str, value: str, change: One, low: int, down: bool) -> Task:
    def write(pen: Pen) -> str:
        gap = pen.pick([" ", "\\n"])
        shown = [f'printf("%d{gap}", {value.format(pen.i)});']
        ends = (pen.n, str(low)) if down else (str(low), pen.n)
        return pen.program([*pen.read(pen.n), *pen.loop(*ends, shown, down=down)])

    def answer(n: int) -> str:
        numbers = [str(change(i)) for i in range(low, max(n, low) + 1)]
        return " ".join(reversed(numbers) if down else numbers) if n >= low else ""

    return Task("listing", what, "natural", answer, write)


def scan() -> Iterator[Task]:
    """A sum or a count over a list, of all numbers or of those that pass a test."""
    plural = {"it is": "that are"}
    for what, condition, keep in TESTS:
        words = what.replace("it is", plural["it is"])
        yield _scan(f"how many of them are {what.removeprefix('it is ')}", "1", condition, keep)
        yield _scan(f"the sum of those {words}", "{}", condition, keep)
    yield _scan("their sum", "{}", "", lambda v: True)
    for largest in (True, False):
        yield _scan_extreme(largest)


def _scan(what: str, value: str, condition: str, keep: Test) -> Task:
    def write(pen: Pen) -> str:
        step = pen.add(pen.acc, "+", value.format("v"))
        kept = pen.block(f"if ({condition.format('v')})", step) if condition else step
        loop = pen.repeat("n", [*pen.read("v"), *kept])
        return pen.program([*pen.read("n"), f"int {pen.acc} = 0;", *loop, *pen.show(pen.acc)])

    def answer(n: int, *values: int) -> int:
        return sum(1 if value == "1" else v for v in values if keep(v))

    return Task("scan", what, "list", answer, write)


def _scan_extreme(largest: bool) -> Task:
    def write(pen: Pen) -> str:
        best, op = pen.pick(["m", "best"]), ">" if largest else "<"
        body = [*pen.read("v"), *pen.block(f"if ({pen.i} == 0 || v {op} {best})", [f"{best} = v;"])]
        head = f"for (int {pen.i} = 0; {pen.i} < n; {pen.i}++)"
        return pen.program([*pen.read("n"), f"int {best} = 0;", *pen.block(head, body), *pen.show(best)])

    what = f"the {'largest' if largest else 'smallest'} of them"
    return Task("scan", what, "list", lambda n, *v: max(v) if largest else min(v), write)


def line() -> Iterator[Task]:
    """A word or a sign, n times."""
    for what in ("a star", "a hash", "a plus", "hello", "hi", "ok", "go", "la", "cat", "dog"):
        sign = {"a star": "*", "a hash": "#", "a plus": "+"}.get(what, what)
        yield _line(f"{what} n times on one line", sign, " " if sign.isalpha() else "")
        yield _line(f"{what} on each of n lines", sign, "\n")


def _line(what: str, sign: str, gap: str) -> Task:
    def write(pen: Pen) -> str:
        shown = 'printf("{}{}");'.format(sign, gap.replace("\n", "\\n"))
        once = [shown] if gap != "\n" else [pen.pick([shown, f'puts("{sign}");'])]
        return pen.program([*pen.read(pen.n), *pen.repeat(pen.n, once)])

    return Task("line", what, "natural", lambda n: gap.join([sign] * n), write)


def text() -> Iterator[Task]:
    """Words: their length, their letters, a greeting."""
    yield _text("its length", "%d", "(int)strlen({s})", len)
    for k in range(1, 7):
        yield _longer(k)
    for greeting in ("Hello", "Hi", "Welcome", "Bye", "Dear", "Go"):
        yield from _greeting(greeting)
    yield _text("its first letter", "%c", "{s}[0]", lambda s: s[0])
    yield _text("its last letter", "%c", "{s}[strlen({s}) - 1]", lambda s: s[-1])
    yield _text("it twice", "%s %s", "{s}, {s}", lambda s: f"{s} {s}")
    for letter in "abcdeilnorst":
        yield _letters(letter)


def _text(what: str, code: str, value: str, answer: Callable[[str], object]) -> Task:
    def write(pen: Pen) -> str:
        shown = f'printf("{code}{pen.newline}", {value.format(s=pen.word)});'
        headers = ["string"] if "strlen" in value else []
        return pen.program([*_read_word(pen), shown], *headers)

    return Task("text", what, "word", answer, write)


def _longer(k: int) -> Task:
    return _text(f"its length plus {k}", "%d", f"(int)strlen({{s}}) + {k}", lambda s: len(s) + k)


def _greeting(word: str) -> Iterator[Task]:
    yield _text(f"{word} before it", f"{word} %s", "{s}", lambda s: f"{word} {s}")
    yield _text(f"it and then {word}", f"%s {word}", "{s}", lambda s: f"{s} {word}")


def _letters(letter: str) -> Task:
    def write(pen: Pen) -> str:
        s, i = pen.word, pen.i
        count = pen.block(f"if ({s}[{i}] == '{letter}')", pen.add("c", "+", "1"))
        loop = pen.block(f"for (int {i} = 0; {s}[{i}]; {i}++)", count)
        return pen.program([*_read_word(pen), "int c = 0;", *loop, *pen.show("c")])

    return Task("text", f"how often it has the letter {letter}", "word", lambda s: s.count(letter), write)


def _read_word(pen: Pen) -> Lines:
    return [f"char {pen.word}[100];", f'scanf("%99s", {pen.word});']


def digits() -> Iterator[Task]:
    """The digits of a number: their sum, their number, how many are some digit."""
    folds: list[tuple[str, str, str, Callable[[str], int]]] = [
        ("the sum of its digits", "{n} % 10", "", lambda n: sum(map(int, n))),
        ("how many digits it has", "1", "", len),
        *[(f"how many of its digits are {d}", "1", f"{{n}} % 10 == {d}", _count(d))
          for d in range(10)],
        *[(f"how many of its digits are greater than {d}", "1", f"{{n}} % 10 > {d}",
           _above(d)) for d in range(2, 8)],
    ]  # fmt: skip
    for fold in folds:
        yield _digits(*fold)
    for k in (10, 100):
        yield of_one("digits", f"what is left when it is divided by {k}", f"{{n}} % {k}", rest(k))


def _count(digit: int) -> Callable[[str], int]:
    return lambda n: n.count(str(digit))


def _above(digit: int) -> Callable[[str], int]:
    return lambda n: sum(int(c) > digit for c in n)


def _digits(what: str, value: str, condition: str, answer: Callable[[str], int]) -> Task:
    def write(pen: Pen) -> str:
        n, step = pen.n, pen.add(pen.acc, "+", value.format(n=pen.n))
        body = pen.block(f"if ({condition.format(n=n)})", step) if condition else step
        shorten = pen.pick([f"{n} /= 10;", f"{n} = {n} / 10;"])
        loop = [f"while ({n} > 0) {{", *indent([*body, shorten]), "}"]
        return pen.program([*pen.read(n), f"int {pen.acc} = 0;", *loop, *pen.show(pen.acc)])

    return Task("digits", what, "positive", lambda n: answer(str(n)), write)
