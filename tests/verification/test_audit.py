"""An audit finds each kind of wrong verdict and passes a sound verifier."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.cli.audit import audit_table
from halo_core.drivers import Attack, Verifier, driver
from halo_core.errors import PluginError, VerifierError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.audit import Audit, Bounds, audit
from halo_core.verification.verifiers import VerifierSet

PROMPTS = [Prompt(f"p{n}", f"what is {n}?", reference={"answer": str(n)}) for n in range(6)]
PASS = Verdict(Status.PASS, Stage.CORRECT, 1.0)
WRONG = Verdict(Status.FAIL, Stage.WRONG)


@driver
class Sound(Verifier):
    """Compares with the answer."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return PASS if completion.text.strip() == prompt.reference["answer"] else WRONG

    def references(self, prompt: Prompt) -> Sequence[str]:
        return [prompt.reference["answer"]]

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        return [str(int(prompt.reference["answer"]) + step) for step in range(1, 9)]

    def attacks(self) -> Sequence[Attack]:
        return [Attack("blank", PROMPTS[0], "\x00", Stage.INVALID)] if self.careful else []

    careful: bool = False


class Leaky(Sound):
    """Accepts one kind of wrong answer."""

    accepts = ""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        text = completion.text
        accepted = {
            "empty": not text.strip(),
            "constant": text == "xyzzy",
            "copied": text == prompt.text,
            "mutant": text == str(int(prompt.reference["answer"]) + 3),
            "neighbour": text.isdigit(),
        }
        return PASS if accepted[self.accepts] else super().check(prompt, completion)


def audited(verifier: Verifier, **options: Any) -> Audit:
    return audit(VerifierSet({"it": verifier}), PROMPTS, workers=2, **options)


def test_a_sound_verifier_passes() -> None:
    found = audited(Sound())
    assert found.findings == ()
    assert (found.cases_of("reference"), found.cases_of("mutant"), found.unreferenced) == (6, 18, 0)
    found.require(Bounds())


@pytest.mark.parametrize("kind", ["empty", "constant", "copied", "mutant"])
def test_a_false_accept_is_found(kind: str) -> None:
    verifier = Leaky()
    object.__setattr__(verifier, "accepts", kind)
    found = audited(verifier)
    assert {finding.problem for finding in found.findings} == {"false accept"}
    assert {finding.case.kind for finding in found.findings} == {kind}
    assert found.count("false accept", kind) >= 6  # type: ignore[arg-type]
    with pytest.raises(VerifierError, match="were accepted"):
        found.require(Bounds())


def test_prompts_that_accept_each_others_references_are_the_same_task() -> None:
    verifier = Leaky()
    object.__setattr__(verifier, "accepts", "neighbour")
    found = audited(verifier)
    assert found.count("false accept", "mutant") == 18
    assert found.count("false accept", "copied") == 0


def test_an_accepted_reference_of_another_prompt_is_found() -> None:
    @driver
    class Lenient(Sound):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            lenient = prompt.id == "p0" and completion.text == "1"
            return PASS if lenient else super().check(prompt, completion)

    assert audited(Lenient(), mutants=0).count("false accept", "copied") == 1


def test_a_rejected_reference_is_found() -> None:
    @driver
    class Strict(Sound):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            return WRONG if completion.text == "3" else super().check(prompt, completion)

    found = audited(Strict())
    assert [(finding.problem, finding.case.name) for finding in found.findings] == [("false reject", "p3")]
    with pytest.raises(VerifierError, match="1 of 6 references were rejected"):
        found.require(Bounds())
    found.require(Bounds(false_rejects=0.2))


def test_an_attack_that_gets_too_far_is_found() -> None:
    found = audited(Sound(careful=True))
    assert [(finding.problem, finding.case.name) for finding in found.findings] == [("false accept", "blank")]


@pytest.mark.parametrize("mode", ["weak", "none"])
def test_attacks_are_not_tried_where_they_could_do_harm(
    mode: sandbox.Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.process_wide, "current", None)
    sandbox.configure(mode)
    found = audited(Sound(careful=True))
    assert (found.left_out, found.cases_of("attack")) == (1, 0)
    assert "1 attack left out" in audit_table(found, 10)
    found.require(Bounds())


def test_a_flaky_verdict_is_found() -> None:
    calls = itertools.count()

    @driver
    class Flaky(Sound):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            verdict = super().check(prompt, completion)
            return verdict if verdict is PASS else Verdict(Status.FAIL, Stage.WRONG, 0.1 * (next(calls) % 10))

    assert audited(Flaky()).count("flaky") > 0


def test_errors_and_exceptions_are_missing_verdicts() -> None:
    @driver
    class Broken(Sound):
        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            if completion.text == "3":
                raise ZeroDivisionError
            return super().check(prompt, completion)

    found = audited(Broken(), mutants=0)
    assert {finding.case.text for finding in found.findings if finding.problem == "no verdict"} == {"3"}
    with pytest.raises(VerifierError, match="no verdict"):
        found.require(Bounds())


def test_prompts_without_a_reference_are_counted() -> None:
    @driver
    class Silent(Sound):
        def references(self, prompt: Prompt) -> Sequence[str]:
            return []

    assert audited(Silent()).unreferenced == 6


def test_copies_that_the_verifier_names_are_audited() -> None:
    @driver
    class Copying(Sound):
        """Accepts an expression of the prompt."""

        def copied_answers(self, prompt: Prompt) -> Sequence[str]:
            return [f"0 + {prompt.reference['answer']}"]

        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            return PASS if completion.text.startswith("0 + ") else super().check(prompt, completion)

    found = audited(Copying())
    assert {finding.case.kind for finding in found.findings} == {"copied"}
    assert {finding.case.text for finding in found.findings} == {f"0 + {n}" for n in range(6)}


def test_told_apart_is_counted_for_each_prompt() -> None:
    @driver
    class Counting(Sound):
        """Counts the mutants that it tells apart, for the prompts with an even answer."""

        def told_apart(self, prompt: Prompt) -> tuple[int, int] | None:
            number = int(prompt.reference["answer"])
            return None if number % 2 else (8 - number, 8)

    found = audited(Counting())
    assert [(each.told_apart, each.mutants) for each in found.strengths] == [(4, 8), (6, 8), (8, 8)]
    assert audited(Sound()).strengths == ()


@pytest.mark.parametrize("counts", [3, (1,), (3, 2), (-1, 2), ("1", "2"), (1.0, 2)])
def test_unusable_counts_are_blamed_on_the_verifier(counts: Any) -> None:
    @driver
    class Wrong(Sound):
        """Returns something else than two counts."""

        def told_apart(self, prompt: Prompt) -> tuple[int, int] | None:
            result: tuple[int, int] = counts
            return result

    with pytest.raises(PluginError, match="told_apart"):
        audited(Wrong())
