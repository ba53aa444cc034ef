"""Ctrl-C within a batch or an optimizer step: the model stops before its next layer, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from halo_core.drivers.sft import SFT
from halo_core.drivers.transformers import Transformers
from halo_core.errors import Interrupted
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.types import Prompt, Sample, SamplingRequest

Make = Callable[..., Actor]
REQUEST = SamplingRequest(
    cycle=1, split="train", prompts=(Prompt("p", "int main() {"),), samples_per_prompt=3, seed=1
)


class After:
    """Raises `Interrupted` at the call of this number."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            raise Interrupted("stop")


class Stored:
    """A checkpoint in a directory that is saved only at an interrupt."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.inputs_hash, self.due = directory, "", False

    def load(self, inputs_hash: str) -> Path | None:
        return self.directory if inputs_hash == self.inputs_hash else None

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        self.directory.mkdir()
        write(self.directory)
        self.inputs_hash = inputs_hash


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_sampling_stops_before_the_next_layer_and_can_be_repeated(make_actor: Make, kind: str) -> None:
    generator = Transformers(max_new_tokens=8)
    whole = list(generator.generate(REQUEST, SamplingContext(actor=make_actor(kind))))
    actor = make_actor(kind)
    _ = actor.cache_flaw  # computed once, with the model
    actor.interrupt = stop = After(5)
    with pytest.raises(Interrupted):
        list(generator.generate(REQUEST, SamplingContext(actor=actor)))
    assert stop.left == 0, "no layer was computed afterwards"
    actor.interrupt = lambda: None
    assert list(generator.generate(REQUEST, SamplingContext(actor=actor))) == whole


def test_progress_counts_the_tokens_of_a_batch(make_actor: Make) -> None:
    seen: list[tuple[float, int]] = []
    context = SamplingContext(actor=make_actor(), progress=lambda done, tokens: seen.append((done, tokens)))
    (batch,) = Transformers(max_new_tokens=32, temperature=0).generate(REQUEST, context)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert [tokens for _, tokens in seen] == sorted(tokens for _, tokens in seen)
    assert seen[0][1] == 3 * 8
    assert 0 < seen[0][0] < 3
    assert seen[-1][0] <= 3
    assert seen[-1][1] <= sum(len(each.token_ids) for each in batch)


def trained(actor: Actor, samples: list[Sample], stored: Stored | None = None) -> dict[str, torch.Tensor]:
    context = TrainingContext(actor=actor, lr=1e-2, seed=3, checkpoint=stored)
    SFT(batch_size=2, batch_tokens=24, lora_dropout=0.2).train(samples, context)
    return {name: weight.detach().clone() for name, weight in actor.trainable().items()}


@pytest.mark.parametrize("number", [1, 2, 3, 10, 25, 40, 60])
def test_a_training_interrupted_within_a_step_gives_the_same_weights(
    make_actor: Make, samples: list[Sample], tmp_path: Path, number: int
) -> None:
    whole = trained(make_actor(), samples)
    stored, actor = Stored(tmp_path / "checkpoint"), make_actor()
    _ = actor.model
    counter = After(number)

    def stop() -> None:
        stored.due = counter.left == 1  # as in a run: a checkpoint is due once Ctrl-C was pressed
        counter()

    actor.interrupt = stop
    with pytest.raises(Interrupted):
        trained(actor, samples, stored)
    stored.due = False
    resumed = trained(make_actor(), samples, stored)
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
