"""What any domain's demo must hold to, as a test class to subclass."""

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
"""Pairs that the corpus is made with: enough for every family of tasks, and soon made."""
_SAMPLES = 32
_ENDED = 0.9
_THREADS = 4


class DemoContract(ABC):
    """Subclass, say whose demo it is and how it was made, and pytest checks what every demo must hold to.

        class TestDemo(DemoContract):
            verifier = Roman()
            make = staticmethod(make_corpus)
            start = (0.2, 0.6)

    These are attributes, not fixtures: the demo is loaded, made anew and sampled from once for all tests of
    the class. The fixtures `demo`, `corpus`, `actor` and `sampled` give the result to further tests.
    """

    verifier: ClassVar[Verifier]
    """Whose demo it is."""
    start: ClassVar[tuple[float, float]]
    """Between which shares of the held-out prompts the model answers rightly before any training. Leave room
    for luck: 32 completions are sampled, so two standard errors are up to 0.18."""
    judged: ClassVar[int] = 24
    """Prompts, drawn from all of them, whose references and mutants are judged."""
    fewest_mutants: ClassVar[int] = 1
    """The fewest mutants that one of these has."""
    lucky: ClassVar[float] = 0.0
    """Share of the mutants that may pass, being right after all."""

    @staticmethod
    @abstractmethod
    def make(args: Namespace) -> Corpus:
        """Return the corpus, as for `halo_core.demo.build.main`. `args`: `prompts`, `heldout`, `pairs` and `seed`."""

    @pytest.fixture
    def demo(self) -> Demo:
        """What ships."""
        return _demo(type(self))

    @pytest.fixture
    def corpus(self) -> Corpus:
        """What it is made of, with 2000 pairs."""
        return _corpus(type(self))

    @pytest.fixture
    def actor(self) -> Actor:
        """The demo's model."""
        pytest.importorskip("torch")
        return _actor(type(self))

    @pytest.fixture
    def sampled(self, actor: Actor) -> Sequence[Sample]:
        """What the model answers, untrained, to 32 held-out prompts: sampled as in a run, and judged."""
        return _sampled(type(self))

    # The prompts

    def test_every_prompt_can_be_judged(self, demo: Demo) -> None:
        """The verifier takes them all."""
        assert demo.prompts, "there is nothing to train on"
        assert demo.heldout, "there is nothing to measure on"
        for prompt in _all(demo):
            self.verifier.check_prompt(prompt)

    def test_no_prompt_is_there_twice(self, demo: Demo) -> None:
        """Neither by its id nor by what it says: what is measured on is not trained on, nor counted twice."""
        for key in (_id, _content):
            seen: dict[str, Prompt] = {}
            for prompt in _all(demo):
                twin = seen.setdefault(key(prompt), prompt)
                assert twin is prompt, f"{prompt.id!r} and {twin.id!r} are one prompt"

    def test_the_families_that_are_held_out_are_those_that_are_trained_on(self, demo: Demo) -> None:
        """What is measured is what is learnt, on other tasks."""
        trained, heldout = ({p.meta.get("family") for p in each} for each in (demo.prompts, demo.heldout))
        assert heldout == trained

    def test_references_pass_and_mutants_do_not(self, demo: Demo) -> None:
        """What is known to be right is right, without a warning, and each prompt can tell what is nearly so."""
        prompts = _some(_all(demo), self.judged)
        right = [(prompt, text) for prompt in prompts for text in self.verifier.references(prompt)]
        for sample in _judge(self.verifier, right):
            verdict = sample.verdict
            assert (verdict.status, verdict.warnings) == (Status.PASS, 0), _shown(sample)
        wrong = [(prompt, self.verifier.mutants(prompt)) for prompt in prompts]
        for prompt, texts in wrong:
            assert len(texts) >= self.fewest_mutants, f"{prompt.id!r} has {len(texts)} mutants"
        tried = _judge(self.verifier, [(prompt, text) for prompt, texts in wrong for text in texts])
        passed = [sample for sample in tried if sample.verdict.status is not Status.FAIL]
        assert len(passed) <= self.lucky * len(tried), "\n".join(map(_shown, passed))

    # The model

    def test_what_ships_is_small(self, demo: Demo, actor: Actor) -> None:
        """Under a million parameters, and 3 MB with all that lies beside the model."""
        assert sum(weight.numel() for weight in actor.model.parameters()) < _PARAMETERS
        files = [path for path in demo.model.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert sum(path.stat().st_size for path in files) < _BYTES

    def test_settings_are_options_that_there_are(self, demo: Demo) -> None:
        """Of the run, and of the drivers that they are for."""
        config = _config(demo)
        for kind in driver_sections():
            _driver(config, kind)

    def test_prompts_and_answers_fit_into_the_context(self, demo: Demo, actor: Actor) -> None:
        """No completion is cut for want of room; each prompt has a reference that can be written out."""
        longest = _driver(_config(demo), "generator").max_new_tokens
        for prompt in _all(demo):
            assert len(actor.encode(prompt)) + longest <= (actor.context_length or 0), prompt.text
            references = self.verifier.references(prompt)
            assert references, f"{prompt.id!r} has no reference"
            shortest = min(_tokens(actor, text) for text in references)
            assert shortest <= longest, f"{prompt.id!r} takes {shortest} tokens to answer"

    def test_the_model_half_knows_and_comes_to_an_end(self, sampled: Sequence[Sample]) -> None:
        """It is right often enough to have something to learn from, and wrong often enough to have to."""
        least, most = self.start
        assert 0 < least < most < 1, "a model that never passes, or always, learns nothing"
        assert all(sample.verdict.status is not Status.ERROR for sample in sampled)
        ended = [sample.completion.finish_reason == "stop" for sample in sampled]
        assert _share(ended) >= _ENDED, "completions run on to their limit"
        passed = _share(sample.verdict.status is Status.PASS for sample in sampled)
        assert least <= passed <= most, f"{passed:.0%} of the answers are right"

    # How it was made

    def test_prompts_are_those_that_are_made(self, demo: Demo, corpus: Corpus, tmp_path: Path) -> None:
        """Whoever makes the demo anew gets the same."""
        for rows, shipped in ((corpus.prompts, demo.prompts), (corpus.heldout, demo.heldout)):
            assert tuple(_loaded(rows, tmp_path / "rows.jsonl")) == shipped

    def test_what_the_model_learnt_from_is_made_again(self, corpus: Corpus) -> None:
        """Nothing but the seed is drawn by."""
        assert _made(type(self), prompts=2, heldout=2).pairs == corpus.pairs

    def test_no_held_out_prompt_is_taught(self, demo: Demo, corpus: Corpus) -> None:
        """The model begins without having seen what it is measured on."""
        unseen = {_content(prompt) for prompt in demo.heldout}
        assert unseen.isdisjoint(_plain(pair.prompt) for pair in corpus.pairs)


# Made once for each class


@cache
def _demo(contract: type[DemoContract]) -> Demo:
    demo = contract.verifier.demo()
    assert demo is not None, f"{contract.verifier!r} ships no demo"
    return demo


@cache
def _corpus(contract: type[DemoContract]) -> Corpus:
    demo = _demo(contract)
    return _made(contract, prompts=len(demo.prompts), heldout=len(demo.heldout))


@cache
def _actor(contract: type[DemoContract]) -> Actor:
    demo = _demo(contract)
    return Actor(replace(_config(demo).model, name=str(demo.model), device="cpu"))


@cache
def _sampled(contract: type[DemoContract]) -> Sequence[Sample]:
    demo = _demo(contract)
    prompts = _some(demo.heldout, _SAMPLES)
    asked = SamplingRequest(
        cycle=0, split="heldout", prompts=prompts, samples_per_prompt=max(1, _SAMPLES // len(prompts)), seed=0
    )
    generator = _driver(_config(demo), "generator")
    completions = [
        each for batch in generator.generate(asked, SamplingContext(actor=_actor(contract))) for each in batch
    ]
    by_id = {prompt.id: prompt for prompt in prompts}
    return _judge(contract.verifier, [(by_id[each.prompt_id], each) for each in completions])


def _made(contract: type[DemoContract], **numbers: int) -> Corpus:
    return contract.make(Namespace(pairs=_PAIRS, seed=0, **numbers))


# Helpers


def _config(demo: Demo) -> RunConfig:
    return read_config({"verifier": ["demo"], **demo.settings}, where="the demo's settings")


def _driver(config: RunConfig, kind: str) -> Any:
    spec = getattr(config, kind)
    return build(load(kind, spec.name).value, spec.options, where=f"the demo's settings: {kind}")


def _judge(verifier: Verifier, answers: Sequence[tuple[Prompt, str | Completion]]) -> list[Sample]:
    def judge(answer: tuple[Prompt, str | Completion]) -> Sample:
        prompt, given = answer
        completion = given if isinstance(given, Completion) else Completion(prompt.id, 0, given)
        return Sample(prompt, completion, verifier.check(prompt, completion))

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(judge, answers))


def _loaded(rows: Iterable[Mapping[str, Any]], path: Path) -> list[Prompt]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_prompts(path)


def _all(demo: Demo) -> tuple[Prompt, ...]:
    return (*demo.prompts, *demo.heldout)


def _some(prompts: Sequence[Prompt], count: int) -> tuple[Prompt, ...]:
    """Draw `count` of the prompts, the same each time. Every n-th would miss families, which take turns."""
    return tuple(random.Random(0).sample(prompts, min(count, len(prompts))))


def _tokens(actor: Actor, text: str) -> int:
    """Return the length of a completion, its end included."""
    return len(actor.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1


def _share(held: Iterable[bool]) -> float:
    each = list(held)
    return sum(each) / len(each)


def _id(prompt: Prompt) -> str:
    return prompt.id


def _content(prompt: Prompt) -> str:
    return _plain(prompt.text or json.dumps([dict(message) for message in prompt.messages]))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _shown(sample: Sample) -> str:
    verdict = sample.verdict
    return f"{sample.prompt.text}\n{sample.completion.text}\n{verdict.status} {verdict.detail}"
