"""Extraction of programs from all usual formats of answers; hostile texts neither raise nor take long."""

import os
import random

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from halo_verifier_pytest.extraction import MAX_CHARACTERS, context_of, extract_programs

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
STUB = 'from typing import List\n\ndef one():\n    return 1\n\ndef add(a, b):\n    """Add."""\n'


def value(text: str, context: str = "") -> object:
    """Return the value of add(3, 4) in the first candidate that is valid Python."""
    for program in extract_programs(text, ["add"], context):
        try:
            code = compile(program, "x", "exec")
        except SyntaxError:
            continue
        namespace: dict[str, object] = {}
        exec(code, namespace)
        return namespace["add"](3, 4)  # type: ignore[operator]
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
        "```python\ndef one():\n    return 1\n```\nand\n```python\ndef add(a, b):\n    return a + b * one()\n```",
        "add = lambda a, b: a + b",
        'def add(a, b):\n    """Add.\n\n    ```\n    add(3, 4)\n    ```\n    """\n    return a + b\n',
        '```python\ndef add(a, b):\n    """Add.\n\n    ```\n    add(3, 4)\n    ```\n    """\n    return a + b\n```\n',
        f"def helper():\n    pass\n\n{ADD}",
        ADD.replace("\n", "\r\n"),
        f"\ufeff{ADD}",
        f"```python\n\ufeff{ADD}```",
    ],
)
def test_programs_are_found_in_every_usual_format(text: str) -> None:
    if "def one" in text:
        assert "def one" in extract_programs(text, ["add", "one"])[0]
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
def test_function_bodies_continue_the_prompt(text: str) -> None:
    assert value(text, STUB) == 7


def test_complete_functions_can_use_definitions_of_the_prompt() -> None:
    assert value("def add(a: List, b: List):\n    return a + b * one()\n", STUB) == 7


@pytest.mark.parametrize("text", ["", "  \n ", "```python\n```"])
def test_texts_without_an_answer_give_no_program(text: str) -> None:
    assert value(text) == "unreadable"


def test_prose_gives_no_program() -> None:
    assert value("I cannot do that.", STUB) == "unreadable"
    assert value("The sum of both numbers, that is\nwhat it returns", STUB) == "unreadable"


def test_empty_answers_do_not_give_the_stub() -> None:
    assert extract_programs("", ["add"], STUB) == ()
    assert STUB not in extract_programs("hello", ["add"], STUB)


def test_context_is_code_that_starts_to_define_the_name() -> None:
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


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice(SCRAPS) * rng.choice((1, 1, 1, 2, 9)) for _ in range(rng.randint(0, 30)))


def test_fuzz() -> None:
    """Extract from random texts. Set HALO_FUZZ_INPUTS=100000 for a long run."""
    rng = random.Random(os.environ.get("HALO_FUZZ_SEED", "0"))
    for _ in range(int(os.environ.get("HALO_FUZZ_INPUTS", "3000"))):
        text, context = random_text(rng), rng.choice(("", STUB, random_text(rng)))
        found = extract_programs(text, ["add"], context)
        context_of(text, ["add"])
        assert len(found) <= 32
        assert all(isinstance(each, str) for each in found)


@given(st.text(max_size=300), st.sampled_from(("", STUB)))
def test_no_text_raises(text: str, context: str) -> None:
    extract_programs(text, ["add"], context)
    context_of(text, ["add"])


@pytest.mark.parametrize(
    "scrap",
    ["`", "```\n", "```python\n", "\n", " ", "\t", "def add", "def add(\n", "a\n", " a\n", "import a\n", "<think>",
     "</think>", "</think", "add ", "add =", "(", "\\\n", "#", '"""\n', "@a\n", "~~~x\n", "a.b.c=", "a[", "a: a "],
)  # fmt: skip
def test_time_is_linear(scrap: str) -> None:
    def read(size: int) -> None:
        text = (scrap * (size // len(scrap) + 1))[:size]
        extract_programs(text, ["add"], STUB)
        context_of(text, ["add"])

    assert grows_linearly(read, MAX_CHARACTERS)
