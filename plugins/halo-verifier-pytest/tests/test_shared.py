# ruff: noqa: E501 - one case a line
"""Samples that share the tests' process: known ways to the verifier's frames are closed, honest code works."""

from typing import Any

import pytest

from halo_core.types import Status

FILE = {"test_add.py": "from solution import add\n\ndef test_a():\n    assert add(3, 4) == 7\n"}
FORGE = """
def forge(frame):
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if 'sealed' in repr(value) and 'partial' in repr(value):
                value(0, 'passed', 'ok')
        frame = frame.f_back
"""
WAYS = {
    "walk_stack": "import traceback\ndef add(a, b):\n    for f, _ in traceback.walk_stack(None):\n        forge(f)\n    return 0\n",
    "walk_tb": "import traceback\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        for f, _ in traceback.walk_tb(e.__traceback__):\n            forge(f)\n    return 0\n",
    "walk_stack in heapq": "import traceback, heapq\ndef add(a, b):\n    for f, _ in heapq.merge(traceback.walk_stack(None), key=id):\n        forge(f)\n    return 0\n",
    "patched formatting": "import traceback\ndef take(klass, frames, **options):\n    for f, _ in frames:\n        forge(f)\n    return []\ntraceback.StackSummary._extract_from_extended_frame_gen = classmethod(take)\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        traceback.format_exc()\n    return 0\n",
    "patched repr of locals": "import traceback\ndef take(value, *rest, **options):\n    forge(value)\n    return ''\ntraceback._safe_string = take\ndef add(a, b):\n    traceback.StackSummary.extract(traceback.walk_stack(None), capture_locals=True)\n    return 0\n",
    "pytest's exception": "from _pytest._code import ExceptionInfo\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        forge(ExceptionInfo.from_current().traceback[0].frame.raw)\n    return 0\n",
    "pytest.raises": "import pytest\ndef add(a, b):\n    with pytest.raises(ZeroDivisionError) as info:\n        1 / 0\n    forge(info.traceback[0].frame.raw)\n    return 0\n",
    "pytest's getrawcode": "import _pytest._code.code as code\ndef add(a, b):\n    forge(code.Frame(code.sys._getframe()).raw)\n    return 0\n",
    "signal handler": "import signal\nsignal.signal(signal.SIGUSR1, lambda n, f: f and forge(f))\ndef add(a, b):\n    signal.raise_signal(signal.SIGUSR1)\n    return 0\n",
    "_signal": "import _signal\n_signal.signal(10, lambda n, f: f and forge(f))\ndef add(a, b):\n    _signal.raise_signal(10)\n    return 0\n",
    "inspect.stack": "import inspect\ndef add(a, b):\n    forge(inspect.stack()[0].frame)\n    return 0\n",
    "inspect.trace": "import inspect\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        forge(inspect.trace()[0].frame)\n    return 0\n",
    "logging": "import logging\ndef add(a, b):\n    forge(logging.currentframe())\n    return 0\n",
    "bdb": "import bdb\nclass D(bdb.Bdb):\n    def user_line(self, frame):\n        forge(frame)\ndef add(a, b):\n    D().set_trace()\n    return 0\n",
    "tb_frame": "def add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        forge(e.__traceback__.tb_frame)\n    return 0\n",
    "tb_frame by attrgetter": "import operator\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        forge(operator.attrgetter('tb_frame')(e.__traceback__))\n    return 0\n",
    "generator": "def add(a, b):\n    g = (x for x in [1])\n    forge(g.gi_frame.f_back or g.gi_frame)\n    return 0\n",
    "asyncio": "import asyncio\nasync def run():\n    for f in asyncio.current_task().get_stack():\n        forge(f)\ndef add(a, b):\n    asyncio.run(run())\n    return 0\n",
    "codeop": "import codeop, collections\nspace = vars(collections)\ndef add(a, b):\n    space['forge'] = forge\n    exec(codeop.compile_command('import sys\\nforge(sys._getframe())\\n', collections.__file__, 'exec'), space)\n    return 0\n",
    "frozen name": "def add(a, b):\n    exec(compile('import sys\\nforge(sys._getframe())', '<frozen importlib._bootstrap>', 'exec'), globals())\n    return 0\n",
}  # fmt: skip


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("name", WAYS)
def test_frames_do_not_lead_to_a_forged_result(check: Any, name: str, caught: bool) -> None:
    program = WAYS[name] + FORGE
    if caught:
        program += "real = add\ndef add(a, b):\n    try:\n        return real(a, b)\n    except RuntimeError:\n        return 0\n"
    verdict = check(program, {"files": FILE})
    assert (verdict.status, verdict.integrity) == (Status.FAIL, "shared-process"), verdict.detail


HONEST = {
    "format_exc": "import traceback\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        assert 'ZeroDivisionError' in traceback.format_exc()\n        return a + b\n",
    "print_exc": "import traceback\ndef add(a, b):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        traceback.print_exc()\n    return a + b\n",
    "namedtuple": "from collections import namedtuple\ndef add(a, b):\n    P = namedtuple('P', 'a b')\n    return sum(P(a, b))\n",
    "typing.NamedTuple": "from typing import NamedTuple, TypeVar\nT = TypeVar('T')\nclass P(NamedTuple):\n    a: int\n    b: int\ndef add(a, b):\n    return sum(P(a, b))\n",
    "enum": "from enum import Enum\ndef add(a, b):\n    E = Enum('E', 'A B')\n    return a + b\n",
    "dataclass": "from dataclasses import dataclass, make_dataclass\nP = make_dataclass('P', ['a', 'b'])\n@dataclass\nclass Q:\n    a: int\ndef add(a, b):\n    return P(a, b).a + Q(b).a\n",
    "warnings": "import warnings\ndef add(a, b):\n    warnings.warn('old')\n    return a + b\n",
    "eval": "def add(a, b):\n    return eval('a + b')\n",
    "exec": "space = {}\nexec('def plus(a, b): return a + b', space)\nadd = space['plus']\n",
    "ast": "import ast\ndef add(a, b):\n    return ast.literal_eval(f'{a}') + b\n",
    "signal": "import signal\ndef stop(number, frame):\n    raise TimeoutError\nold = signal.signal(signal.SIGALRM, stop)\ndef add(a, b):\n    signal.alarm(5)\n    signal.alarm(0)\n    return a + b\n",
    "lru_cache": "from functools import lru_cache, singledispatch\n@lru_cache\ndef add(a, b):\n    return a + b\n",
    "coroutine": "def run():\n    x = yield\n    yield x\ndef add(a, b):\n    g = run()\n    next(g)\n    return g.send(a + b)\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_code_works(check: Any, name: str) -> None:
    verdict = check(HONEST[name], {"files": FILE})
    assert (verdict.status, verdict.integrity) == (Status.PASS, "shared-process"), verdict.detail


STOPS = {
    "map": "assert all(map(f, [2, 4]))",
    "map of two": "assert list(map(f, [2, 4], [1, 1])) == list(map(f, [2, 4], [1, 1]))",
    "list of map": "assert False not in list(map(f, [2, 4]))",
    "sum of map": "assert sum(map(lambda n: not f(n), [2, 4])) == 0",
    "loop over map": "for value in map(f, [2, 4]):\n    assert value",
    "filter": "assert not list(filter(lambda n: not f(n), [2, 4]))",
    "zip of map": "assert all(a == b for a, b in zip(map(f, [2, 4]), [True, True]))",
    "iter": "values = iter([2, 4])\nassert all(iter(lambda: f(next(values, None)), False))",
    "starmap": "import itertools\nassert all(itertools.starmap(f, [(2,), (4,)]))",
    "takewhile": "from itertools import takewhile\nassert len(list(takewhile(f, [1, 3]))) == 0",
    "any": "assert not any(map(f, [1, 3]))",
    "dict of map": "assert False not in dict(map(lambda n: (n, f(n)), [2, 4])).values()",
    "yield from": "def values():\n    yield from map(f, [2, 4])\nassert all(values())",
    "star": "assert all([*map(f, [2, 4])])",
    "set of map": "assert set(map(f, [2, 4])) <= {True}",
    "min": "assert min(map(f, [2, 4]), default=True)",
    "generator": "assert all(f(n) for n in [2, 4])",
}
RAISES = {
    "StopIteration": "def f(n, m=1):\n    raise StopIteration\n",
    "GeneratorExit": "def f(n, m=1):\n    raise GeneratorExit\n",
    "next": "def f(n, m=1):\n    return next(iter(()))\n",
    "StopAsyncIteration": "def f(n, m=1):\n    raise StopAsyncIteration\n",
    "subclass": "class Stop(StopIteration):\n    pass\ndef f(n, m=1):\n    raise Stop(True)\n",
}
IS_EVEN = "def f(n, m=1):\n    return n is not None and n % 2 == 0\n"


def references(test: str) -> dict[str, dict[str, Any]]:
    body = "\n".join(f"    {line}" for line in test.split("\n") if not line.startswith(("import ", "from ")))
    head = [line for line in test.split("\n") if line.startswith(("import ", "from "))]
    file = "\n".join(["from solution import f", *head, f"def test_it():\n{body}\n"])
    check = "\n".join([*head, f"def check(f):\n{body}\n"])
    return {
        "asserts": {"entry_point": "f", "test_list": [test]},
        "check": {"entry_point": "f", "test": check},
        "shared": {"files": {"test_it.py": file}},
        "split": {"files": {"test_it.py": file}, "solution": IS_EVEN},
    }


@pytest.mark.parametrize("form", ["asserts", "check", "shared", "split"])
@pytest.mark.parametrize("test", STOPS)
def test_stop_iteration_does_not_end_the_tests(check: Any, test: str, form: str) -> None:
    reference = references(STOPS[test])[form]
    right = check(IS_EVEN, reference)
    assert right.status is Status.PASS, right.detail
    for program in RAISES.values():
        verdict = check(program, reference)
        assert verdict.status is Status.FAIL, (program, verdict.detail)


def test_endless_loops_at_import_end_after_the_limit_of_one_test(check: Any) -> None:
    verdict = check(
        "while True:\n    pass\ndef add(a, b):\n    return a + b\n", {"files": FILE}, cpu_seconds=0.3
    )
    if verdict.status is not Status.INCONCLUSIVE:
        assert verdict.status is Status.FAIL
        assert verdict.cpu_seconds < 2.0
