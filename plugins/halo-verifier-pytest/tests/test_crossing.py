# ruff: noqa: E501 - one case a line
"""Tests in another process see what they would see in the sample's: identity, mutation, objects, exceptions."""

from typing import Any

import pytest

from halo_core.types import Stage, Status

RIGHT: dict[str, tuple[str, str]] = {
    # asserts, program
    "sorts in place": ("x = [3, 1, 2]\nf(x)\nassert x == [1, 2, 3]", "def f(a):\n    a.sort()\n"),
    "reverses a deque": (
        "from collections import deque\nd = deque([1, 2, 3], maxlen=3)\nf(d)\nassert d == deque([2, 3, 9])",
        "def f(d):\n    d.append(9)\n",
    ),
    "updates a dictionary": ("d = {'a': 1}\nf(d)\nassert d == {'a': 2, 'b': [0]}", "def f(d):\n    d['a'] += 1\n    d['b'] = [0]\n"),
    "updates a set": ("s = {1}\nf(s)\nassert s == {2}", "def f(s):\n    s.clear()\n    s.add(2)\n"),
    "updates a bytearray": ("b = bytearray(b'ab')\nf(b)\nassert b == b'ba'", "def f(b):\n    b.reverse()\n"),
    "updates a nested list": ("g = [[0], [0]]\nf(g)\nassert g == [[1], [0]]", "def f(g):\n    g[0][0] = 1\n"),
    "deletes from a nested list": ("g = [[0, 1], [2]]\nf(g[0])\nassert g == [[0], [2]]", "def f(row):\n    del row[1]\n"),
    "replaces True by 1": ("a = [True]\nf(a)\nassert a[0] is not True and a == [1]", "def f(a):\n    a[0] = 1\n"),
    "returns its argument": ("a = [1]\nassert f(a) is a", "def f(a):\n    return a\n"),
    "returns a copy": ("a = [1]\nb = f(a)\nassert b == a and b is not a", "def f(a):\n    return list(a)\n"),
    "rows are distinct": ("g = f(2)\ng[0][0] = 1\nassert g == [[1, 0], [0, 0]]", "def f(n):\n    return [[0] * n for _ in range(n)]\n"),
    "remembers a list": ("a = f()\na.append(1)\nassert f() == [1]", "stored = []\ndef f():\n    return stored\n"),
    "keeps an argument": ("a = []\nf(a)\na.append(5)\nassert f(None) == 5", "kept = []\ndef f(a):\n    if a is None:\n        return kept[0][0]\n    kept.append(a)\n"),
    "returns a ring": ("r = f()\nassert r[0] is r", "def f():\n    r = []\n    r.append(r)\n    return r\n"),
    "nested in a tuple": ("t = ([1],)\nf(t)\nassert t == ([1, 2],)", "def f(t):\n    t[0].append(2)\n"),
    "range": ("assert list(f(5)) == [0, 2, 4] and f(5)[1] == 2", "def f(n):\n    return range(0, n, 2)\n"),
    "keys": ("assert set(f({1: 2})) == {1} and sorted(f({2: 0, 1: 0})) == [1, 2]", "def f(d):\n    return d.keys()\n"),
    "values": ("assert list(f({1: 2})) == [2] and len(f({1: 1, 2: 1})) == 2", "def f(d):\n    return d.values()\n"),
    "items": ("assert dict(f({1: 2})) == {1: 2}", "def f(d):\n    return d.items()\n"),
    "deque": ("assert list(f(4)) == [2, 3]", "from collections import deque\ndef f(n):\n    return deque(range(n), maxlen=2)\n"),
    "counter": ("assert f('aab').most_common(1) == [('a', 2)]", "from collections import Counter\ndef f(s):\n    return Counter(s)\n"),
    "default dictionary": ("assert f()['new'] == 0", "from collections import defaultdict\ndef f():\n    return defaultdict(int)\n"),
    "ordered dictionary": ("assert list(f().items()) == [('b', 1), ('a', 2)]", "from collections import OrderedDict\ndef f():\n    d = OrderedDict(a=2, b=1)\n    d.move_to_end('a')\n    return d\n"),
    "map": ("assert list(f([1, 2])) == [2, 3]", "def f(a):\n    return map(lambda x: x + 1, a)\n"),
    "endless generator": ("import itertools\nassert list(itertools.islice(f(), 3)) == [0, 1, 2]", "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1\n"),
    "generator with an exception": ("g = f()\nassert next(g) == 1\ntry:\n    next(g)\n    assert False\nexcept KeyError:\n    pass", "def f():\n    yield 1\n    raise KeyError(2)\n"),
    "reversed": ("assert list(f([1, 2])) == [2, 1]", "def f(a):\n    return reversed(a)\n"),
    "bytearray": ("assert f() == b'a'", "def f():\n    return bytearray(b'a')\n"),
    "decimal": ("from decimal import Decimal\nassert f(Decimal('1.10')) == Decimal('2.20')", "def f(d):\n    return d + d\n"),
    "fraction": ("from fractions import Fraction\nassert f(Fraction(1, 3)) == Fraction(2, 3)", "def f(d):\n    return 2 * d\n"),
    "dates": ("import datetime\nd = datetime.date(2024, 2, 28)\nassert f(d) == datetime.date(2024, 2, 29)", "import datetime\ndef f(d):\n    return d + datetime.timedelta(days=1)\n"),
    "times with a zone": ("from datetime import *\nt = datetime(2024, 1, 1, tzinfo=timezone.utc)\nassert f(t) == t + timedelta(hours=1)", "from datetime import timedelta\ndef f(t):\n    return t + timedelta(hours=1)\n"),
    "lambda as an argument": ("assert f(lambda x: x + 1, 2) == 3", "def f(g, x):\n    return g(x)\n"),
    "function that records its calls": ("seen = []\nf(seen.append, 3)\nassert seen == [0, 1, 2]", "def f(g, n):\n    for i in range(n):\n        g(i)\n"),
    "function of the test": ("def twice(x):\n    return 2 * x\nassert f(twice)(4) == 5 * 2", "def f(g):\n    return lambda x: g(x + 1)\n"),
    "builtin as an argument": ("assert f(len, ['a', 'bc']) == [1, 2]", "def f(g, a):\n    return list(map(g, a))\n"),
    "library function as an argument": ("import operator, math\nassert f(operator.add, 1, 2) == 3 and f(math.pow, 2, 3) == 8", "def f(g, a, b):\n    return g(a, b)\n"),
    "method of a type as an argument": ("assert f(str.upper, 'a') == 'A'", "def f(g, a):\n    return g(a)\n"),
    "type as an argument": ("assert f('3', int) == 3 and f(3, str) == '3'", "def f(a, t):\n    return t(a)\n"),
    "type as a result": ("assert f(3) is int and f('') is str", "def f(a):\n    return type(a)\n"),
    "partial as an argument": ("from functools import partial\nassert f(partial(pow, 2)) == 8", "def f(g):\n    return g(3)\n"),
    "the function itself as an argument": ("assert list(map(f, [1, 2])) == [2, 3]\nassert f(f(1)) == 3", "def f(a):\n    return a + 1\n"),
    "callback that raises": ("def bad(x):\n    raise ZeroDivisionError('no')\ntry:\n    f(bad)\n    assert False\nexcept ZeroDivisionError as error:\n    assert str(error) == 'no'", "def f(g):\n    return g(1)\n"),
    "callback whose exception is handled": ("def bad(x):\n    raise KeyError(x)\nassert f(bad) == 'caught'", "def f(g):\n    try:\n        return g(1)\n    except KeyError:\n        return 'caught'\n"),
    "callback that calls back": ("assert f(lambda n: f(None, n - 1), 3) == 9", "def f(g, n):\n    return g(n) + 1 if g else n * 4\n"),
    "key function": ("assert f(['bb', 'a'], key=len) == ['a', 'bb']", "def f(a, key):\n    return sorted(a, key=key)\n"),
    "callback that changes its argument": ("def add(a):\n    a.append(1)\nassert f(add) == [1]", "def f(g):\n    a = []\n    g(a)\n    return a\n"),
    "iterator as an argument": ("it = iter([1, 2, 3])\nassert f(it) == 1 and next(it) == 2", "def f(it):\n    return next(it)\n"),
    "generator as an argument": ("assert f(x * x for x in range(3)) == 5", "def f(it):\n    return sum(it)\n"),
    "endless iterator as an argument": ("import itertools\nassert f(itertools.count()) == [0, 1, 2]", "import itertools\ndef f(it):\n    return list(itertools.islice(it, 3))\n"),
    "closure as a result": ("add = f(3)\nassert add(4) == 7 and add(5) == 8", "def f(n):\n    return lambda m: n + m\n"),
    "counter closure": ("c = f()\nassert (c(), c()) == (1, 2)", "def f():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n        return n\n    return count\n"),
    "decorator": ("@f\ndef g(x):\n    return x\nassert g(2) == 3", "def f(function):\n    def run(x):\n        return function(x) + 1\n    return run\n"),
    "dataclass as a result": ("assert f(3).x == 3", "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(n):\n    return P(n)\n"),
    "named exception": ("import json\ntry:\n    f('{')\n    assert False\nexcept json.JSONDecodeError:\n    pass", "import json\ndef f(s):\n    return json.loads(s)\n"),
    "base of an exception": ("try:\n    f('{')\n    assert False\nexcept ValueError:\n    pass", "import json\ndef f(s):\n    return json.loads(s)\n"),
    "own exception": ("try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'neg: -1'", "class Negative(ValueError):\n    def __str__(self):\n        return 'neg: %d' % self.args\ndef f(n):\n    raise Negative(n)\n"),
    "own exception as Exception": ("try:\n    f(-1)\n    assert False\nexcept Exception as e:\n    assert 'no' in str(e)", "class E(Exception):\n    pass\ndef f(n):\n    raise E('no')\n"),
    "arguments of an exception": ("try:\n    f()\nexcept KeyError as e:\n    assert e.args == ('a',) and str(e) == repr('a')\nelse:\n    assert False", "def f():\n    return {}['a']\n"),
    "decode error": ("try:\n    f()\nexcept UnicodeDecodeError as e:\n    assert e.reason and e.start == 0\nelse:\n    assert False", "def f():\n    return b'\\xff'.decode()\n"),
    "StopIteration that the test expects": ("try:\n    f(iter([]))\n    assert False\nexcept StopIteration:\n    pass", "def f(it):\n    return next(it)\n"),
    "exits": ("try:\n    f()\n    assert False\nexcept SystemExit as e:\n    assert e.code == 3", "import sys\ndef f():\n    sys.exit(3)\n"),
    "NotImplemented": ("assert f() is NotImplemented and g() is ...", "def f():\n    return NotImplemented\ndef g():\n    return ...\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_asserts(check: Any, name: str) -> None:
    test, program = RIGHT[name]
    verdict = check(program, {"test_list": [test]})
    assert (verdict.status, verdict.integrity) == (Status.PASS, "split"), verdict.detail


@pytest.mark.parametrize("name", RIGHT)
def test_files(check: Any, name: str) -> None:
    test, program = RIGHT[name]
    imports = [line for line in test.split("\n") if line.startswith(("import ", "from "))]
    lines = [line for line in test.split("\n") if line not in imports]
    body = "\n".join(f"    {line}" for line in lines)
    used = "f, g" if "g() is" in test else "f"
    file = "\n".join([f"from solution import {used}", *imports, f"def test_it():\n{body}\n"])
    reference = {"files": {"test_it.py": file}, "solution": program}
    verdict = check(program, reference)
    assert verdict.status is Status.PASS, verdict.detail
    assert verdict.integrity == ("split" if name != "exits" else verdict.integrity)
    assert check(program, {"files": {"test_it.py": file}}).status is Status.PASS


WRONG: dict[str, tuple[str, str]] = {
    "rows that are one list": ("g = f(2)\ng[0][0] = 1\nassert g == [[1, 0], [0, 0]]", "def f(n):\n    return [[0] * n] * n\n"),
    "values that are one list": ("d = f('ab')\nd['a'].append(1)\nassert d == {'a': [1], 'b': []}", "def f(s):\n    return dict.fromkeys(s, [])\n"),
    "rows of tuples that are one list": ("t = f()\nt[0].append(1)\nassert t == ([1], [])", "def f():\n    return ([],) * 2\n"),
    "sorts its argument": ("a = [2, 1]\nassert f(a) == [1, 2]\nassert a == [2, 1]", "def f(a):\n    a.sort()\n    return a\n"),
    "changes a nested argument": ("a = [[2, 1]]\nassert f(a) == [[1, 2]]\nassert a == [[2, 1]]", "def f(a):\n    a[0].sort()\n    return a\n"),
    "returns its argument": ("a = [1]\nb = f(a)\nb.append(2)\nassert a == [1]", "def f(a):\n    return a\n"),
    "shallow copy": ("a = [[1]]\nb = f(a)\nb[0].append(2)\nassert a == [[1]]", "def f(a):\n    return a[:]\n"),
    "empties its argument": ("a = {1: 2}\nassert f(a) == [1]\nassert a == {1: 2}", "def f(a):\n    return [a.popitem()[0]]\n"),
    "default that is shared": ("assert f(1) == [1]\nassert f(2) == [2]", "def f(n, a=[]):\n    a.append(n)\n    return a\n"),
    "result that it changes later": ("a = f(1)\nf(2)\nassert a == [1]", "kept = []\ndef f(n):\n    kept[:] = [n]\n    return kept\n"),
    "does not sort in place": ("x = [3, 1, 2]\nf(x)\nassert x == [1, 2, 3]", "def f(a):\n    a = sorted(a)\n"),
    "consumes the iterator": ("it = iter([1, 2, 3])\nassert f(it) == 1 and next(it) == 2", "def f(it):\n    return list(it)[0]\n"),
    "set that it changes": ("s = {1, 2}\nassert f(s) == 3\nassert s == {1, 2}", "def f(s):\n    return sum(s.pop() for _ in range(2))\n"),
    "deque that it changes": ("from collections import deque\nd = deque([1, 2])\nassert f(d) == 2\nassert len(d) == 2", "def f(d):\n    return d.pop()\n"),
    "callback called twice": ("seen = []\nf(seen.append)\nassert seen == [1]", "def f(g):\n    g(1)\n    g(1)\n"),
    "homonym of ValueError": ("try:\n    f(-1)\nexcept ValueError:\n    pass\nelse:\n    assert False", "class ValueError(Exception):\n    pass\ndef f(n):\n    raise ValueError\n"),
    "equal to everything": ("assert f(1) == 2", "class E:\n    def __eq__(self, o):\n        return True\ndef f(n):\n    return E()\n"),
    "less than everything": ("assert f(1) < 2", "class E:\n    def __lt__(self, o):\n        return True\ndef f(n):\n    return E()\n"),
    "near to everything": ("assert abs(f(1) - 2) < 1e-6", "class E:\n    def __sub__(self, o):\n        return 0.0\ndef f(n):\n    return E()\n"),
    "contains everything": ("assert 2 in f(1)", "class E:\n    def __contains__(self, o):\n        return True\ndef f(n):\n    return E()\n"),
    "starts with everything": ("assert f(1).startswith('a')", "class E:\n    def startswith(self, o):\n        return True\ndef f(n):\n    return E()\n"),
    "converts to the answer": ("assert {2: 1}[f(1)] == 1", "class E:\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return 2\ndef f(n):\n    return E()\n"),
    "list equal to everything": ("assert f(1) == [2]", "class E(list):\n    def __eq__(self, o):\n        return True\ndef f(n):\n    return E()\n"),
    "range equal to everything": ("assert f(1) == range(2)", "class E:\n    __class__ = range\n    def __eq__(self, o):\n        return True\ndef f(n):\n    return E()\n"),
    "Decimal equal to everything": ("from decimal import Decimal\nassert f(1) == Decimal(2)", "from decimal import Decimal\nclass E(Decimal):\n    def __eq__(self, o):\n        return True\ndef f(n):\n    return E(1)\n"),
    "mock": ("assert f(1) == 2", "from unittest.mock import MagicMock, ANY\ndef f(n):\n    return ANY\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs_fail(check: Any, name: str) -> None:
    test, program = WRONG[name]
    verdict = check(program, {"test_list": [test]})
    assert (verdict.status, verdict.integrity) == (Status.FAIL, "split"), verdict.detail


def test_expected_values_from_an_argument_that_the_program_changed(check: Any) -> None:
    test = "def check(candidate):\n    a = [3, 1]\n    assert candidate(a) == sorted(a)\n"
    reference = {"entry_point": "f", "test": test, "solution": "def f(a):\n    return sorted(a)\n"}
    assert check("def f(a):\n    a.clear()\n    return []\n", reference).status is Status.FAIL
    assert check("def f(a):\n    a.sort()\n    return a\n", reference).status is Status.PASS
    assert check("def f(a):\n    return sorted(a)\n", reference).status is Status.PASS


STACK = """class Stack:
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, item):
        self.items.append(item)
        return self
    def pop(self):
        return self.items.pop()
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __getitem__(self, n):
        return self.items[n]
    def __contains__(self, item):
        return item in self.items
    def __bool__(self):
        return bool(self.items)
    def __repr__(self):
        return f'Stack({self.items})'
    def __eq__(self, other):
        return self.items == other.items
    def __add__(self, other):
        return Stack(self.items + other.items)
    def __lt__(self, other):
        return len(self) < len(other)
"""


@pytest.mark.parametrize("more", [{}, {"code": STACK}])
@pytest.mark.parametrize(
    ("test", "integrity"),
    [
        ("s = Stack()\ns.push(1)\nassert s.pop() == 1", "split"),
        ("s = Stack([1, 2])\nassert len(s) == 2 and list(s) == [1, 2] and s[0] == 1", "split"),
        ("assert Stack([1]).push(2).items == [1, 2]", "split"),
        ("s = Stack()\nassert not s\ns.items.append(3)\nassert s and s.pop() == 3", "split"),
        ("s = Stack()\ns.items = [4]\nassert 4 in s and 5 not in s", "split"),
        ("assert str(Stack([1])) == 'Stack([1])'", "split"),
        ("a = []\ns = Stack()\ns.push(a)\na.append(1)\nassert s.pop() == [1]", "split"),
        ("try:\n    Stack().pop()\n    assert False\nexcept IndexError:\n    pass", "split"),
        ("assert Stack([1]) == Stack([1]) and Stack([1]) != Stack([2])", "shared-process"),
        ("assert list(Stack([1]) + Stack([2])) == [1, 2]", "shared-process"),
        ("assert Stack([1]) < Stack([1, 2])", "shared-process"),
    ],
)
def test_instances_of_a_class(check: Any, test: str, integrity: str, more: dict[str, str]) -> None:
    verdict = check(STACK, {"test_list": [test], **more})
    assert (verdict.status, verdict.integrity) == (Status.PASS, integrity), verdict.detail
    wrong = STACK.replace("append(item)", "append(item + 1)").replace("list(items)", "[9, *items]")
    assert check(wrong, {"test_list": [test, "assert list(Stack()) == []"], **more}).status is Status.FAIL


def test_exceptions_of_the_program(check: Any) -> None:
    program = "class NoFunds(ValueError):\n    pass\ndef draw(n):\n    if n > 1:\n        raise NoFunds(n)\n"
    test = "try:\n    draw(2)\n    assert False\nexcept NoFunds as error:\n    assert error.args == (2,)"
    for more in ({}, {"code": program}):
        verdict = check(program, {"test_list": [test], **more})
        assert (verdict.status, verdict.integrity) == (Status.PASS, "split"), verdict.detail
        other = program.replace("raise NoFunds(n)", "raise ValueError(n)")
        assert check(other, {"test_list": [test], **more}).status is Status.FAIL
    file = "import pytest\nfrom solution import NoFunds, draw\ndef test_p():\n    with pytest.raises(NoFunds):\n        draw(2)\n"
    for more in ({}, {"solution": program}):
        assert check(program, {"files": {"test_p.py": file}, **more}).status is Status.PASS


def test_leetcode_entries(check: Any) -> None:
    program = "class Solution:\n    def two(self, nums, target):\n        return [0, 1]\n"
    wrong = program.replace("[0, 1]", "[1, 0]")
    references: list[dict[str, Any]] = [
        {"entry_point": "Solution().two", "test": "def check(candidate):\n    assert candidate(nums=[2, 7], target=9) == [0, 1]\n"},
        {"entry_point": "Solution().two", "tests": [{"args": [[2, 7], 9], "expected": [0, 1]}]},
        {"tests": [{"call": "Solution().two([2, 7], 9)", "expected": [0, 1]}]},
        {"test_list": ["assert Solution().two([2, 7], 9) == [0, 1]"]},
        {"test_list": ["s = Solution()\nassert s.two([2, 7], 9) == [0, 1]"]},
        {"test_list": ["assert Solution().two([2, 7], 9) == [0, 1]"], "code": program},
    ]  # fmt: skip
    for reference in references:
        for mode in ("auto", "pytest") if "tests" not in reference else ("auto",):
            verdict = check(program, reference, mode=mode)
            assert verdict.status is Status.PASS, verdict.detail
            assert check(wrong, reference, mode=mode).stage is Stage.WRONG
            lie = program.replace("[0, 1]", "type('E', (), {'__eq__': lambda a, b: True})()")
            assert mode == "pytest" or check(lie, reference).status is Status.FAIL


def test_forged_messages_fail(check: Any) -> None:
    for body in (
        ("value", ("shared", 1), [], []),
        ("value", ("theirs", (1, "object", 3)), [], []),
        ("value", ("name", "os", "system"), [], []),
        ("value", ("name", "builtins", "__import__.x"), [], []),
        ("value", ("rich", "Decimal", ["x", 1, 2]), [], []),
        ("value", 7, [(1, "list", None, [8])], []),
        ("value", ("yours", 99), [], []),
        ("raised", ["builtins.int"], "x", None, [], []),
        ("raised", [], "x", None, [], []),
        ("back", "call", (("yours", 4), ("shared", 9)), [], []),
        ("back", "system", None, [], []),
        ("value",), "value", 7, None, ("value", 7, 7, 7), ("value", 7, [7], [7]),
    ):  # fmt: skip
        program = (
            "import sys\nguest = sys.modules['halo_core.sandbox.guest']\nsend = guest.send\n"
            f"def forge(body):\n    send(guest.values.encode((None, {body!r})))\n"
            "def f(x):\n    guest.send = forge\n    return x\n"
        )
        verdict = check(program, {"test_list": ["assert f(6) == 8"]})
        assert verdict.status is Status.FAIL, (body, verdict.detail)
