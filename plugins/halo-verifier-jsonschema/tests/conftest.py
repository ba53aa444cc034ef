from collections.abc import Callable
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Verdict
from halo_verifier_jsonschema import JSONSchema

Check = Callable[..., Verdict]


@pytest.fixture
def check() -> Check:
    """Return the verdict on a text under a reference: `check(text, {"schema": ...}, closed=False)`."""

    def run(text: str, reference: dict[str, Any], **options: Any) -> Verdict:
        verifier = JSONSchema(**options)
        prompt = Prompt("p", "task", reference=reference)
        verifier.check_prompt(prompt)
        return verifier.check(prompt, Completion("p", 0, text))

    return run
