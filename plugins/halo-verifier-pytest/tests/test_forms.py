"""Correct answers in the formats that models use, with each form of test: none is rejected."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core.types import Completion, Prompt, Status
from halo_verifier_pytest import Pytest

STUB = 'from typing import List\n\n\ndef clean(words: List[str], least: int = 2) -> List[str]:\n    """Clean."""\n'
BODIES = (
    "    return [w.lower() for w in words if len(w) >= least]\n",
    "    kept = []\n    for word in words:\n        if len(word) >= least:\n"
    "            kept.append(word.lower())\n    return kept\n",
    "    return list(map(str.lower, filter(lambda w: len(w) >= least, words)))\n",
    "    if not words:\n        return []\n    head, *rest = words\n"
    "    return [head.lower()] * (len(head) >= least) + clean(rest, least)\n",
)
DEFINITION = "def clean(words, least=2):\n"
CHECK = "def check(candidate):\n    assert candidate(['Ab', 'c']) == ['ab']\n    assert candidate([], least=3) == []\n"
FILE = "from solution import clean\n\ndef test_it():\n    assert clean(['Ab', 'c']) == ['ab']\n"
REFERENCES: dict[str, dict[str, Any]] = {
    "values": {
        "tests": [
            {"call": "clean(['Ab', 'c'])", "expected": ["ab"]},
            {"call": "clean([], least=3)", "expected": []},
        ]
    },
    "asserts": {"entry_point": "clean", "test": CHECK},
    "files": {"files": {"test_it.py": FILE}, "solution": DEFINITION + BODIES[0]},
}
WRAPS = (
    "{}",
    "```python\n{}```",
    "```\n{}\n```\n\nThis keeps the long words.",
    "Here is the function:\n\n```python\n{}```\n\n```python\nclean(['a'])\n```",
    "<think>\nWhat about `least`?\n```python\nwrong(\n```\n</think>\n{}",
    "{}\n\n# done\n",
)


@settings(max_examples=60)
@given(
    form=st.sampled_from(sorted(REFERENCES)),
    body=st.sampled_from(BODIES),
    wrap=st.sampled_from(WRAPS),
    complete=st.booleans(),
    helper=st.sampled_from(("", "import math\n\n", "LIMIT = 3\n\n\ndef helper():\n    return LIMIT\n\n\n")),
)
def test_correct_answers_pass(form: str, body: str, wrap: str, complete: bool, helper: str) -> None:
    text = wrap.format(helper + DEFINITION + body if complete else body)
    prompt = Prompt("p", STUB, reference=REFERENCES[form])
    verdict = Pytest().check(prompt, Completion("p", 0, text))
    assert verdict.status is Status.PASS, f"{text}\n{verdict.detail}"


@pytest.mark.parametrize("body", BODIES)
def test_answers_truncated_after_the_function_pass(body: str) -> None:
    prompt = Prompt("p", STUB, reference=REFERENCES["asserts"])
    verdict = Pytest().check(prompt, Completion("p", 0, f"{body}\n\ndef main(arguments, (\n"))
    assert verdict.status is Status.PASS, verdict.detail
