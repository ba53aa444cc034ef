"""The families of tasks: each lists one task for every combination of its parameters.

So a split by task keeps training and held-out prompts apart: what is held out is an unseen combination of
parts that were each seen elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

from halo_verifier_gcc.demo.style import Lines, Pen, indent
from halo_verifier_gcc.demo.tasks import Task

Two = Callable[[int, int], int]
One = Callable[[int], int]
Test = Callable[[int], bool]


def _plus(k: int) -> One:
    return lambda v: v + k


def _times(k: int) -> One:
    return lambda v: v * k


def _over(k: int) -> One:
    return lambda v: v // k


def _rest(k: int) -> One:
    return lambda v: v % k


def _divides(k: int) -> Test:
    return lambda v: v % k == 0


def all_tasks() -> list[Task]:
    """Return every task there is, in a fixed order."""
    families = (arithmetic, linear, convert, extreme, check, relate, total, listing, scan, line, text, digits,
                layout, real)  # fmt: skip
    return [task for family in families for task in family()]


def arithmetic() -> Iterator[Task]:
    """A sum, difference or product of two integers, with something done to it."""
    plain: list[tuple[str, str, Two]] = [
        ("their sum", "{a} + {b}", lambda a, b: a + b),
        ("their product", "{a} * {b}", lambda a, b: a * b),
        ("the first minus the second", "{a} - {b}", lambda a, b: a - b),
        ("the second minus the first", "{b} - {a}", lambda a, b: b - a),
    ]
    for formula in plain:
        yield _arithmetic(*formula)
        for k in range(2, 8):
            yield _arithmetic(*_then(formula, f" plus {k}", f"{{}} + {k}", _plus(k)))
            yield _arithmetic(*_then(formula, f" minus {k}", f"{{}} - {k}", _plus(-k)))
            yield _arithmetic(*_then(formula, f" times {k}", f"({{}}) * {k}", _times(k)))


def _then(base: tuple[str, str, Two], words: str, c: str, change: One) -> tuple[str, str, Two]:
    what, formula, value = base
    return what + words, c.replace("{}", formula), lambda a, b: change(value(a, b))


def _arithmetic(what: str, formula: str, value: Two) -> Task:
    def write(pen: Pen) -> str:
        return pen.program([*pen.read(pen.a, pen.b), *pen.show(formula.format(a=pen.a, b=pen.b))])

    return Task("arithmetic", what, "two", value, write)


def linear() -> Iterator[Task]:
    """A multiple of an integer, plus or minus a constant."""
    for k, sign, c in product(range(2, 8), "+-", range(1, 9)):
        yield _linear(k, sign, c)


def _linear(k: int, sign: str, c: int) -> Task:
    def write(pen: Pen) -> str:
        value = pen.pick([f"{k} * {pen.n}", f"{pen.n} * {k}"])
        return pen.program([*pen.read(pen.n), *pen.show(f"{value} {sign} {c}")])

    word, shift = ("plus", c) if sign == "+" else ("minus", -c)
    return Task("linear", f"{k} times it {word} {c}", "one", lambda n: k * n + shift, write)


UNITS = (("weeks", "days", 7), ("hours", "minutes", 60), ("days", "hours", 24), ("feet", "inches", 12),
         ("years", "months", 12), ("minutes", "seconds", 60), ("metres", "centimetres", 100),
         ("pounds", "ounces", 16), ("yards", "feet", 3), ("decades", "years", 10))  # fmt: skip


def convert() -> Iterator[Task]:
    """Units, down to a smaller one, up to full larger ones, and up with what is left over."""
    for big, small, k in UNITS:
        yield _one("convert", f"how many {small} are in that many {big}", f"{{n}} * {k}", _times(k))
        yield _one("convert", f"how many full {big} are in that many {small}", f"{{n}} / {k}", _over(k))
        yield _left_over(big, small, k)


def _one(family: str, what: str, formula: str, value: One) -> Task:
    def write(pen: Pen) -> str:
        return pen.program([*pen.read(pen.n), *pen.show(formula.format(n=pen.n))])

    return Task(family, what, "count", value, write)


def _left_over(big: str, small: str, k: int) -> Task:
    def write(pen: Pen) -> str:
        shown = f'printf("%d %d{pen.newline}", {pen.n} / {k}, {pen.n} % {k});'
        return pen.program([*pen.read(pen.n), shown])

    what = f"that many {small} as full {big} and {small}"
    return Task("convert", what, "count", lambda n: f"{n // k} {n % k}", write)


def extreme() -> Iterator[Task]:
    """The larger or smaller of two or three integers, with something done to it."""
    changes: list[tuple[str, str, One]] = [("", "{}", lambda v: v)]
    for k in range(2, 7):
        changes.append((f" plus {k}", f"{{}} + {k}", _plus(k)))
        changes.append((f" times {k}", f"{{}} * {k}", _times(k)))
    for larger, (tail, c, change) in product((True, False), changes):
        yield _extreme_of_two(larger, tail, c, change)
        yield _extreme_of_three(larger, tail, c, change)


def _extreme_of_two(larger: bool, tail: str, c: str, change: One) -> Task:
    def write(pen: Pen) -> str:
        a, b, op = pen.a, pen.b, ">" if larger else "<"
        if c == "{}" and pen.rng.random() < 0.6:
            body = [*pen.block(f"if ({a} {op} {b})", pen.show(a)), *pen.block("else", pen.show(b))]
            return pen.program([*pen.read(a, b), *body])
        best = pen.pick(["m", "best"])
        forms = [[f"int {best} = {a} {op} {b} ? {a} : {b};"],
                 [f"int {best} = {a};", *pen.block(f"if ({b} {op} {best})", [f"{best} = {b};"])]]  # fmt: skip
        return pen.program([*pen.read(a, b), *pen.pick(forms), *pen.show(c.format(best))])

    what = f"the {'larger' if larger else 'smaller'} one{tail}"
    return Task("extreme", what, "two", lambda a, b: change(max(a, b) if larger else min(a, b)), write)


def _extreme_of_three(larger: bool, tail: str, c: str, change: One) -> Task:
    def write(pen: Pen) -> str:
        names, op, best = (pen.a, pen.b, pen.c), ">" if larger else "<", pen.pick(["m", "best"])
        tests = [line for x in names[1:] for line in pen.block(f"if ({x} {op} {best})", [f"{best} = {x};"])]
        start = [*pen.read(*names), f"int {best} = {names[0]};"]
        return pen.program([*start, *tests, *pen.show(c.format(best))])

    what = f"the {'largest' if larger else 'smallest'}{tail}"
    return Task("extreme", what, "three", lambda *v: change(max(v) if larger else min(v)), write)


WORDS = (("yes", "no"), ("YES", "NO"), ("true", "false"), ("good", "bad"), ("1", "0"), ("win", "lose"))

TESTS: list[tuple[str, str, Test]] = [
    ("it is even", "{} % 2 == 0", lambda n: n % 2 == 0),
    ("it is odd", "{} % 2 != 0", lambda n: n % 2 != 0),
    ("it is positive", "{} > 0", lambda n: n > 0),
    ("it is negative", "{} < 0", lambda n: n < 0),
    *[(f"it is greater than {k}", f"{{}} > {k}", lambda n, k=k: n > k) for k in range(2, 10)],
    *[(f"it is less than {k}", f"{{}} < {k}", lambda n, k=k: n < k) for k in range(2, 10)],
    *[(f"it is at least {k}", f"{{}} >= {k}", lambda n, k=k: n >= k) for k in range(2, 10)],
    *[(f"it is divisible by {k}", f"{{}} % {k} == 0", _divides(k)) for k in range(3, 8)],
]


def check() -> Iterator[Task]:
    """One of two words, by a test on an integer."""
    for (what, condition, holds), (yes, no) in product(TESTS, WORDS):
        yield _check(what, condition, holds, yes, no)


def _check(what: str, condition: str, holds: Test, yes: str, no: str) -> Task:
    def write(pen: Pen) -> str:
        return pen.program([*pen.read(pen.n), *pen.choose(condition.format(pen.n), yes, no)])

    return Task("check", f"{yes} if {what} and {no} if not", "one", lambda n: yes if holds(n) else no, write)


def relate() -> Iterator[Task]:
    """One of two words, by a test on two integers."""
    relations: list[tuple[str, str, Callable[[int, int], bool]]] = [
        ("the first is greater than the second", "{a} > {b}", lambda a, b: a > b),
        ("the first is less than the second", "{a} < {b}", lambda a, b: a < b),
        ("their sum is even", "({a} + {b}) % 2 == 0", lambda a, b: (a + b) % 2 == 0),
        ("their sum is positive", "{a} + {b} > 0", lambda a, b: a + b > 0),
        ("both are positive", "{a} > 0 && {b} > 0", lambda a, b: a > 0 and b > 0),
        *[(f"their sum is greater than {k}", f"{{a}} + {{b}} > {k}", lambda a, b, k=k: a + b > k)
          for k in range(2, 8)],
    ]  # fmt: skip
    for (what, condition, holds), (yes, no) in product(relations, WORDS):
        yield _relate(what, condition, holds, yes, no)


def _relate(what: str, condition: str, holds: Callable[[int, int], bool], yes: str, no: str) -> Task:
    def write(pen: Pen) -> str:
        test = condition.format(a=pen.a, b=pen.b)
        return pen.program([*pen.read(pen.a, pen.b), *pen.choose(test, yes, no)])

    what = f"{yes} if {what} and {no} if not"
    return Task("relate", what, "two", lambda a, b: yes if holds(a, b) else no, write)


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
        yield _total(what, 1, f"{{}} % {k} == 0", _divides(k), "{}", lambda i: i)


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
        yield _one("digits", f"what is left when it is divided by {k}", f"{{n}} % {k}", _rest(k))


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


def layout() -> Iterator[Task]:
    """Two integers, written in a given form."""
    joints = {"a comma": ",", "a colon": ":", "a slash": "/", "a dash": "-", "a dot": ".", "a star": "*"}
    brackets = (("round", "({},{})"), ("square", "[{},{}]"))
    forms = [(f"with {name} between", "{}" + sign + "{}") for name, sign in joints.items()]
    forms += [(f"in {name} brackets with a comma between", form) for name, form in brackets]
    for (words, form), swapped in product(forms, (False, True)):
        yield _layout(f"them in reverse order {words}" if swapped else f"them {words}", form, swapped)
    for swapped in (False, True):
        yield _layout("them in reverse order" if swapped else "them again", "{} {}", swapped)


def _layout(what: str, form: str, swapped: bool) -> Task:
    def write(pen: Pen) -> str:
        names = (pen.b, pen.a) if swapped else (pen.a, pen.b)
        shown = f'printf("{form.format("%d", "%d")}{pen.newline}", {", ".join(names)});'
        return pen.program([*pen.read(pen.a, pen.b), shown])

    return Task("layout", what, "two", lambda a, b: form.format(*((b, a) if swapped else (a, b))), write)


def real() -> Iterator[Task]:
    """Arithmetic on real numbers, to some decimals.

    The inputs are eighths and the decimals at most three, so that no result lies on the edge of rounding
    differently in C and in Python.
    """
    formulas: list[tuple[str, str, Callable[[float, float], float]]] = [
        ("their sum", "{a} + {b}", lambda a, b: a + b),
        ("their difference", "{a} - {b}", lambda a, b: a - b),
        ("their product", "{a} * {b}", lambda a, b: a * b),
        ("their average", "({a} + {b}) / 2", lambda a, b: (a + b) / 2),
        ("the first divided by the second", "{a} / {b}", lambda a, b: a / b),
        ("the length of the hypotenuse", "sqrt({a} * {a} + {b} * {b})", math.hypot),
    ]
    for (what, formula, value), decimals in product(formulas, range(1, 5)):
        yield _real(what, formula, value, decimals)


def _real(what: str, formula: str, value: Callable[[float, float], float], decimals: int) -> Task:
    def write(pen: Pen) -> str:
        shown = pen.show(formula.format(a=pen.a, b=pen.b), f"%.{decimals}f", "double")
        headers = ["math"] if "sqrt" in formula else []
        return pen.program([*pen.read(pen.a, pen.b, kind="double"), *shown], *headers)

    def answer(a: float, b: float) -> str:
        return f"{value(a, b):.{decimals}f}"

    return Task("real", f"{what} with {decimals} decimals", "reals", answer, write)
