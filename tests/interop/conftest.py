"""A verifier in a file, as a user might write it."""

from pathlib import Path

import pytest

VERIFIER = '''
from halo_core import Stage, Status, Verdict, Verifier, driver
from halo_core.errors import DataError, PluginError


@driver
class Exact(Verifier):
    """Passes a completion that equals the reference."""

    lower: bool = False
    """Compare in lower case."""
    missing: bool = False
    """Pretend that a tool is missing."""

    def preflight(self):
        if self.missing:
            raise PluginError("no such tool", hint="install it")

    def check_prompt(self, prompt):
        if not isinstance(prompt.reference.get("answer"), str):
            raise DataError(f"prompt {prompt.id!r} needs an answer")

    def check(self, prompt, completion):
        text = completion.text.lower() if self.lower else completion.text
        if text == "break":
            raise RuntimeError("the tool is missing")
        if text == "wait":
            return Verdict(Status.INCONCLUSIVE, Stage.CRASHED, detail="too busy")
        if text == prompt.reference["answer"]:
            return Verdict(Status.PASS, Stage.CORRECT, score=1.0)
        return Verdict(Status.FAIL, Stage.WRONG if text else Stage.INVALID)
'''


@pytest.fixture
def exact(tmp_path: Path) -> str:
    """Return the verifier's name for loading it."""
    path = tmp_path / "exact.py"
    path.write_text(VERIFIER)
    return f"{path}:Exact"
