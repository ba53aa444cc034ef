"""The contract of a domain's demo, as a test class to subclass."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest

from halo_core.config.kinds import driver_sections
from halo_core.config.options import build
from halo_core.config.schema import RunConfig, read_config
from halo_core.data import load_prompts
from halo_core.demo.build import Corpus
from halo_core.drivers.base import Demo, Verifier
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext
from halo_core.plugin.discovery import load
from halo_core.types import Completion, Prompt, Sample, SamplingRequest, Status

_PARAMETERS = 1_000_000
_BYTES = 3_000_000
_PAIRS = 2000
"""Pairs in the corpus of the tests: enough for every family of tasks, and quick to build."""
_SAMPLES = 32
_MIN_ENDED = 0.9
_THREADS = 4


class DemoContract(ABC):
    """Tests that every demo must pass. Subclass it and set the attributes.

        class TestDemo(DemoContract):
            verifier = Roman()
            make = staticmethod(make_corpus)
            initial_pass_rate = (0.2, 0.6)

    These are attributes, not fixtures, so that the demo is loaded, rebuilt and sampled only once for all tests of the
    class. The fixtures `demo`, `corpus`, `actor` and `sampled` provide the results to further tests.
    """

    verifier: ClassVar[Verifier]
    """The verifier that ships the demo."""
    initial_pass_rate: ClassVar[tuple[float, float]]
    """Minimum and maximum pass rate of the untrained model on held-out prompts. Leave room for noise: 32 completions
    are sampled, so two standard errors are up to 0.18."""
    checked_prompts: ClassVar[int] = 24
    """Number of prompts whose references and mutants are verified, drawn from all prompts."""
    min_mutants: ClassVar[int] = 1
    """Minimum number of mutants of each of these prompts."""
    lucky_mutants: ClassVar[float] = 0.0
    """Share of the mutants that may pass because they happen to be right."""

    @staticmethod
    @abstractmethod
    def make(args: Namespace) -> Corpus:
        """Return the corpus, as for `halo_core.demo.build.main`. `args`: `prompts`, `heldout`, `pairs` and `seed`."""

    @pytest.fixture
    def demo(self) -> Demo:
        """The shipped demo."""
        return _demo(type(self))

    @pytest.fixture
    def corpus(self) -> Corpus:
        """The corpus of the demo, with 2000 pairs."""
        return _corpus(type(self))

    @pytest.fixture
    def actor(self) -> Actor:
        """The demo's model."""
        return _actor(type(self))

    @pytest.fixture
    def sampled(self, actor: Actor) -> Sequence[Sample]:
        """32 held-out completions of the untrained model with their verdicts, sampled as in a run."""
        return _sampled(type(self))

    # The prompts

    def test_verifier_accepts_every_prompt(self, demo: Demo) -> None:
        """Check that there are prompts of both kinds and that the verifier accepts them."""
        assert demo.prompts, "there are no training prompts"
        assert demo.heldout, "there are no held-out prompts"
        for prompt in _all(demo):
            self.verifier.check_prompt(prompt)

    def test_prompts_are_distinct(self, demo: Demo) -> None:
        """Check that no two prompts share an id or a text; so no held-out prompt is trained on or counted twice."""
        for key in (_id, _content):
            seen: dict[str, Prompt] = {}
            for prompt in _all(demo):
                twin = seen.setdefault(key(prompt), prompt)
                assert twin is prompt, f"{prompt.id!r} and {twin.id!r} are the same prompt"

    def test_training_and_held_out_families_are_the_same(self, demo: Demo) -> None:
        """Check that held-out prompts are other tasks of the families that are trained on."""
        trained, heldout = ({p.meta.get("family") for p in each} for each in (demo.prompts, demo.heldout))
        assert heldout == trained

    def test_references_pass_and_mutants_fail(self, demo: Demo) -> None:
        """Check that references pass without a warning, and that mutants fail."""
        prompts = _draw(_all(demo), self.checked_prompts)
        references = [(prompt, text) for prompt in prompts for text in self.verifier.references(prompt)]
        for sample in _verify(self.verifier, references):
            verdict = sample.verdict
            assert (verdict.status, verdict.warnings) == (Status.PASS, 0), _described(sample)
        mutants = [(prompt, self.verifier.mutants(prompt)) for prompt in prompts]
        for prompt, texts in mutants:
            assert len(texts) >= self.min_mutants, f"{prompt.id!r} has {len(texts)} mutants"
        samples = _verify(self.verifier, [(prompt, text) for prompt, texts in mutants for text in texts])
        not_failed = [sample for sample in samples if sample.verdict.status is not Status.FAIL]
        assert len(not_failed) <= self.lucky_mutants * len(samples), "\n".join(map(_described, not_failed))

    # The model

    def test_demo_is_small(self, demo: Demo, actor: Actor) -> None:
        """Check that the model has less than a million parameters, and that all files of the demo are below 3 MB."""
        assert sum(weight.numel() for weight in actor.model.parameters()) < _PARAMETERS
        files = [path for path in demo.model.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert sum(path.stat().st_size for path in files) < _BYTES

    def test_settings_are_valid(self, demo: Demo) -> None:
        """Check that the settings are options of a run and of its drivers, with valid values."""
        config = _config(demo)
        for kind in driver_sections():
            _driver(config, kind)

    def test_prompts_and_answers_fit_into_the_context(self, demo: Demo, actor: Actor) -> None:
        """Check that the context has room for `max_new_tokens`, and that they suffice for a reference."""
        max_new_tokens = _driver(_config(demo), "generator").max_new_tokens
        for prompt in _all(demo):
            assert len(actor.encode(prompt)) + max_new_tokens <= (actor.context_length or 0), prompt.text
            references = self.verifier.references(prompt)
            assert references, f"{prompt.id!r} has no reference"
            shortest = min(_tokens(actor, text) for text in references)
            assert shortest <= max_new_tokens, f"the reference of {prompt.id!r} has {shortest} tokens"

    def test_model_passes_sometimes_and_ends_its_completions(self, sampled: Sequence[Sample]) -> None:
        """Check that the untrained model passes often enough to learn, and fails often enough to improve."""
        low, high = self.initial_pass_rate
        assert 0 < low < high < 1, "a model that never or always passes learns nothing"
        assert all(sample.verdict.status is not Status.ERROR for sample in sampled)
        ended = [sample.completion.finish_reason == "stop" for sample in sampled]
        assert _share(ended) >= _MIN_ENDED, "too many completions reach the token limit"
        pass_rate = _share(sample.verdict.status is Status.PASS for sample in sampled)
        assert low <= pass_rate <= high, f"the pass rate is {pass_rate:.0%}"

    # Its origin

    def test_prompts_are_reproducible(self, demo: Demo, corpus: Corpus, tmp_path: Path) -> None:
        """Check that `make` returns the shipped prompts."""
        for rows, shipped in ((corpus.prompts, demo.prompts), (corpus.heldout, demo.heldout)):
            assert tuple(_loaded(rows, tmp_path / "rows.jsonl")) == shipped

    def test_pairs_are_reproducible(self, corpus: Corpus) -> None:
        """Check that the pairs depend on the seed alone."""
        assert _make(type(self), prompts=2, heldout=2).pairs == corpus.pairs

    def test_no_held_out_prompt_is_in_the_corpus(self, demo: Demo, corpus: Corpus) -> None:
        """Check that the model was not trained on held-out prompts."""
        unseen = {_content(prompt) for prompt in demo.heldout}
        assert unseen.isdisjoint(_plain(pair.prompt) for pair in corpus.pairs)


# Computed once per class


@cache
def _demo(contract: type[DemoContract]) -> Demo:
    demo = contract.verifier.demo()
    assert demo is not None, f"{contract.verifier!r} ships no demo"
    return demo


@cache
def _corpus(contract: type[DemoContract]) -> Corpus:
    demo = _demo(contract)
    return _make(contract, prompts=len(demo.prompts), heldout=len(demo.heldout))


@cache
def _actor(contract: type[DemoContract]) -> Actor:
    demo = _demo(contract)
    return Actor(replace(_config(demo).model, name=str(demo.model), device="cpu"))


@cache
def _sampled(contract: type[DemoContract]) -> Sequence[Sample]:
    demo = _demo(contract)
    prompts = _draw(demo.heldout, _SAMPLES)
    request = SamplingRequest(
        cycle=0, split="heldout", prompts=prompts, samples_per_prompt=max(1, _SAMPLES // len(prompts)), seed=0
    )
    generator = _driver(_config(demo), "generator")
    batches = generator.generate(request, SamplingContext(actor=_actor(contract)))
    by_id = {prompt.id: prompt for prompt in prompts}
    return _verify(contract.verifier, [(by_id[each.prompt_id], each) for batch in batches for each in batch])


def _make(contract: type[DemoContract], **numbers: int) -> Corpus:
    return contract.make(Namespace(pairs=_PAIRS, seed=0, **numbers))


# Helpers


def _config(demo: Demo) -> RunConfig:
    return read_config({"verifier": ["demo"], **demo.settings}, where="the demo's settings")


def _driver(config: RunConfig, kind: str) -> Any:
    spec = getattr(config, kind)
    return build(load(kind, spec.name).value, spec.options, where=f"the demo's settings: {kind}")


def _verify(verifier: Verifier, answers: Sequence[tuple[Prompt, str | Completion]]) -> list[Sample]:
    def verify(answer: tuple[Prompt, str | Completion]) -> Sample:
        prompt, given = answer
        completion = given if isinstance(given, Completion) else Completion(prompt.id, 0, given)
        return Sample(prompt, completion, verifier.check(prompt, completion))

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(verify, answers))


def _loaded(rows: Iterable[Mapping[str, Any]], path: Path) -> list[Prompt]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_prompts(path)


def _all(demo: Demo) -> tuple[Prompt, ...]:
    return (*demo.prompts, *demo.heldout)


def _draw(prompts: Sequence[Prompt], count: int) -> tuple[Prompt, ...]:
    """Return `count` of the prompts, always the same.

    They are drawn at random because the order of the prompts cycles through the families: every n-th one would miss
    some.
    """
    return tuple(random.Random(0).sample(prompts, min(count, len(prompts))))


def _tokens(actor: Actor, text: str) -> int:
    """Return the number of tokens of a completion, including the end token."""
    return len(actor.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1


def _share(values: Iterable[bool]) -> float:
    flags = list(values)
    return sum(flags) / len(flags)


def _id(prompt: Prompt) -> str:
    return prompt.id


def _content(prompt: Prompt) -> str:
    return _plain(prompt.text or json.dumps([dict(message) for message in prompt.messages]))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _described(sample: Sample) -> str:
    verdict = sample.verdict
    return f"{sample.prompt.text}\n{sample.completion.text}\n{verdict.status} {verdict.detail}"
