"""Verifiers for the tests of composition, loaded from a file like a user's: ./verifier_parts.py:Number."""

from __future__ import annotations

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, PluginError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict


@driver
class Number(Verifier):
    """Compares the last word with the reference's `number`."""

    valid_label = "parses"

    version: str = "1"
    """Part of the fingerprint."""
    missing_tool: bool = False
    """Pretend that a tool is missing."""

    def preflight(self) -> None:
        if self.missing_tool:
            raise PluginError("no abacus", hint="apt-get install abacus")

    def check_prompt(self, prompt: Prompt) -> None:
        if not isinstance(prompt.reference.get("number"), int):
            raise DataError(f"prompt {prompt.id!r} needs a number")

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        word = (completion.text.split() or [""])[-1]
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            return Verdict(Status.FAIL, Stage.INVALID, detail="not a number", wall_seconds=0.25)
        digits = {"digits": float(len(word))}
        if int(word) != prompt.reference["number"]:
            return Verdict(Status.FAIL, Stage.WRONG, 0.25, 1, f"{word} is wrong", 0.5, signals=digits)
        return Verdict(Status.PASS, Stage.CORRECT, 1.0, cpu_seconds=0.5, signals=digits)

    def references(self, prompt: Prompt) -> list[str]:
        return [str(prompt.reference["number"])]

    def mutants(self, prompt: Prompt) -> list[str]:
        return [str(prompt.reference["number"] + 1)]

    def copied_answers(self, prompt: Prompt) -> list[str]:
        return ["1 + 1"]

    def attacks(self) -> list[Attack]:
        return [Attack("full-width", Prompt("a", "2", reference={"number": 2}), "２", Stage.INVALID)]

    def demo(self) -> Demo:
        from pathlib import Path

        prompts = [Prompt(f"d{n}", f"Write {n}.", reference={"number": n}) for n in range(4)]
        return Demo(tuple(prompts[:2]), tuple(prompts[2:]), Path(__file__).parent)


@driver
class Short(Verifier):
    """Passes texts of at most `most` characters; needs no reference."""

    most: int = 20
    """Maximum length."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        share = min(1.0, self.most / max(1, len(completion.text)))
        passed = len(completion.text) <= self.most
        status, stage = (Status.PASS, Stage.CORRECT) if passed else (Status.FAIL, Stage.FLAWED)
        return Verdict(status, stage, share, sandbox="standard", integrity="shared-process")

    def mutants(self, prompt: Prompt) -> list[str]:
        return ["x" * (self.most + 1)]


@driver
class Unsure(Verifier):
    """Gives an error for "error", an inconclusive verdict for "slow", and raises for "raise"."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        for word, status in (("error", Status.ERROR), ("slow", Status.INCONCLUSIVE)):
            if word in completion.text:
                return Verdict(status, Stage.CRASHED, detail=f"is {word}")
        if "raise" in completion.text:
            raise RuntimeError("out of order")
        return Verdict(Status.PASS, Stage.CORRECT, 1.0, sandbox="strong")


@driver
class Keyed(Verifier):
    """Passes the text that its reference's `key` has."""

    def check_prompt(self, prompt: Prompt) -> None:
        if "key" not in prompt.reference:
            raise DataError(f"prompt {prompt.id!r} has no key")

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        passed = prompt.reference["key"] in completion.text
        return Verdict(*((Status.PASS, Stage.CORRECT, 1.0) if passed else (Status.FAIL, Stage.WRONG)))
