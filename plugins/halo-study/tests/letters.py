"""A verifier for tests: it needs no program."""

from __future__ import annotations

from halo_core import Completion, Prompt, Stage, Status, Verdict, Verifier, driver


@driver
class Letters(Verifier):
    """Accepts a completion with few distinct characters."""

    most: int = 9
    """Distinct characters that are accepted."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Count the distinct characters."""
        if len(set(completion.text)) <= self.most:
            return Verdict(Status.PASS, Stage.CORRECT, score=1.0)
        return Verdict(Status.FAIL, Stage.WRONG)
