"""Equal answers in varied notation are accepted, near misses are rejected."""

import json
from pathlib import Path
from typing import Any

import pytest

from halo_core.types import Prompt, Status
from halo_verifier_sympy import Sympy

LINES = Path(__file__).with_name("pairs.txt").read_text(encoding="utf-8").splitlines()


def _pairs() -> list[tuple[str, str, str, dict[str, Any]]]:
    rows = [line.split(" ;; ") for line in LINES if line and not line.startswith("#")]
    return [(gold, same, near, json.loads(rest[0]) if rest else {}) for gold, same, near, *rest in rows]


ONE_WAY = set(LINES[LINES.index("# read as the reference writes it") :])
"""Pairs whose second answer, as a reference, is not answered by the first."""


def _split(extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    options = {key: value for key, value in extra.items() if key == "thousands"}
    return options, {key: value for key, value in extra.items() if key not in options}


def test_there_are_at_least_150_pairs() -> None:
    assert len(_pairs()) >= 150


@pytest.mark.parametrize(("gold", "same", "near", "extra"), _pairs())
def test_equal_answer_passes_and_near_miss_fails(
    check: Any, gold: str, same: str, near: str, extra: dict[str, Any]
) -> None:
    options, reference = _split(extra)
    Sympy(**options).check_prompt(Prompt("p", "task", reference={"answer": gold, **reference}))
    verdict = check(gold, same, options, **reference)
    assert verdict.status is Status.PASS, verdict.detail
    verdict = check(gold, near, options, **reference)
    assert verdict.status is Status.FAIL
    one_way = f"{gold} ;; {same} ;; {near}" in ONE_WAY
    if not one_way and not any(mark in same + gold for mark in ("pm", "=", "\\in ", "sum")):
        turned = {"form": "any", **reference}  # 3! is answered by 6, but 6 is not answered by 3!
        assert check(same, gold, options, **turned).status is Status.PASS, "equality is symmetric"
