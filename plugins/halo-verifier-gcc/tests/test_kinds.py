"""For kinds of tasks and programs, right texts that pass and wrong ones that fail."""

import json
from pathlib import Path
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Status
from halo_verifier_gcc import GCC

CASES = json.loads(Path(__file__).with_name("kinds.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["kind"][:40] for case in CASES])
def test_right_texts_pass_and_wrong_ones_fail(case: dict[str, Any]) -> None:
    prompt, verifier = Prompt("p", "t", reference=case["reference"]), GCC(**case.get("options", {}))
    verifier.check_prompt(prompt)
    for expected, texts in ((Status.PASS, case["right"]), (Status.FAIL, case["wrong"])):
        for text in texts:
            verdict = verifier.check(prompt, Completion("p", 0, text))
            assert verdict.status is expected, (text, verdict.detail)
