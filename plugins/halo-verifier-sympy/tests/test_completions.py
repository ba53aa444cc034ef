"""Completions that are right or wrong, in notations that public reports of other systems name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.types import Status, Verdict

LINES = Path(__file__).with_name("completions.txt").read_text(encoding="utf-8").splitlines()
CASES = [line for line in LINES if line.startswith(("+ ", "- "))]


@pytest.mark.parametrize("case", CASES)
def test_completion_gets_the_right_verdict(check_completion: Callable[..., Verdict], case: str) -> None:
    gold, text, *rest = case[2:].split(" ;; ")
    verdict = check_completion(gold, text.replace("<nl>", "\n"), **(json.loads(rest[0]) if rest else {}))
    assert verdict.status is (Status.PASS if case[0] == "+" else Status.FAIL), verdict.detail
