"""Answers as reasoning models and chat models write them: thoughts, fences, prose, starter code."""

from typing import Any

import pytest

from halo_core.types import Stage, Status

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
TESTS = [{"args": [3, 4], "expected": 7}, {"args": [-1, 1], "expected": 0}]
VALUES = {"entry_point": "add", "tests": TESTS}
ASSERTS = {"test_list": ["assert add(3, 4) == 7", "assert add(-1, 1) == 0"]}


@pytest.mark.parametrize("reference", [VALUES, ASSERTS])
@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{WRONG}</think>\n{ADD}",
        f"<THINK>{WRONG}</THINK>\n\n{ADD}",
        f"Let me draft.\n{WRONG}No, plus.\n</think>\n\n{ADD}",
        f"```python\n{WRONG}```\nNo, plus.\n</think>\n```python\n{ADD}```",
        f"<think>\n```python\n{WRONG}```\n</think>\n```python\n{ADD}```",
        f"<thinking>\n{WRONG}</thinking>\n{ADD}",
        f"<think>one <think>two</think>\n{WRONG}</think>{ADD}",
        f"<think>a</think>Now:\n```python\n{ADD}```\n<think>check</think>\nDone.",
        f"```python\n{ADD}```\n<think>\n```python\n{WRONG}```\n</think>",
        f"def half\n</think>{ADD}".replace("</think>", "</think>\n"),
        f"import nothing_like_it\n{WRONG}\n </think> \n{ADD}",
    ],
)
def test_thoughts_are_no_part_of_the_answer(check: Any, text: str, reference: dict[str, Any]) -> None:
    verdict = check(text, reference)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{ADD}",
        f"<think>\n```python\n{ADD}```\n",
        f"Sure.\n<think>\n{ADD}",
        f"```python\n{ADD}```\n<think>\n{WRONG}",
        f"<THINK>{ADD}",
        f"<think>a</think>\n<think>\n{ADD}",
        f"<think>one <think>two</think>\n{ADD}",
    ],
)
def test_unfinished_thoughts_have_no_answer(check: Any, text: str) -> None:
    verdict = check(text, VALUES)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert verdict.detail == "the reasoning never ends: no answer after <think>"


def test_thoughts_without_an_answer(check: Any) -> None:
    for text in (f"<think>\n{ADD}</think>", f"{ADD}</think>", f"{ADD}</think>\n"):
        verdict = check(text, VALUES)
        assert (verdict.status, verdict.stage, verdict.detail) == (
            Status.FAIL,
            Stage.INVALID,
            "no program found",
        )


def test_other_thought_tags(check: Any) -> None:

    assert check(f"<reason>{WRONG}</reason>{ADD}", VALUES, thought_tags=("reason",)).status is Status.PASS
    assert check(f"<reason>{ADD}", VALUES, thought_tags=("reason",)).detail.endswith("after <reason>")
    assert check(f"<think>{ADD}", VALUES, thought_tags=()).status is Status.FAIL


@pytest.mark.parametrize(
    "text",
    [
        "```python\ndef add(a, b):\n    return a + b```",
        "```python\ndef add(a, b):\n    return a + b ```",
        "```python\ndef add(a, b):\n    return a + b```\nThat adds them.",
        "~~~python\ndef add(a, b):\n    return a + b~~~",
        "So:```python\ndef add(a, b):\n    return a + b\n```",
        "So:\n```python\ndef add(a, b):\n    return a + b```\n```text\n7\n```",
        f"1. The code:\n\n   ```python\n{''.join('   ' + line for line in ADD.splitlines(True))}   ```\n2. Done.",
        f"- The code:\n  ```python\n{''.join('  ' + line for line in ADD.splitlines(True))}  ```",
        f"- ```python\n{''.join('  ' + line for line in ADD.splitlines(True))}  ```\n",
        f"1. ```py\n{''.join('   ' + line for line in ADD.splitlines(True))}   ```\n",
        f"    ```python\n{''.join('    ' + line for line in ADD.splitlines(True))}    ```\n",
        f"\t```python\n{''.join(chr(9) + line for line in ADD.splitlines(True))}\t```\n",
        f"1. The code:\n\n   ```python\n{''.join('   ' + line for line in ADD.splitlines(True))}```\n",
        f"> ```python\n{''.join('> ' + line for line in ADD.splitlines(True))}> ```\n",
        f"```python\n{''.join('    ' + line for line in ADD.splitlines(True))}```\n",
        f"{''.join('    ' + line for line in ADD.splitlines(True))}",
        f"```python title=\"add.py\"\n{ADD}```",
        f"```{{.python .numberLines}}\n{ADD}```",
        f"``` python\n{ADD}```",
        "```python\ndef add(a, b):\n    \"\"\"Add, see ```add```\"\"\"\n    return a + b\n```",
        "```python\ndef add(a, b):\n    '''Add:\n    code```\n    '''\n    return a + b\n```",
    ],
)  # fmt: skip
def test_fences(check: Any, text: str) -> None:
    verdict = check(text, VALUES)
    assert verdict.status is Status.PASS, verdict.detail


HELPER = "def plus(x):\n    return x + 0\n"
CALLER = "def add(a, b):\n    return plus(a) + b\n"


@pytest.mark.parametrize(
    "text",
    [
        f"Helper:\n```python\n{HELPER}```\nThen:\n```python\n{CALLER}```",
        f"First:\n```python\n{CALLER}```\nIt needs:\n```python\n{HELPER}```",
        "```python\nimport math\n```\n```python\ndef add(a, b):\n    return math.floor(a + b)\n```",
        "```python\nfrom math import floor\n```\nand\n```\ndef add(a, b):\n    return floor(a + b)\n```",
        f"```python\nZERO = 0\n```\n```python\n{CALLER.replace('plus(a)', 'a + ZERO')}```\n```python\nadd(1, 2)\n```",
        f"```python\n{HELPER}```\n```python\n{HELPER.replace('plus', 'other')}```\n```python\n{CALLER}```",
        f"```python\nimport math\n{WRONG}```\nNo:\n```python\ndef add(a, b):\n    return math.floor(a + b)\n```",
        "```python\nclass Adder:\n    def run(self, a, b):\n        return a + b\n```\n"
        "```python\ndef add(a, b):\n    return Adder().run(a, b)\n```",
        f"```bash\npip install x\n```\n```python\n{HELPER}```\n```json\n{{}}\n```\n```python\n{CALLER}```\n",
        f"1. Helper:\n   ```python\n{''.join('   ' + line for line in HELPER.splitlines(True))}   ```\n"
        f"2. Caller:\n   ```python\n{''.join('   ' + line for line in CALLER.splitlines(True))}   ```\n",
        f"```python\n{WRONG}```\n```python\n{HELPER}```\n```python\n{CALLER}```",
        f"```python\nfrom math import *\n```\n```python\n{ADD.replace('a + b', 'floor(a + b)')}```",
    ],
)
def test_programs_spread_over_fences(check: Any, text: str) -> None:
    verdict = check(text, VALUES)
    assert verdict.status is Status.PASS, verdict.detail


def test_the_last_definition_counts_even_if_it_needs_other_fences(check: Any) -> None:
    wrong = CALLER.replace("+ b", "- b")
    text = f"```python\n{ADD}```\n```python\n{HELPER}```\n```python\n{wrong}```"
    assert check(text, VALUES).status is Status.FAIL
    assert check(f"```python\n{ADD}```\n```python\n{WRONG}```", VALUES).status is Status.FAIL
    assert (
        check(f"```python\n{ADD}```\n```python\ndef add(a, b):\n    return c\n```", VALUES).status
        is Status.FAIL
    )


@pytest.mark.parametrize(
    "prose",
    [
        "Add the two numbers\nfrom the call and return them.",
        "We need no\nimport of any module here.",
        "This is a\nclass of functions that add.",
        "It is best to\nimport the numbers from the call.",
        "Values\nfrom a, b import into the sum.",
        "def is the keyword.",
        "A function\ndefined as\ndef with two arguments",
        "@everyone look at this",
        "async code is\nasync in name only.",
        "One line\nclass\nimport\nfrom\n",
        "The sum comes\nfrom .add, not\nfrom the class (see below)",
    ],
)
@pytest.mark.parametrize(
    "after", ["", "\nfor each pair it adds.", "\nfrom here on it works.", "\nwith all that: done."]
)
def test_prose_that_begins_like_code(check: Any, prose: str, after: str) -> None:
    verdict = check(f"{prose}\n\nimport math\n\n{ADD}{after}", VALUES)
    assert verdict.status is Status.PASS, verdict.detail


def test_prose_between_definitions(check: Any) -> None:
    verdict = check(f"First the helper.\n\n{HELPER}\nNow the function.\n\n{CALLER}\nDone.", VALUES)
    assert verdict.status is Status.PASS, verdict.detail


TOTAL = {"entry_point": "total", "tests": [{"args": [[1, 2]], "expected": 3}]}
TWO = {"entry_point": "Solution.two", "tests": [{"args": [[2, 7], 9], "expected": [0, 1]}]}
STARTERS = {
    "import": "from typing import List\n\ndef total(nums: List[int]) -> int:\n",
    "comment": "from typing import List\n\ndef total(nums: List[int]) -> int:\n    # your code here\n",
    "note": "from typing import List\n\ndef total(nums: List[int]) -> int:  # the sum\n",
    "lines": "from typing import List\n\ndef total(\n    nums: List[int],\n) -> int:\n\n",
    "constant": "import math\nMOD = 10\nList = list\n\ndef total(nums: List[int]) -> int:\n",
    "docstring": 'from typing import List\n\ndef total(nums: List[int]) -> int:\n    """Sum."""\n',
    "helper": "List = list\n\ndef one() -> int:\n    return 1\n\ndef total(nums: List[int]) -> int:",
}


@pytest.mark.parametrize(
    "form", ["{}", "Complete:\n\n{}", "Complete:\n```python\n{}\n```\n", "```\n{}\n```\nPlease."]
)
@pytest.mark.parametrize("starter", STARTERS.values(), ids=STARTERS.keys())
def test_definitions_use_the_imports_of_starter_code(check: Any, starter: str, form: str) -> None:
    text = "```python\ndef total(nums: List[int]) -> int:\n    return sum(nums)\n```"
    verdict = check(text, TOTAL, prompt=form.format(starter))
    assert verdict.status is Status.PASS, verdict.detail
    if form == "{}":
        assert check("    return sum(nums)\n", TOTAL, prompt=starter).status is Status.PASS
        assert check("return sum(nums)", TOTAL, prompt=starter).status is Status.PASS


METHOD = "    def two(self, nums: List[int], target: int) -> List[int]:\n"
CLASS = f"from typing import List\n\nclass Solution:\n{METHOD}"


@pytest.mark.parametrize("form", ["{}", "```python\n{}```\n"])
@pytest.mark.parametrize(
    "text",
    [
        f"class Solution:\n{METHOD}        return [0, 1]\n",
        f"```python\nclass Solution:\n{METHOD}        return [0, 1]\n```",
        f"{METHOD}        return [0, 1]\n",
        "def two(self, nums, target):\n    return [0, 1]\n",
        "        return [0, 1]\n",
        "return [0, 1]",
        "seen = {}\nfor n in nums:\n    seen[n] = n\nreturn [0, 1]",
    ],
)
def test_methods_continue_the_class_of_starter_code(check: Any, text: str, form: str) -> None:
    verdict = check(text, TWO, prompt=form.format(CLASS))
    assert verdict.status is Status.PASS, verdict.detail


def test_starter_code_is_no_answer(check: Any) -> None:
    for text in ("", "I cannot.", "```python\n```"):
        assert check(text, TOTAL, prompt=STARTERS["import"]).status is Status.FAIL
