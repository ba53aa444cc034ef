"""The contract of generators, as a test class to subclass."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from halo_core.config.options import build
from halo_core.drivers.base import Generator
from halo_core.plugin.validation import flaw_of_completion
from halo_core.run.open_generator import OpenGenerator
from halo_core.run.sampler_check import check_sampler
from halo_core.testing.tiny import tiny_actor
from halo_core.types import Completion, Prompt, Sample, SamplingRequest, Stage, Status, Verdict

if TYPE_CHECKING:
    from halo_core.model.actor import Actor

Batches = list[list[Completion]]


class GeneratorContract(ABC):
    """Tests of the contract of `halo_core.drivers.Generator`. Subclass it and define the fixtures.

    The options of the generator must be such that it samples: at a temperature of about 1, and in several batches for
    `prompts`.
    """

    follows_weights: ClassVar[bool] = True
    """False for a generator that samples from another model than the actor, such as a teacher."""
    reproducible: ClassVar[bool] = True
    """False for an engine whose completions differ between two equal requests. An interrupted run is then not
    continued with the same completions."""

    @pytest.fixture
    @abstractmethod
    def generator(self) -> Generator:
        """The generator to test."""

    @pytest.fixture
    def actor(self) -> Actor:
        """The actor whose weights the generator samples with; the tests change and reset its weights."""
        return tiny_actor()

    @pytest.fixture
    def prompts(self) -> tuple[Prompt, ...]:
        """Prompts that the actor can encode."""
        texts = ("Add 1 and 2.", "Print 3.", "Count 1, 2 and 3 aloud.", "Write a program.")
        return tuple(Prompt(f"p{number}", text) for number, text in enumerate(texts))

    @pytest.fixture
    def request_(self, prompts: tuple[Prompt, ...]) -> SamplingRequest:
        """A request of two completions of each prompt, with untrained weights."""
        return SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=4, seed=11)

    def test_preflight_passes_here(self, generator: Generator) -> None:
        """Check that the test machine has what the generator needs."""
        generator.preflight()

    def test_every_prompt_gets_its_samples(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check that the completions of each prompt are numbered from 0, and that every field can be used."""
        completions = _flat(_sampled(generator, actor, request_))
        numbers = Counter((completion.prompt_id, completion.index) for completion in completions)
        assert numbers == Counter(
            (prompt.id, index) for prompt in request_.prompts for index in range(request_.samples_per_prompt)
        )

    def test_texts_and_tokens_agree(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check that token ids belong to prompt and text; without any, halo tokenizes the text."""
        for completion in _flat(_sampled(generator, actor, request_)):
            if not completion.token_ids:
                continue
            assert completion.prompt_token_ids, "token ids without those of the prompt"
            decoded = actor.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
            assert decoded == completion.text
            if completion.logprobs is not None:
                assert max(completion.logprobs) < 1e-3, "not log-probabilities"

    def test_samples_are_drawn(self, generator: Generator, actor: Actor, request_: SamplingRequest) -> None:
        """Check that completions of one prompt differ, and that another seed gives other completions."""
        one = _texts(_sampled(generator, actor, request_))
        other = _texts(_sampled(generator, actor, replace(request_, seed=12)))
        assert any(len(set(texts)) > 1 for texts in one.values()), "all completions of a prompt are equal"
        assert one != other, "the seed has no effect"

    def test_the_same_request_gives_the_same_batches(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check that the batches depend on the request alone: not on earlier requests, nor on the cycle and split."""
        first = _sampled(generator, actor, request_)
        assert self._same(_sampled(generator, actor, request_), first)
        with closing(OpenGenerator(generator, actor)) as opened:
            for request in (replace(request_, seed=12), request_):
                last = _batches(opened, request)
        assert self._same(last, first), "an earlier request has an effect"
        assert self._same(_sampled(generator, actor, replace(request_, cycle=2, split="heldout")), first)

    def test_a_request_resumes_after_the_stored_batches(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check that a request starts after its first `done` batches and gives the same as an uninterrupted one."""
        batches = _sampled(generator, actor, request_)
        assert len(batches) > 1, "test the generator with an option that gives several batches"
        for done in range(1, len(batches) + 1):
            assert self._same(_sampled(generator, actor, replace(request_, done=done)), batches[done:])

    def test_log_probabilities_are_those_of_the_actor(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check the sampler as a run does: log p at temperature 1, from the actor's weights.

        A generator may record none: halo then cannot check its weights.
        """
        completions = _flat(_sampled(generator, actor, request_))
        recorded = {completion.logprobs is not None for completion in completions}
        assert len(recorded) == 1, "only some completions have log-probabilities"
        if self.follows_weights and recorded == {True}:
            check_sampler(actor, _samples(completions), precision=generator.precision())

    def test_follows_the_weights(
        self, generator: Generator, actor: Actor, request_: SamplingRequest, tmp_path: Path
    ) -> None:
        """Check that trained weights change the completions, and that untrained ones restore them.

        A generator that samples from another model must give the same completions with both.
        """
        trained = _trained(actor, request_, tmp_path / "weights")
        with closing(OpenGenerator(generator, actor)) as opened:
            actor.reset()
            before = _batches(opened, request_)
            actor.load(tmp_path / "weights")
            after = _batches(opened, trained)
            again = _batches(opened, trained)
            actor.reset()
            restored = _batches(opened, request_)
        assert self._same(again, after)
        assert self._same(restored, before)
        if not self.follows_weights:
            assert self._same(after, before), "the generator samples with the trained weights"
            return
        assert _texts(after) != _texts(before), "the generator does not sample with the trained weights"
        assert _texts(restored) != _texts(after), "the generator does not go back to the untrained weights"

    def test_a_resumed_run_samples_with_the_same_weights(
        self, generator: Generator, actor: Actor, request_: SamplingRequest, tmp_path: Path
    ) -> None:
        """Check that a generator that is opened again samples with the weights of its first request."""
        trained = _trained(actor, request_, tmp_path / "weights")
        with_trained = _sampled(generator, actor, trained)
        actor.reset()
        untrained = _sampled(generator, actor, request_)
        assert _texts(untrained) != _texts(with_trained) or not self.follows_weights
        actor.load(tmp_path / "weights")
        assert self._same(_sampled(generator, actor, trained), with_trained)

    def test_an_unfinished_request_can_be_closed(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check that the generator can be closed after one batch, and opened and used again."""
        opened = OpenGenerator(generator, actor)
        first = list(next(opened.generate(request_)))
        opened.close()
        assert self._same(_sampled(generator, actor, request_)[:1], [first])

    def test_leaves_nothing_behind(
        self, generator: Generator, actor: Actor, request_: SamplingRequest
    ) -> None:
        """Check threads, child processes, working directory, the actor's weights and torch's random state."""
        import torch

        _ = actor.model
        state, weights = torch.get_rng_state(), _weights(actor)
        before = _traces()
        _sampled(generator, actor, request_)
        assert not _traces() - before, "close leaves these behind"
        assert torch.equal(torch.get_rng_state(), state), "sampling changes torch's global random state"
        assert _weights(actor) == weights, "sampling changes the actor's weights"

    def test_options_round_trip(self, generator: Generator, actor: Actor, request_: SamplingRequest) -> None:
        """Check that a generator rebuilt from its options gives the same completions."""
        rebuilt = build(type(generator), asdict(generator), where="generator")  # type: ignore[call-overload]
        assert rebuilt == generator
        assert self._same(_sampled(rebuilt, actor, request_), _sampled(generator, actor, request_))

    def _same(self, one: Batches, other: Batches) -> bool:
        """Return whether batches are equal; of an engine that is not reproducible, whether their numbers are."""
        return one == other or (not self.reproducible and _numbers(one) == _numbers(other))


def _batches(opened: OpenGenerator, request: SamplingRequest) -> Batches:
    """Return the batches of a request, and check what every completion must satisfy."""
    batches = [list(batch) for batch in opened.generate(request)]
    for completion in _flat(batches):
        assert isinstance(completion, Completion)
        assert not flaw_of_completion(completion), flaw_of_completion(completion)
    return batches


def _sampled(generator: Generator, actor: Actor, request: SamplingRequest) -> Batches:
    with closing(OpenGenerator(generator, actor)) as opened:
        return _batches(opened, request)


def _flat(batches: Batches) -> list[Completion]:
    return [completion for batch in batches for completion in batch]


def _texts(batches: Batches) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for completion in sorted(_flat(batches), key=lambda it: (it.prompt_id, it.index)):
        found.setdefault(completion.prompt_id, []).append(completion.text)
    return found


def _numbers(batches: Batches) -> list[list[tuple[str, int]]]:
    return [[(completion.prompt_id, completion.index) for completion in batch] for batch in batches]


def _samples(completions: Sequence[Completion]) -> list[Sample]:
    verdict = Verdict(Status.PASS, Stage.CORRECT)
    return [Sample(Prompt(completion.prompt_id), completion, verdict) for completion in completions]


def _trained(actor: Actor, request: SamplingRequest, directory: Path) -> SamplingRequest:
    """Add an adapter with random weights to the actor, save it, and return `request` with these weights."""
    import torch

    directory.mkdir()
    actor.add_lora(rank=4, alpha=8.0, dropout=0.0, seed=3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    actor.save(directory)
    return replace(request, adapter=directory.resolve(), weights_hash=actor.weights_hash())


def _weights(actor: Actor) -> str:
    from halo_core.model.weights import tensors_hash

    return tensors_hash(dict(actor.model.named_parameters()))


def _traces() -> set[str]:
    """Return the threads, the child processes, and the files in the working directory."""
    threads = {f"thread {thread.name} {thread.ident}" for thread in threading.enumerate()}
    children: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended meanwhile
            children |= {f"process {child}" for child in (task / "children").read_text().split()}
    return threads | children | {f"file {path}" for path in Path.cwd().iterdir()}
