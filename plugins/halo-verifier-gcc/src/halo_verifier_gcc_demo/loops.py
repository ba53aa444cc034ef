"""Families with a loop over numbers, digits or letters, and families about words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from halo_verifier_gcc_demo.parts import PREDICATES, Predicate, Unary, divisible_by, formula_task, remainder
from halo_verifier_gcc_demo.style import Lines, Style, indent
from halo_verifier_gcc_demo.tasks import Task

FILTERS: list[tuple[str, str, Predicate]] = [
    ("", "", lambda n: True),
    ("even ", "{} % 2 == 0", lambda n: n % 2 == 0),
    ("odd ", "{} % 2 != 0", lambda n: n % 2 != 0),
]
SHAPES: list[tuple[str, str, Unary]] = [
    ("numbers", "{}", lambda i: i),
    ("squares of the numbers", "{0} * {0}", lambda i: i * i),
    *[(f"numbers times {k}", f"{k} * {{}}", lambda i, k=k: k * i) for k in range(2, 6)],
]


def total() -> Iterator[Task]:
    """Yield tasks on the sum of a range's numbers, or of its even or odd ones, each squared or multiplied."""
    for (kind, condition, predicate), (shape, value, change), low in product(FILTERS, SHAPES, range(1, 4)):
        words = shape.replace("numbers", f"{kind}numbers")
        yield _total(f"the sum of the {words} from {low} to n", low, condition, predicate, value, change)
    for k in range(2, 8):
        request = f"the sum of the multiples of {k} up to n"
        yield _total(request, 1, f"{{}} % {k} == 0", divisible_by(k), "{}", lambda i: i)


def _total(request: str, low: int, condition: str, predicate: Predicate, value: str, change: Unary) -> Task:
    def write(style: Style) -> str:
        i = style.i
        step = style.add(style.acc, "+", value.format(i))
        body = style.block(f"if ({condition.format(i)})", step) if condition else step
        loop = style.loop(str(low), style.n, body)
        return style.program(
            [*style.read(style.n), f"int {style.acc} = 0;", *loop, *style.print_value(style.acc)]
        )

    def answer(n: int) -> int:
        return sum(change(i) for i in range(low, n + 1) if predicate(i))

    return Task("total", request, "natural", answer, write)


def listing() -> Iterator[Task]:
    """Yield tasks that print a range, up or down, with each number squared or multiplied."""
    for (shape, value, change), low, down in product(SHAPES, range(1, 4), (False, True)):
        way = f"from n down to {low}" if down else f"from {low} to n"
        yield _listing(f"the {shape} {way}", value, change, low, down)


def _listing(request: str, value: str, change: Unary, low: int, down: bool) -> Task:
    def write(style: Style) -> str:
        gap = style.pick([" ", "\\n"])
        shown = [f'printf("%d{gap}", {value.format(style.i)});']
        ends = (style.n, str(low)) if down else (str(low), style.n)
        return style.program([*style.read(style.n), *style.loop(*ends, shown, down=down)])

    def answer(n: int) -> str:
        numbers = [str(change(i)) for i in range(low, max(n, low) + 1)]
        return " ".join(reversed(numbers) if down else numbers) if n >= low else ""

    return Task("listing", request, "natural", answer, write)


def scan() -> Iterator[Task]:
    """Yield tasks on the sum or count of a list's numbers that satisfy a predicate, and on its extremes."""
    plural = {"it is": "that are"}
    for singular, condition, predicate in PREDICATES:
        words = singular.replace("it is", plural["it is"])
        yield _scan(f"how many of them are {singular.removeprefix('it is ')}", "1", condition, predicate)
        yield _scan(f"the sum of those {words}", "{}", condition, predicate)
    yield _scan("their sum", "{}", "", lambda v: True)
    for largest in (True, False):
        yield _scan_extreme(largest)


def _scan(request: str, value: str, condition: str, predicate: Predicate) -> Task:
    def write(style: Style) -> str:
        step = style.add(style.acc, "+", value.format("v"))
        kept = style.block(f"if ({condition.format('v')})", step) if condition else step
        loop = style.repeat("n", [*style.read("v"), *kept])
        return style.program(
            [*style.read("n"), f"int {style.acc} = 0;", *loop, *style.print_value(style.acc)]
        )

    def answer(n: int, *values: int) -> int:
        return sum(1 if value == "1" else v for v in values if predicate(v))

    return Task("scan", request, "list", answer, write)


def _scan_extreme(largest: bool) -> Task:
    def write(style: Style) -> str:
        best, op = style.pick(["m", "best"]), ">" if largest else "<"
        body = [*style.read("v"), *style.block(f"if ({style.i} == 0 || v {op} {best})", [f"{best} = v;"])]
        head = f"for (int {style.i} = 0; {style.i} < n; {style.i}++)"
        return style.program(
            [*style.read("n"), f"int {best} = 0;", *style.block(head, body), *style.print_value(best)]
        )

    request = f"the {'largest' if largest else 'smallest'} of them"
    return Task("scan", request, "list", lambda n, *v: max(v) if largest else min(v), write)


def line() -> Iterator[Task]:
    """Yield tasks that print a word or a sign n times."""
    for word in ("a star", "a hash", "a plus", "hello", "hi", "ok", "go", "la", "cat", "dog"):
        sign = {"a star": "*", "a hash": "#", "a plus": "+"}.get(word, word)
        yield _line(f"{word} n times on one line", sign, " " if sign.isalpha() else "")
        yield _line(f"{word} on each of n lines", sign, "\n")


def _line(request: str, sign: str, gap: str) -> Task:
    def write(style: Style) -> str:
        shown = 'printf("{}{}");'.format(sign, gap.replace("\n", "\\n"))
        once = [shown] if gap != "\n" else [style.pick([shown, f'puts("{sign}");'])]
        return style.program([*style.read(style.n), *style.repeat(style.n, once)])

    return Task("line", request, "natural", lambda n: gap.join([sign] * n), write)


def text() -> Iterator[Task]:
    """Yield tasks on words: their length, their letters, a greeting."""
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


def _text(request: str, code: str, value: str, answer: Callable[[str], object]) -> Task:
    def write(style: Style) -> str:
        shown = f'printf("{code}{style.newline}", {value.format(s=style.word)});'
        headers = ["string"] if "strlen" in value else []
        return style.program([*_read_word(style), shown], *headers)

    return Task("text", request, "word", answer, write)


def _longer(k: int) -> Task:
    return _text(f"its length plus {k}", "%d", f"(int)strlen({{s}}) + {k}", lambda s: len(s) + k)


def _greeting(word: str) -> Iterator[Task]:
    yield _text(f"{word} before it", f"{word} %s", "{s}", lambda s: f"{word} {s}")
    yield _text(f"it and then {word}", f"%s {word}", "{s}", lambda s: f"{s} {word}")


def _letters(letter: str) -> Task:
    def write(style: Style) -> str:
        s, i = style.word, style.i
        count = style.block(f"if ({s}[{i}] == '{letter}')", style.add("c", "+", "1"))
        loop = style.block(f"for (int {i} = 0; {s}[{i}]; {i}++)", count)
        return style.program([*_read_word(style), "int c = 0;", *loop, *style.print_value("c")])

    return Task("text", f"how often it has the letter {letter}", "word", lambda s: s.count(letter), write)


def _read_word(style: Style) -> Lines:
    return [f"char {style.word}[100];", f'scanf("%99s", {style.word});']


def digits() -> Iterator[Task]:
    """Yield tasks on the digits of a number: their sum, their number, the count of some digits."""
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
        yield formula_task("digits", f"what is left when it is divided by {k}", f"{{n}} % {k}", remainder(k))


def _count(digit: int) -> Callable[[str], int]:
    return lambda n: n.count(str(digit))


def _above(digit: int) -> Callable[[str], int]:
    return lambda n: sum(int(c) > digit for c in n)


def _digits(request: str, value: str, condition: str, answer: Callable[[str], int]) -> Task:
    def write(style: Style) -> str:
        n, step = style.n, style.add(style.acc, "+", value.format(n=style.n))
        body = style.block(f"if ({condition.format(n=n)})", step) if condition else step
        shorten = style.pick([f"{n} /= 10;", f"{n} = {n} / 10;"])
        loop = [f"while ({n} > 0) {{", *indent([*body, shorten]), "}"]
        return style.program([*style.read(n), f"int {style.acc} = 0;", *loop, *style.print_value(style.acc)])

    return Task("digits", request, "positive", lambda n: answer(str(n)), write)
