"""Each clause of the contracts is broken once, and must be seen to be."""

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
class Honest(Verifier):
    """Holds to the contract."""

    word: str = "right"
    """What a completion starts with to pass."""

    def check_prompt(self, prompt: Prompt) -> None:
        if not prompt.reference:
            raise DataError("no answer")

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return PASS if completion.text.startswith(self.word) else FAIL


class TestHonest(VerifierContract):
    @pytest.fixture
    def verifier(self) -> Verifier:
        return Honest()

    @pytest.fixture
    def prompt(self) -> Prompt:
        return PROMPT

    @pytest.fixture
    def good(self) -> str:
        return "right"

    @pytest.fixture
    def bad(self) -> str:
        return "wrong"


class TestFake(TestHonest):
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
    """An `Honest` verifier with some methods replaced."""
    return driver(type("Broken", (Honest,), parts))()


def answers(verdict: Verdict | None, when: Callable[[Completion], bool]) -> Verifier:
    def check(self: Honest, prompt: Prompt, completion: Completion) -> Any:
        return verdict if when(completion) else Honest.check(self, prompt, completion)

    return broken(check=check)


def is_good(completion: Completion) -> bool:
    return completion.text == "right"


def is_bad(completion: Completion) -> bool:
    return completion.text == "wrong"


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def forgetful() -> Verifier:
    calls = itertools.count()
    return answers(FAIL, lambda completion: is_good(completion) and next(calls) > 3)


CALLS = itertools.count(1)

BREAKS: list[tuple[str, str, Verifier]] = [
    ("preflight fails", "preflight_passes_here", broken(preflight=raises(PluginError("no tool")))),
    ("good fails", "good_passes_and_bad_fails", answers(FAIL, is_good)),
    ("bad passes", "good_passes_and_bad_fails", answers(PASS, is_bad)),
    ("bad is an error", "good_passes_and_bad_fails", answers(Verdict(Status.ERROR, Stage.INVALID), is_bad)),
    ("refuses its own prompt", "good_passes_and_bad_fails", broken(check_prompt=raises(DataError("no")))),
    ("None", "good_passes_and_bad_fails", answers(None, is_good)),
    ("status as text", "good_passes_and_bad_fails", answers(replace(PASS, status="pass"), is_good)),
    ("stage as text", "good_passes_and_bad_fails", answers(replace(PASS, stage="correct"), is_good)),
    ("score above 1", "good_passes_and_bad_fails", answers(replace(PASS, score=3.0), is_good)),
    ("score nan", "good_passes_and_bad_fails", answers(replace(FAIL, score=float("nan")), is_bad)),
    ("time below 0", "good_passes_and_bad_fails", answers(replace(PASS, cpu_seconds=-1.0), is_good)),
    ("clock below 0", "good_passes_and_bad_fails", answers(replace(PASS, wall_seconds=-1.0), is_good)),
    ("passes what is wrong", "good_passes_and_bad_fails", answers(replace(PASS, stage=Stage.WRONG), is_good)),
    ("fails what is right", "good_passes_and_bad_fails", answers(replace(FAIL, stage=Stage.CORRECT), is_bad)),
    ("forgets", "verdicts_repeat_in_threads", forgetful()),
    ("looks at the index", "judges_the_text_alone", answers(FAIL, lambda c: c.index > 0)),
    ("looks at the tokens", "judges_the_text_alone", answers(FAIL, lambda c: bool(c.token_ids))),
    ("looks at the ending", "judges_the_text_alone", answers(FAIL, lambda c: c.finish_reason == "length")),
    ("passes unjudged", "empty_reference_never_pays", broken(check_prompt=lambda self, prompt: None)),
    (
        "odd fingerprint",
        "fingerprint_is_stable_and_options_round_trip",
        broken(fingerprint=lambda self: str(next(CALLS))),
    ),
    (
        "litters",
        "leaves_the_working_directory_alone",
        answers(PASS, lambda c: bool(Path("a.out").write_text("x"))),
    ),
]


def clause(name: str) -> Callable[..., None]:
    return getattr(VerifierContract, f"test_{name}")


def arguments(test: Callable[..., None], verifier: Verifier) -> dict[str, Any]:
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    given = {"verifier": verifier, "prompt": PROMPT, "good": "right", "bad": "wrong"}
    return {name: given[name] for name in names}


@pytest.mark.parametrize(("name", "verifier"), [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
def test_a_verifier_that_breaks_a_clause_is_caught(
    name: str, verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test = clause(name)
    with pytest.raises((AssertionError, DataError, PluginError)):
        test(None, **arguments(test, verifier))


@pytest.mark.parametrize(
    "verdict",
    [PASS, Verdict(Status.ERROR, Stage.INVALID), Verdict(Status.INCONCLUSIVE, Stage.CRASHED)],
    ids=["pass", "error", "inconclusive"],
)
@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
def test_a_verifier_that_does_not_fail_odd_text_is_caught(text: str, verdict: Verdict) -> None:
    verifier = answers(verdict, lambda completion: completion.text == text)
    with pytest.raises(AssertionError):
        VerifierContract.test_any_text_gets_a_verdict(None, verifier, PROMPT, text)


def test_a_verifier_that_raises_on_odd_text_is_caught() -> None:
    def check(self: Honest, prompt: Prompt, completion: Completion) -> Verdict:
        completion.text.encode()
        return FAIL

    verifier = broken(check=check)
    with pytest.raises(UnicodeEncodeError):
        VerifierContract.test_any_text_gets_a_verdict(None, verifier, PROMPT, "\ud800")


def test_every_clause_is_broken_above() -> None:
    clauses = {name for name in vars(VerifierContract) if name.startswith("test_")}
    assert clauses == {f"test_{row[1]}" for row in BREAKS} | {"test_any_text_gets_a_verdict"}


# LR policies


def policy(lr: Callable[..., Any]) -> LRPolicy:
    return driver(type("Broken", (LRPolicy,), {"lr": lambda self, **given: lr(**given)}))()


@pytest.mark.parametrize(
    ("name", "lr"),
    [
        ("rates_are_positive_and_finite", lambda cycle, **_: 0.0),
        ("rates_are_positive_and_finite", lambda cycle, **_: float("nan")),
        ("rates_are_positive_and_finite", lambda cycle, **_: float("inf")),
        ("rates_are_positive_and_finite", lambda cycle, cycles, **_: 1e-4 * (1 - cycle / cycles)),
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
        "counts calls",
        "negative",
        "lr of cycle 0",
        "needs a history",
    ],
)
def test_a_policy_that_breaks_a_clause_is_caught(name: str, lr: Callable[..., Any]) -> None:
    with pytest.raises((AssertionError, IndexError, AttributeError, ZeroDivisionError)):
        getattr(LRPolicyContract, f"test_{name}")(None, policy(lr))
