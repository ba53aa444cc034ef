"""Answers among other text: the query is found, and nothing else is taken for it."""

import json
from pathlib import Path

import pytest

from halo_core.types import Completion, Prompt, Status
from halo_verifier_sql import SQL

(CASE,) = json.loads(Path(__file__).with_name("texts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("status", [Status.PASS, Status.FAIL])
def test_right_texts_pass_and_wrong_ones_fail(status: Status) -> None:
    verifier, prompt = SQL(), Prompt("p", "t", reference=CASE["reference"])
    for text in CASE["right" if status is Status.PASS else "wrong"]:
        verdict = verifier.check(prompt, Completion("p", 0, text))
        assert verdict.status is status, (text, verdict.detail)
