"""Generator `transformers`: the same tokens as `generate` of transformers, in batches that can be resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from present import present
from transformers import PreTrainedConfig

from halo_core.drivers.transformers import Transformers
from halo_core.errors import DataError, ModelError
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext
from halo_core.model.decoding import decode
from halo_core.model.drawing import Sampling
from halo_core.types import Completion, Prompt, SamplingRequest

Make = Callable[..., Actor]
KINDS = ("llama", "gpt2", "qwen2")
PROMPTS = tuple(
    Prompt(f"p{number}", text)
    for number, text in enumerate(
        ("a", "Count 1, 2 and 3 aloud.", "int main() {", "adds two numbers 4 5 6 7")
    )
)
REQUEST = SamplingRequest(cycle=1, split="train", prompts=PROMPTS, samples_per_prompt=2, seed=11)


def sampled(actor: Actor, request: SamplingRequest = REQUEST, **options: Any) -> list[Completion]:
    generator = Transformers(**{"max_new_tokens": 24, **options})
    return [it for batch in generator.generate(request, SamplingContext(actor=actor)) for it in batch]


def by_hugging_face(actor: Actor, prompt: Sequence[int], new: int) -> list[int]:
    """Return the greedy continuation of one prompt, computed without a batch."""
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        out = actor.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=new,
            eos_token_id=list(actor.end_ids),
            pad_token_id=0,
        )
    continuation: list[int] = out[0, len(prompt) :].tolist()
    return continuation


def with_likely_end_tokens(actor: Actor) -> Actor:
    """Set likely tokens as the actor's end tokens, so that rows end at different steps."""
    first = by_hugging_face(actor, actor.encode(PROMPTS[1]), 9)
    second = by_hugging_face(actor, actor.encode(PROMPTS[2]), 4)
    actor.model.generation_config.eos_token_id = [first[-1], second[-1]]
    del actor.end_ids
    return actor


@pytest.mark.parametrize("adapted", [False, True], ids=["base", "adapter"])
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_batches_equal_transformers_one_by_one(
    kind: str, adapted: bool, make_actor: Make, disturb: Callable[..., Actor]
) -> None:
    actor = make_actor(kind)
    actor = with_likely_end_tokens(disturb(actor) if adapted else actor)
    got = sampled(actor, temperature=0.0, max_new_tokens=40)
    assert len({len(it.prompt_token_ids) for it in got}) == len(PROMPTS), "the batches contain padding"
    assert len({len(it.token_ids) for it in got}) > 1, "the rows end at different steps"
    for it in got:
        assert list(it.token_ids) == by_hugging_face(actor, it.prompt_token_ids, 40), it.prompt_id


@pytest.mark.parametrize("kind", KINDS)
def test_a_completion_does_not_depend_on_its_neighbours(kind: str, make_actor: Make) -> None:
    actor = make_actor(kind)
    together = {it.prompt_id: it.token_ids for it in sampled(actor, temperature=0.0)}
    for prompt in PROMPTS:
        alone = sampled(actor, replace(REQUEST, prompts=(prompt,), samples_per_prompt=1), temperature=0.0)
        assert alone[0].token_ids == together[prompt.id]


def test_token_ids_text_and_finish_reason(make_actor: Make) -> None:
    actor = with_likely_end_tokens(make_actor())
    got = sampled(actor, replace(REQUEST, samples_per_prompt=16), temperature=1.0)
    assert {it.finish_reason for it in got} == {"stop", "length"}
    for it in got:
        ended = it.token_ids[-1] in actor.end_ids
        assert (it.finish_reason == "stop") == ended
        assert ended or len(it.token_ids) == 24
        assert not set(it.token_ids[:-1]) & set(actor.end_ids)
        assert it.text == actor.tokenizer.decode(it.token_ids, skip_special_tokens=True)
        assert it.prompt_token_ids == actor.encode(next(p for p in PROMPTS if p.id == it.prompt_id))


def test_the_end_token_is_in_the_ids_and_not_in_the_text(make_actor: Make) -> None:
    actor = make_actor()
    end = actor.tokenizer.eos_token_id
    with torch.no_grad():  # by far the likeliest token
        actor.model.get_output_embeddings().weight[end] *= 4
    stopped = [it for it in sampled(actor, temperature=1.0) if it.finish_reason == "stop"]
    assert stopped
    assert all(it.token_ids[-1] == end for it in stopped)
    assert all(actor.tokenizer.eos_token not in it.text for it in stopped)


def test_a_model_without_an_end_token_samples_up_to_the_limit(make_actor: Make) -> None:
    actor = make_actor()
    actor.model.generation_config.eos_token_id = None
    actor.tokenizer.eos_token = None
    got = sampled(actor)
    assert {(len(it.token_ids), it.finish_reason) for it in got} == {(24, "length")}


@pytest.mark.parametrize("kind", KINDS)
def test_logprobs_are_those_of_the_actor_for_each_sampled_token(
    kind: str, make_actor: Make, disturb: Callable[..., Actor]
) -> None:
    actor = with_likely_end_tokens(disturb(make_actor(kind)))
    completions = sampled(actor, temperature=0.7, top_p=0.8, top_k=40)
    for it, from_actor in zip(completions, actor.logprobs(completions), strict=True):
        assert it.logprobs is not None
        assert len(it.logprobs) == len(it.token_ids)
        ids = torch.tensor([it.prompt_token_ids + it.token_ids])
        with torch.inference_mode():
            logp = actor.model(ids).logits[0, :-1].double().log_softmax(-1)
        wanted = logp.gather(1, ids[0, 1:, None]).squeeze(1)[len(it.prompt_token_ids) - 1 :]
        assert it.logprobs == pytest.approx(wanted.tolist(), abs=2e-4)
        assert it.logprobs == pytest.approx(from_actor, abs=2e-4)
        assert it.logprob == pytest.approx(wanted.sum().item(), abs=2e-3)


# Options


def test_sampling_options_reach_the_draw(make_actor: Make) -> None:
    actor = make_actor()
    greedy = [it.token_ids for it in sampled(actor, temperature=0.0)]
    assert [it.token_ids for it in sampled(actor, temperature=5.0, top_k=1)] == greedy
    assert [it.token_ids for it in sampled(actor, temperature=5.0, top_p=1e-6)] == greedy
    assert [it.token_ids for it in sampled(actor, temperature=5.0, min_p=1.0)] == greedy
    hot, cold = sampled(actor, temperature=5.0), sampled(actor, temperature=0.1)
    assert sum(present(it.logprob) for it in hot) < sum(present(it.logprob) for it in cold)


def test_samples_of_one_prompt_differ(make_actor: Make) -> None:
    got = sampled(make_actor(), temperature=1.0)
    assert len({(it.prompt_id, it.token_ids) for it in got}) == len(got)


# Batches


def batches_of(actor: Actor, request: SamplingRequest, **options: Any) -> list[list[Completion]]:
    generator = Transformers(**{"max_new_tokens": 8, "batch_tokens": 80, **options})
    return [list(batch) for batch in generator.generate(request, SamplingContext(actor=actor))]


def test_each_prompt_gets_its_samples(make_actor: Make) -> None:
    batches = batches_of(make_actor(), REQUEST)
    assert len(batches) == 3
    numbers = Counter((it.prompt_id, it.index) for batch in batches for it in batch)
    assert numbers == Counter((prompt.id, index) for prompt in PROMPTS for index in (0, 1))


def test_batches_respect_the_budget_and_group_similar_lengths(make_actor: Make) -> None:
    batches = batches_of(make_actor(), REQUEST)
    longest = [max(len(it.prompt_token_ids) + 8 for it in batch) for batch in batches]
    assert all(
        len(batch) == 1 or len(batch) * length <= 80 for batch, length in zip(batches, longest, strict=True)
    )
    assert longest == sorted(longest, reverse=True)


def test_the_same_request_gives_the_same_completions(make_actor: Make) -> None:
    one, other = make_actor(), make_actor()
    first = batches_of(one, REQUEST)
    torch.manual_seed(123)
    assert batches_of(one, REQUEST) == first == batches_of(other, REQUEST)
    assert batches_of(one, replace(REQUEST, seed=12)) != first


def test_sampling_does_not_change_the_global_random_state(make_actor: Make) -> None:
    actor = make_actor()
    _ = actor.model
    state = torch.get_rng_state()
    batches_of(actor, REQUEST)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_request_resumes_after_the_finished_batches(make_actor: Make) -> None:
    actor = make_actor()
    batches = batches_of(actor, REQUEST)
    for done in range(len(batches) + 1):
        assert batches_of(actor, replace(REQUEST, done=done)) == batches[done:]


def test_sampling_can_be_closed_early(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    actor = disturb(make_actor())
    before = {name: weight.detach().clone() for name, weight in actor.model.named_parameters()}
    batches = Transformers(max_new_tokens=4, batch_tokens=40).generate(REQUEST, SamplingContext(actor=actor))
    next(batches)
    assert isinstance(batches, Generator)
    batches.close()
    assert all(torch.equal(weight, before[name]) for name, weight in actor.model.named_parameters())


def test_sampling_with_an_adapter_changes_no_weight(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    actor = disturb(make_actor())
    before = {name: weight.detach().clone() for name, weight in actor.model.named_parameters()}
    with_adapter = batches_of(actor, REQUEST)
    assert all(torch.equal(weight, before[name]) for name, weight in actor.model.named_parameters())
    assert with_adapter != batches_of(make_actor(), REQUEST)
    assert with_adapter == batches_of(actor, REQUEST)


# The context


def test_a_prompt_longer_than_the_context_is_rejected_before_sampling(make_actor: Make) -> None:
    actor = make_actor()
    long = Prompt("long", "0 " * present(actor.context_length))
    with pytest.raises(DataError, match=r"'long' has .* tokens, but the model's context has 96") as caught:
        next(
            iter(
                Transformers().generate(
                    replace(REQUEST, prompts=(*PROMPTS, long)), SamplingContext(actor=actor)
                )
            )
        )
    assert caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_can_fill_the_context(kind: str, make_actor: Make) -> None:
    actor = make_actor(kind)
    actor.model.generation_config.eos_token_id = actor.tokenizer.eos_token = None
    long = Prompt("long", "0" * (present(actor.context_length) - 3))
    request = replace(REQUEST, prompts=(*PROMPTS, long), samples_per_prompt=1)
    got = sampled(actor, request, temperature=0.0, max_new_tokens=200)
    assert {len(it.prompt_token_ids) + len(it.token_ids) for it in got} == {actor.context_length}
    assert {it.finish_reason for it in got} == {"length"}
    limited = {it.prompt_id: len(it.token_ids) for it in sampled(actor, request, max_new_tokens=10)}
    assert limited == {prompt.id: 10 for prompt in PROMPTS} | {"long": 3}


def test_the_system_prompt_comes_first(make_actor: Make) -> None:
    request = replace(REQUEST, samples_per_prompt=1, prompts=PROMPTS[:1])
    for chat, wanted in ((True, "[system] Be brief.\n[user] a\n[assistant] "), (False, "Be brief.\n\na")):
        actor = make_actor(chat=chat)
        (got,) = sampled(actor, request, system="Be brief.")
        assert actor.tokenizer.decode(got.prompt_token_ids).endswith(wanted)


# Errors


def test_a_diverged_model_is_rejected(make_actor: Make) -> None:
    actor = make_actor()
    with torch.no_grad():
        actor.model.get_output_embeddings().weight.fill_(float("nan"))
    for temperature in (0.0, 1.0):
        with pytest.raises(ModelError, match="not finite"):
            sampled(actor, temperature=temperature)


def test_a_model_without_a_cache_is_rejected(make_actor: Make) -> None:
    class Bare(torch.nn.Module):
        config = PreTrainedConfig()

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return input_ids

    with pytest.raises(ModelError, match="accepts no cache"):
        decode(
            Bare(),
            [(1, 2)],
            sampling=Sampling(),
            max_new_tokens=[2],
            end_ids=(),
            generator=torch.Generator(),
        )


def test_sampling_in_half_precision(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    actor = make_actor()
    actor = disturb(Actor(replace(actor.config, dtype="bfloat16")))
    got = sampled(actor)
    assert len(got) == 8
    assert all(present(it.logprob) < 0 for it in got)
