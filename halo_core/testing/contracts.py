"""The contracts of verifiers and LR policies, as test classes to subclass."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from halo_core.config.options import build
from halo_core.drivers.base import LRPolicy, Verifier
from halo_core.errors import DataError
from halo_core.testing.measurements import make_metrics
from halo_core.types import Completion, CycleReport, Prompt, Stage, Status, Verdict
from halo_core.verification.verifiers import VerifierSet

_HOSTILE = (
    "",
    " ",
    "\0",
    "\ud800",
    "é" * 10,
    "```",
    "```\n```",
    "a" * 200_000,
    "(" * 20_000,
    "%n%s%d",
    "\x1b[2J",
)


class VerifierContract(ABC):
    """Tests of the contract of `halo_core.drivers.Verifier`. Subclass it and define the fixtures."""

    @pytest.fixture
    @abstractmethod
    def verifier(self) -> Verifier:
        """The verifier to test."""

    @pytest.fixture
    @abstractmethod
    def prompt(self) -> Prompt:
        """A prompt that the verifier accepts."""

    @pytest.fixture
    @abstractmethod
    def good(self) -> str:
        """A completion that must pass."""

    @pytest.fixture
    @abstractmethod
    def bad(self) -> str:
        """A completion that must fail."""

    def test_preflight_passes_here(self, verifier: Verifier) -> None:
        """Check that the test machine has what the verifier needs."""
        verifier.preflight()

    def test_good_passes_and_bad_fails(self, verifier: Verifier, prompt: Prompt, good: str, bad: str) -> None:
        """Check that `good` passes and `bad` fails."""
        verifier.check_prompt(prompt)
        assert _check(verifier, prompt, good).status is Status.PASS
        assert _check(verifier, prompt, bad).status is Status.FAIL

    @pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
    def test_any_text_gets_a_verdict(self, verifier: Verifier, prompt: Prompt, text: str) -> None:
        """Check that odd text fails: it is neither an error nor an exception."""
        assert _check(verifier, prompt, text).status is Status.FAIL

    def test_extracted_part_is_text_or_none(self, verifier: Verifier, prompt: Prompt, good: str) -> None:
        """Check that the extracted part of any text can be shown, and that the one of `good` passes if it is shown."""
        for text in (good, *_HOSTILE):
            found = verifier.extracted(prompt, Completion(prompt.id, 0, text))
            assert found is None or isinstance(found, str)
        shown = verifier.extracted(prompt, Completion(prompt.id, 0, good))
        assert shown is None or shown in good or _check(verifier, prompt, shown).status is Status.PASS

    def test_verdicts_repeat_in_threads(
        self, verifier: Verifier, prompt: Prompt, good: str, bad: str
    ) -> None:
        """Check that eight threads give the same verdicts as one."""
        texts = [good, bad] * 8
        serial = [_outcome(_check(verifier, prompt, text)) for text in texts[:2]] * 8
        with ThreadPoolExecutor(8) as pool:
            threaded = list(pool.map(lambda text: _outcome(_check(verifier, prompt, text)), texts))
        assert threaded == serial

    def test_depends_on_the_text_alone(self, verifier: Verifier, prompt: Prompt, good: str, bad: str) -> None:
        """Check that the verdict ignores the completion's index, tokens, finish reason and log-probabilities."""
        for text in (good, bad):
            other = Completion(prompt.id, 7, text, (1, 2), (3, 4), "length", (-9.0, -9.0))
            assert _outcome(verifier.check(prompt, other)) == _outcome(_check(verifier, prompt, text))

    def test_empty_reference_never_passes(
        self, verifier: Verifier, prompt: Prompt, good: str, bad: str
    ) -> None:
        """Check that no completion passes without a reference: the prompt is rejected, or the completion fails.

        If `prompt` has none, the verifier needs none; then only `bad` must fail.
        """
        bare = replace(prompt, reference={})
        try:
            verifier.check_prompt(bare)
        except DataError:
            assert prompt.reference, "the verifier rejects its own prompt"
            return
        for text in (good, bad) if prompt.reference else (bad,):
            assert _check(verifier, bare, text).status is not Status.PASS

    def test_known_answers_can_be_used(self, verifier: Verifier, prompt: Prompt) -> None:
        """Check that references, mutants, copied answers and attacks are lists, and the fingerprint a text."""
        name = prompt.verifier or "tested"
        verifiers = VerifierSet({name: verifier})
        verifiers.check_prompts([prompt])
        verifiers.answers("mutants", prompt)
        verifiers.answers("copied_answers", prompt)
        verifiers.attacks(name)
        verifiers.fingerprints()

    def test_fingerprint_is_stable_and_options_round_trip(self, verifier: Verifier) -> None:
        """Check that a verifier rebuilt from its options has the same fingerprint."""
        rebuilt = build(type(verifier), asdict(verifier), where="verifier")  # type: ignore[call-overload]
        assert rebuilt.fingerprint() == verifier.fingerprint()

    def test_leaves_the_working_directory_alone(self, verifier: Verifier, prompt: Prompt, good: str) -> None:
        """Check that the verifier leaves no files in the working directory."""
        before = sorted(Path.cwd().iterdir())
        _check(verifier, prompt, good)
        assert sorted(Path.cwd().iterdir()) == before


class LRPolicyContract(ABC):
    """Tests of the contract of `halo_core.drivers.LRPolicy`. Subclass it and define the fixture."""

    @pytest.fixture
    @abstractmethod
    def policy(self) -> LRPolicy:
        """The policy to test."""

    def test_learning_rates_are_positive_and_finite(self, policy: LRPolicy) -> None:
        """Check every cycle of a run of 100."""
        for cycle in range(1, 101):
            lr = policy.lr(cycle=cycle, cycles=100, history=())
            assert math.isfinite(lr)
            assert lr > 0

    def test_is_a_function_of_its_arguments(self, policy: LRPolicy) -> None:
        """Check that the order of the calls does not matter: a resumed run starts with a later cycle."""
        forward = [policy.lr(cycle=c, cycles=10, history=()) for c in range(1, 11)]
        backward = [policy.lr(cycle=c, cycles=10, history=()) for c in range(10, 0, -1)]
        assert forward == backward[::-1]

    def test_takes_any_history(self, policy: LRPolicy) -> None:
        """Check histories without training, without any cycle, and with any trend of the pass rate."""
        for pass_rates in ([], [0.5] * 5, [0.1, 0.2, 0.4, 0.6, 0.9], [0.9, 0.6, 0.3, 0.1, 0.0]):
            history = [
                CycleReport(cycle=cycle, heldout=make_metrics(passed))
                for cycle, passed in enumerate(pass_rates)
            ]
            lr = policy.lr(cycle=max(1, len(history)), cycles=10, history=history)
            assert math.isfinite(lr)
            assert lr > 0


def _check(verifier: Verifier, prompt: Prompt, text: str) -> Verdict:
    """Return the verdict on `text`, and check what every verdict must satisfy."""
    verdict = verifier.check(prompt, Completion(prompt.id, 0, text))
    assert isinstance(verdict, Verdict)
    assert isinstance(verdict.status, Status)
    assert isinstance(verdict.stage, Stage)
    assert 0.0 <= verdict.score <= 1.0
    assert verdict.cpu_seconds >= 0
    assert verdict.wall_seconds >= 0
    if verdict.status is Status.PASS:
        assert verdict.stage is Stage.CORRECT, "a pass must have stage CORRECT"
    if verdict.status is Status.FAIL:
        assert verdict.stage is not Stage.CORRECT, "a fail must not have stage CORRECT"
    return verdict


def _outcome(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.stage, verdict.score, verdict.warnings
