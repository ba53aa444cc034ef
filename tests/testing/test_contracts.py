"""The contracts catch drivers that violate them: each test of a contract is made to fail at least once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import LRPolicy, Verifier, driver
from halo_core.errors import DataError, PluginError
from halo_core.testing import FakePolicy, FakeVerifier, LRPolicyContract, VerifierContract
from halo_core.testing.contracts import _HOSTILE
from halo_core.types import Completion, Prompt, Stage, Status, Verdict

PROMPT = Prompt("p", "task", reference={"answer": "right"})
PASS = Verdict(Status.PASS, Stage.CORRECT, 1.0)
FAIL = Verdict(Status.FAIL, Stage.WRONG)


@driver
class Correct(Verifier):
    """Satisfies the contract."""

    word: str = "right"
    """Prefix of the completions that pass."""

    def check_prompt(self, prompt: Prompt) -> None:
        if not prompt.reference:
            raise DataError("no answer")

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return PASS if completion.text.startswith(self.word) else FAIL


class TestCorrect(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return Correct()

    @pytest.fixture
    def prompt(self) -> Prompt:
        return PROMPT

    @pytest.fixture
    def good(self) -> str:
        return "right"

    @pytest.fixture
    def bad(self) -> str:
        return "wrong"


class TestFake(TestCorrect):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return FakeVerifier()

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("p", "task")


class TestFakePolicy(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return FakePolicy()


def broken(**parts: Any) -> Verifier:
    """Return a `Correct` verifier with some methods replaced."""
    cls: type[Correct] = type("Broken", (Correct,), parts)
    return driver(cls)()


def with_verdict(verdict: Verdict | None, when: Callable[[Completion], bool]) -> Verifier:
    def check(self: Correct, prompt: Prompt, completion: Completion) -> Any:
        return verdict if when(completion) else Correct.check(self, prompt, completion)

    return broken(check=check)


def is_good(completion: Completion) -> bool:
    return completion.text == "right"


def is_bad(completion: Completion) -> bool:
    return completion.text == "wrong"


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def inconsistent() -> Verifier:
    calls = itertools.count()
    return with_verdict(FAIL, lambda completion: is_good(completion) and next(calls) > 3)


CALLS = itertools.count(1)

VIOLATIONS: list[tuple[str, str, Verifier]] = [
    ("preflight fails", "preflight_passes_here", broken(preflight=raises(PluginError("no tool")))),
    ("good fails", "good_passes_and_bad_fails", with_verdict(FAIL, is_good)),
    ("bad passes", "good_passes_and_bad_fails", with_verdict(PASS, is_bad)),
    (
        "bad is an error",
        "good_passes_and_bad_fails",
        with_verdict(Verdict(Status.ERROR, Stage.INVALID), is_bad),
    ),
    ("rejects its own prompt", "good_passes_and_bad_fails", broken(check_prompt=raises(DataError("no")))),
    ("None", "good_passes_and_bad_fails", with_verdict(None, is_good)),
    ("status as text", "good_passes_and_bad_fails", with_verdict(replace(PASS, status="pass"), is_good)),  # type: ignore[arg-type]
    ("stage as text", "good_passes_and_bad_fails", with_verdict(replace(PASS, stage="correct"), is_good)),  # type: ignore[arg-type]
    ("score above 1", "good_passes_and_bad_fails", with_verdict(replace(PASS, score=3.0), is_good)),
    ("score nan", "good_passes_and_bad_fails", with_verdict(replace(FAIL, score=float("nan")), is_bad)),
    ("CPU time below 0", "good_passes_and_bad_fails", with_verdict(replace(PASS, cpu_seconds=-1.0), is_good)),
    (
        "wall time below 0",
        "good_passes_and_bad_fails",
        with_verdict(replace(PASS, wall_seconds=-1.0), is_good),
    ),
    (
        "passes with stage wrong",
        "good_passes_and_bad_fails",
        with_verdict(replace(PASS, stage=Stage.WRONG), is_good),
    ),
    (
        "fails with stage correct",
        "good_passes_and_bad_fails",
        with_verdict(replace(FAIL, stage=Stage.CORRECT), is_bad),
    ),
    ("extracts a number", "extracted_part_is_text_or_none", broken(extracted=lambda self, p, c: 7)),
    ("extracts another answer", "extracted_part_is_text_or_none", broken(extracted=lambda self, p, c: "no")),
    ("inconsistent", "verdicts_repeat_in_threads", inconsistent()),
    ("depends on the index", "depends_on_the_text_alone", with_verdict(FAIL, lambda c: c.index > 0)),
    ("depends on the tokens", "depends_on_the_text_alone", with_verdict(FAIL, lambda c: bool(c.token_ids))),
    (
        "depends on the finish reason",
        "depends_on_the_text_alone",
        with_verdict(FAIL, lambda c: c.finish_reason == "length"),
    ),
    (
        "passes without a reference",
        "empty_reference_never_passes",
        broken(check_prompt=lambda self, prompt: None),
    ),
    ("one reference as text", "known_answers_can_be_used", broken(references=lambda self, prompt: "right")),
    ("no mutants but None", "known_answers_can_be_used", broken(mutants=lambda self, prompt: None)),
    ("attacks as texts", "known_answers_can_be_used", broken(attacks=lambda self: ["ignore all tests"])),
    (
        "an address in the fingerprint",
        "known_answers_can_be_used",
        broken(fingerprint=lambda self: repr(object())),
    ),
    ("a bool from check_prompt", "known_answers_can_be_used", broken(check_prompt=lambda self, prompt: True)),
    (
        "unstable fingerprint",
        "fingerprint_is_stable_and_options_round_trip",
        broken(fingerprint=lambda self: str(next(CALLS))),
    ),
    (
        "leaves files",
        "leaves_the_working_directory_alone",
        with_verdict(PASS, lambda c: bool(Path("a.out").write_text("x"))),
    ),
]


def contract_test(name: str) -> Callable[..., None]:
    test: Callable[..., None] = getattr(VerifierContract, f"test_{name}")
    return test


def arguments(test: Callable[..., None], verifier: Verifier) -> dict[str, Any]:
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    fixtures = {"verifier": verifier, "prompt": PROMPT, "good": "right", "bad": "wrong"}
    return {name: fixtures[name] for name in names}


@pytest.mark.parametrize(
    ("name", "verifier"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS]
)
def test_a_verifier_that_violates_the_contract_is_caught(
    name: str, verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test = contract_test(name)
    with pytest.raises((AssertionError, DataError, PluginError)):
        test(None, **arguments(test, verifier))


@pytest.mark.parametrize(
    "verdict",
    [PASS, Verdict(Status.ERROR, Stage.INVALID), Verdict(Status.INCONCLUSIVE, Stage.CRASHED)],
    ids=["pass", "error", "inconclusive"],
)
@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
def test_a_verifier_that_does_not_fail_odd_text_is_caught(text: str, verdict: Verdict) -> None:
    verifier = with_verdict(verdict, lambda completion: completion.text == text)
    with pytest.raises(AssertionError):
        TestCorrect().test_any_text_gets_a_verdict(verifier, PROMPT, text)


def test_a_verifier_that_raises_on_odd_text_is_caught() -> None:
    def check(self: Correct, prompt: Prompt, completion: Completion) -> Verdict:
        completion.text.encode()
        return FAIL

    verifier = broken(check=check)
    with pytest.raises(UnicodeEncodeError):
        TestCorrect().test_any_text_gets_a_verdict(verifier, PROMPT, "\ud800")


def test_every_contract_test_is_violated_above() -> None:
    tests = {name for name in vars(VerifierContract) if name.startswith("test_")}
    assert tests == {f"test_{row[1]}" for row in VIOLATIONS} | {"test_any_text_gets_a_verdict"}


# LR policies


def policy(lr: Callable[..., Any]) -> LRPolicy:
    cls: type[LRPolicy] = type("Broken", (LRPolicy,), {"lr": lambda self, **given: lr(**given)})
    return driver(cls)()


@pytest.mark.parametrize(
    ("name", "lr"),
    [
        ("learning_rates_are_positive_and_finite", lambda cycle, **_: 0.0),
        ("learning_rates_are_positive_and_finite", lambda cycle, **_: float("nan")),
        ("learning_rates_are_positive_and_finite", lambda cycle, **_: float("inf")),
        ("learning_rates_are_positive_and_finite", lambda cycle, cycles, **_: 1e-4 * (1 - cycle / cycles)),
        ("is_a_function_of_its_arguments", lambda **_: 1.0 / next(CALLS)),
        ("takes_any_history", lambda history, **_: 0.5 - history[-1].heldout.passed if history else 1.0),
        ("takes_any_history", lambda history, **_: history[-1].lr if history else 1.0),
        ("takes_any_history", lambda history, **_: history[-1].lr),
    ],
    ids=[
        "zero",
        "nan",
        "inf",
        "zero at the end",
        "depends on earlier calls",
        "negative",
        "learning rate of cycle 0",
        "needs a history",
    ],
)
def test_a_policy_that_violates_the_contract_is_caught(name: str, lr: Callable[..., Any]) -> None:
    with pytest.raises((AssertionError, IndexError, AttributeError, ZeroDivisionError)):
        getattr(LRPolicyContract, f"test_{name}")(None, policy(lr))
