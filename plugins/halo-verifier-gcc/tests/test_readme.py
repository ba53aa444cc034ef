"""The example prompts in the README work unchanged."""

import json
import re
from pathlib import Path

import pytest

from halo_core.types import Completion, Prompt, Status
from halo_verifier_gcc import GCC

PAGE = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
ROWS = {row["id"]: row for row in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))}
RIGHT = {
    "sum": '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); printf("%d\\n", a + b); }',
    "add": "int add(int a, int b) { return a + b; }",
}


@pytest.mark.parametrize("name", RIGHT)
def test_prompt_can_be_solved(name: str) -> None:
    prompt = Prompt(name, ROWS[name]["prompt"], reference=ROWS[name]["reference"])
    GCC().check_prompt(prompt)
    assert GCC().check(prompt, Completion(name, 0, RIGHT[name])).status is Status.PASS
    wrong = RIGHT[name].replace("a + b", "a - b")
    assert GCC().check(prompt, Completion(name, 0, wrong)).status is Status.FAIL


def test_every_prompt_is_tested() -> None:
    assert ROWS.keys() == RIGHT.keys()


def test_number_of_attacks_is_current() -> None:
    assert f"has {len(GCC().attacks())} programs" in PAGE
