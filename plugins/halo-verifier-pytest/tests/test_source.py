"""Reading programs off texts: every usual way to answer, and nothing that makes it raise or dawdle."""

import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_verifier_pytest.source import LONGEST, context_of, readings

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
STUB = 'from typing import List\n\ndef one():\n    return 1\n\ndef add(a, b):\n    """Add."""\n'


def value(text: str, context: str = "") -> object:
    """Return what the first reading that is Python makes of add(3, 4)."""
    for reading in readings(text, ["add"], context):
        try:
            code = compile(reading, "x", "exec")
        except SyntaxError:
            continue
        space: dict[str, object] = {}
        exec(code, space)
        return space["add"](3, 4)  # type: ignore[operator]
    return "unreadable"


@pytest.mark.parametrize(
    "text",
    [
        ADD,
        f"\n\n{ADD}\n\n",
        f"```python\n{ADD}```",
        f"```\n{ADD}```\n",
        f"~~~py\n{ADD}~~~\n",
        f"   ```Python\n{ADD}   ```",
        f"```python\n{ADD}",
        f"{ADD}```\nThat is all.",
        f"Sure! Here it is:\n\n```python\n{ADD}```\n\nIt adds.",
        f"Sure! Here it is:\n\n{ADD}\nIt adds.",
        f"Like so:\n\nimport math\n\n@staticmethod\n{ADD}".replace("@staticmethod\n", ""),
        f"```python\n{WRONG}```\nNo:\n```python\n{ADD}```",
        f"```python\n{ADD}```\nUse it so:\n```python\nprint(add(3, 4))\n```",
        f"```bash\npip install nothing\n```\n```python\n{ADD}```\n```text\n7\n```",
        f"<think>\n{WRONG}</think>\n{ADD}",
        "```python\ndef one():\n    return 1\n```\nand\n```python\ndef add(a, b):\n    return a + b * one()\n```",
        "add = lambda a, b: a + b",
        'def add(a, b):\n    """Add.\n\n    ```\n    add(3, 4)\n    ```\n    """\n    return a + b\n',
        '```python\ndef add(a, b):\n    """Add.\n\n    ```\n    add(3, 4)\n    ```\n    """\n    return a + b\n```\n',
        f"def helper():\n    pass\n\n{ADD}",
        ADD.replace("\n", "\r\n"),
    ],
)
def test_a_program_is_found_however_it_is_wrapped(text: str) -> None:
    if "def one" in text:
        assert "def one" in readings(text, ["add", "one"])[0]
        return
    assert value(text) == 7
    assert value(text, STUB) == 7


@pytest.mark.parametrize(
    "text",
    [
        "    return a + b\n",
        "    return a + b",
        "\n    return a + b\n",
        "return a + b",
        " return a + b",
        "    total = a\n    return total + b\n",
        "total = a\n    return total + b\n",
        "total = a\nreturn total + b\n",
        "    return a + b\n\nprint(add(1, 2)\n",
        "    return a + b\n\n\ndef main(",
        "    return a + b\n\nThis adds the two.",
        "    def inner():\n        return a + b\n    return inner()\n",
        "```python\n    return a + b\n```",
        "```python\nreturn a + b\n```",
        "    return a + b * one()\n",
        "total = a + b\nfor n in (1, 2):\n    total += 0\nreturn total",
        "total = a + b\nif total:\n    return total\n",
    ],
)
def test_a_body_goes_on_where_the_prompt_stopped(text: str) -> None:
    assert value(text, STUB) == 7


def test_what_the_prompt_defines_is_there_for_an_answer_that_starts_anew() -> None:
    assert value("def add(a: List, b: List):\n    return a + b * one()\n", STUB) == 7


@pytest.mark.parametrize(
    "text", ["", "  \n ", "```python\n```", "<think>\n" + ADD, "<think>" + ADD + "</think>"]
)
def test_nothing_is_found_where_nothing_is(text: str) -> None:
    assert value(text) == "unreadable"


def test_prose_is_no_program() -> None:
    assert value("I cannot do that.", STUB) == "unreadable"
    assert value("The sum of both numbers, that is\nwhat it returns", STUB) == "unreadable"


def test_an_empty_answer_to_a_stub_is_not_the_stub() -> None:
    assert readings("", ["add"], STUB) == ()
    assert STUB not in readings("hello", ["add"], STUB)


def test_context_is_code_that_begins_a_name() -> None:
    assert context_of(STUB, ["add"]) == STUB
    assert context_of(f"Complete this:\n\n{STUB}", ["add"]) == STUB
    assert context_of(f"Complete:\n```python\n{STUB}```\nPlease.", ["add"]) == STUB
    assert context_of("Write add(a, b).", ["add"]) == ""
    assert context_of(STUB, ["sub"]) == ""


# Hostile texts

SCRAPS = (
    "```", "```python\n", "~~~", "\n", "\n\n", "    ", "\t", "def add(a, b):", "def ", "return a + b", "import x\n",
    "<think>", "</think>", '"""', "'''", "(", ")", "[", "{", "\\", "\0", "\ud800", "é", "class A:\n", "@x\n", "# ",
    "add = ", "from a import b\n", ":", "a", " ", "\r", "\x0c", "\u2028", "if x:\n", "lambda: ", "async def add(",
)  # fmt: skip


def scrambled(rng: random.Random) -> str:
    return "".join(rng.choice(SCRAPS) * rng.choice((1, 1, 1, 2, 9)) for _ in range(rng.randint(0, 30)))


def test_fuzz() -> None:
    """Set HALO_FUZZ_INPUTS=100000 for the long form."""
    rng = random.Random(os.environ.get("HALO_FUZZ_SEED", "0"))
    for _ in range(int(os.environ.get("HALO_FUZZ_INPUTS", "3000"))):
        text, context = scrambled(rng), rng.choice(("", STUB, scrambled(rng)))
        begun = time.perf_counter()
        found = readings(text, ["add"], context)
        context_of(text, ["add"])
        assert time.perf_counter() - begun < 1.0, repr(text)
        assert len(found) <= 8
        assert all(isinstance(each, str) for each in found)


@given(st.text(max_size=300), st.sampled_from(("", STUB)))
def test_any_text_is_read(text: str, context: str) -> None:
    readings(text, ["add"], context)
    context_of(text, ["add"])


@pytest.mark.parametrize(
    "scrap",
    ["`", "```\n", "```python\n", "\n", " ", "\t", "def add", "def add(\n", "a\n", " a\n", "import a\n", "<think>",
     "</think>", "</think", "add ", "add =", "(", "\\\n", "#", '"""\n', "@a\n", "~~~x\n", "a.b.c=", "a[", "a: a "],
)  # fmt: skip
def test_time_is_linear(scrap: str) -> None:
    def seconds(size: int) -> float:
        text = (scrap * (size // len(scrap) + 1))[:size]
        begun = time.process_time()
        readings(text, ["add"], STUB)
        readings("<think>" + text, ["add"])
        context_of(text, ["add"])
        return time.process_time() - begun

    seconds(1000)
    least = min(seconds(LONGEST // 8) for _ in range(2))
    assert min(seconds(LONGEST) for _ in range(3)) < 40 * max(least, 0.005)
