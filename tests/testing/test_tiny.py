"""The tiny model and the samples for it."""

from __future__ import annotations

from pathlib import Path

from halo_core.drivers.transformers import Transformers
from halo_core.model.contexts import SamplingContext
from halo_core.testing import make_samples, tiny_actor
from halo_core.types import Prompt, SamplingRequest, Status


def test_the_tiny_actor_is_a_real_model() -> None:
    actor = tiny_actor()
    assert type(actor.model).__name__ == "LlamaForCausalLM"
    assert 4_000 < sum(weight.numel() for weight in actor.model.parameters()) < 8_000
    assert actor.context_length == 256
    assert actor.end_ids == (0,)
    context = actor.encode(Prompt("p", "hi"))
    assert actor.tokenizer.decode(context) == "[user] hi\n[assistant] "


def test_equal_seeds_give_equal_weights() -> None:
    completions = [sample.completion for sample in make_samples({"p": [1.0, 0.0]})]
    first, again, other = (tiny_actor(seed).logprobs(completions) for seed in (0, 0, 1))
    assert first == again != other


def test_the_tiny_actor_samples_and_returns_to_its_initial_weights(tmp_path: Path) -> None:
    actor = tiny_actor()
    request = SamplingRequest(
        cycle=1, split="train", prompts=(Prompt("p", "hi"),), samples_per_prompt=3, seed=0
    )
    generator = Transformers(temperature=1.0, top_p=1.0, max_new_tokens=5)
    (batch,) = generator.generate(request, SamplingContext(actor=actor))
    assert [len(completion.token_ids) <= 5 for completion in batch] == [True] * 3
    before = actor.logprobs(batch)
    actor.train_all()
    next(iter(actor.trainable().values())).data.add_(0.1)
    actor.save(tmp_path)
    actor.reset()
    assert actor.logprobs(batch) == before


def test_samples_have_what_selectors_and_trainers_read() -> None:
    samples = make_samples({"p": [1.0, 0.5], "q": [0.0]})
    assert [(s.prompt.id, s.completion.index, s.reward) for s in samples] == [
        ("p", 0, 1.0),
        ("p", 1, 0.5),
        ("q", 0, 0.0),
    ]
    assert [s.verdict.status for s in samples] == [Status.PASS, Status.FAIL, Status.FAIL]
    assert samples[0].completion.prompt_token_ids == samples[1].completion.prompt_token_ids
    for completion in (s.completion for s in samples):
        assert completion.token_ids[-1] == 0
        assert len(completion.logprobs or ()) == len(completion.token_ids)
    assert make_samples({"p": [1.0, 0.5], "q": [0.0]}) == samples != make_samples({"p": [1.0, 0.5]}, seed=1)
