"""Generator `transformers` with chat models: stop texts, prefills, thoughts, default limits, changing positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.config.model import ModelConfig
from halo_core.drivers.raft import RAFT
from halo_core.drivers.transformers import Transformers
from halo_core.metrics import eval_metrics, is_unfinished
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext
from halo_core.model.logprobs import Scorer
from halo_core.model.packing import pack
from halo_core.model.pretraining import new_checkpoint, new_tokenizer
from halo_core.model.stopping import StopStrings
from halo_core.model.texts import special_tokens
from halo_core.model.units import Example
from halo_core.thoughts import read_answer
from halo_core.types import Completion, Prompt, Sample, SamplingRequest, Stage, Status

Make = Callable[..., Actor]
PROMPTS = (Prompt("a", "Count 1, 2 and 3."), Prompt("b", "int main() {"), Prompt("c", "adds two numbers 4 5"))
REQUEST = SamplingRequest(cycle=1, split="train", prompts=PROMPTS, samples_per_prompt=6, seed=11)


def sampled(actor: Actor, request: SamplingRequest = REQUEST, **options: Any) -> list[Completion]:
    generator = Transformers(**{"max_new_tokens": 24, "temperature": 1.0, "top_p": 1.0, **options})
    return [it for batch in generator.generate(request, SamplingContext(actor=actor)) for it in batch]


# Stop texts


def test_a_completion_ends_at_a_stop_text(make_actor: Make) -> None:
    actor = make_actor()
    free = {it.prompt_id: it for it in sampled(actor, temperature=0.0)}
    chosen = next(each for each in free["a"].text[5:] if each.isascii() and each.isprintable())
    stop = (chosen, "never")
    got = sampled(actor, temperature=0.0, stop=stop)
    hits = 0
    for it in got:
        before = free[it.prompt_id]
        places = [place for text in stop if (place := before.text.find(text)) >= 0]
        if not places:
            assert (it.text, it.token_ids, it.finish_reason) == (before.text, before.token_ids, "length")
            continue
        hits += 1
        assert it.text == before.text[: min(places)]
        assert it.finish_reason == "stop"
        assert it.token_ids == before.token_ids[: len(it.token_ids)]
        assert any(text in actor.tokenizer.decode(it.token_ids) for text in stop)
        assert not any(text in actor.tokenizer.decode(it.token_ids[:-1]) for text in stop)
        assert it.logprobs is not None
        assert len(it.logprobs) == len(it.token_ids)
    assert hits
    kept = {(it.prompt_id, it.index): it for it in sampled(actor, temperature=0.0, stop=stop, keep_stop=True)}
    for it in got:
        with_stop = kept[it.prompt_id, it.index]
        assert with_stop.token_ids == it.token_ids
        assert with_stop.text in (it.text, *(it.text + text for text in stop))
        assert (with_stop.text != it.text) == (it.text != free[it.prompt_id].text)


def test_a_stop_text_may_cross_tokens_and_end_within_one() -> None:
    tokenizer = new_tokenizer(["abcabc. " * 30], 270)
    text = "xx abcabc. abcabc."
    ids = tokenizer(text)["input_ids"]
    assert len(ids) < len(text), "some tokens have several characters"
    stops = StopStrings(tokenizer, ("bca", "zz"))
    stops.start()
    reached = [count for count, token in enumerate(ids, 1) if stops.feed([7], [token])[0]]
    first = next(count for count in range(len(ids)) if "bca" in tokenizer.decode(ids[:count]))
    assert stops.lengths == {7: first}
    assert reached == list(range(first, len(ids) + 1)), "a row that has stopped stays so until it is dropped"
    assert stops.cut(text, keep=False) == "xx a"
    assert stops.cut(text, keep=True) == "xx abca"
    assert stops.cut("xx", keep=True) == "xx"
    stops.start()
    assert stops.lengths == {}


def test_a_stop_text_of_a_character_of_several_tokens() -> None:
    tokenizer = new_tokenizer(["abc"], 257)
    ids = tokenizer("a\u20acb")["input_ids"]
    assert len(ids) == 5
    stops = StopStrings(tokenizer, ("\u20ac",))
    stops.start()
    assert [stops.feed([0], [token])[0] for token in ids] == [False, False, False, True, True]


def test_a_special_token_as_a_stop_text_ends_a_completion(make_actor: Make) -> None:
    actor = make_actor()
    drawn = sampled(actor, temperature=0.0)[0].token_ids[3]
    mark = "<|stop|>"
    tokenizer = new_tokenizer(["abc"], 300)
    tokenizer.add_special_tokens({"additional_special_tokens": [mark]})
    assert special_tokens(tokenizer, ("abc", mark)) == {mark: tokenizer.convert_tokens_to_ids(mark)}
    actor.model.generation_config.eos_token_id = [drawn]
    del actor.end_ids
    assert len(sampled(actor, temperature=0.0)[0].token_ids) <= 4


# The beginning of an answer


def test_a_prefill_is_verified_and_not_trained_on(make_actor: Make) -> None:
    actor = make_actor(chat=True)
    got = sampled(actor, prefill="```c\n")[0]
    assert got.text == "```c\n" + actor.tokenizer.decode(got.token_ids, skip_special_tokens=True)
    assert actor.tokenizer.decode(got.prompt_token_ids).endswith("[assistant] ```c\n")


def test_the_beginning_of_the_answer_in_the_prompt_is_verified(make_actor: Make) -> None:
    chat = ({"role": "user", "content": "Add 1 and 2."}, {"role": "assistant", "content": "The sum is"})
    got = sampled(make_actor(chat=True), replace(REQUEST, prompts=(Prompt("p", messages=chat),)))[0]
    assert got.text.startswith("The sum is")
    assert len(got.text) > len("The sum is")


# The default of max_new_tokens


def test_the_default_limit_follows_context_and_kind_of_model(make_actor: Make) -> None:
    actor = make_actor()
    generator, prompt = Transformers(), PROMPTS[0]
    assert generator._limit(actor, prompt, 10, thinks=False) == 86, "the rest of the context"
    actor.context_length = None
    assert generator._limit(actor, prompt, 10, thinks=False) == 1024
    assert generator._limit(actor, prompt, 10, thinks=True) == 8192
    actor.context_length = 4096
    assert generator._limit(actor, prompt, 1000, thinks=True) == 3096
    assert Transformers(max_new_tokens=7)._limit(actor, prompt, 10, thinks=True) == 7


# A thinking model: the interface of Qwen3's template, weights that write what they are told


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% elif open_thought %}<think>\n{% endif %}{% endif %}"
)
PLAIN = "\\boxed{3}"
THOUGHT = f"Or \\boxed{{7}}? </think>\n\n{PLAIN}"


Thinker = Callable[..., Actor]


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Thinker:
    """Return a function that loads a tiny model with template values; it was trained to think where it may."""
    place = tmp_path_factory.mktemp("thinker")
    tokenizer = new_tokenizer([f"Add 1 and 2. <think> {THOUGHT}"] * 2, 320)
    marks = {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    tokenizer.add_special_tokens(marks, replace_extra_special_tokens=False)
    tokenizer.chat_template = TEMPLATE
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    qwen3 = {
        "model_type": "qwen3",
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        **sizes,
    }
    new_checkpoint(place, qwen3, tokenizer, seed=3)

    def load(**values: Any) -> Actor:
        return Actor(ModelConfig(name=str(place), device="cpu", chat_template_kwargs=values))

    rows = []
    for values, answer in (
        ({}, f"<think>\n{THOUGHT}"),
        ({"open_thought": True}, THOUGHT),
        ({"enable_thinking": False}, PLAIN),
    ):
        actor = load(**values)
        rows.append((actor.encode(TASK), actor.encode_answer(answer)))
    model = load().model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        losses = [
            model(
                torch.tensor([context + answer]), labels=torch.tensor([[-100] * len(context) + list(answer)])
            ).loss
            for context, answer in rows
        ]
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(losses).sum())
        optimizer.step()
    model.save_pretrained(place)
    return load


TASK = Prompt("sum", "Add 1 and 2.", reference={"answer": "3"})


def judged(actor: Actor, **options: Any) -> Sample:
    """Return a greedy sample with the verdict of `sympy`."""
    from halo_verifier_sympy.verifier import Sympy

    request = replace(REQUEST, prompts=(TASK,), samples_per_prompt=1)
    (completion,) = sampled(actor, request, temperature=0.0, **{"max_new_tokens": 60, **options})
    return Sample(TASK, completion, Sympy().check(TASK, completion))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, f"<think>\n{THOUGHT}"),
        ({"open_thought": True}, f"<think>\n{THOUGHT}"),
        ({"enable_thinking": False}, PLAIN),
    ],
    ids=["writes its own tag", "the prompt opens it", "off"],
)
def test_the_answer_of_a_thinking_model_is_judged_without_its_thought(
    thinker: Thinker, values: dict[str, Any], text: str
) -> None:
    sample = judged(thinker(**values))
    assert sample.completion.text == text
    assert sample.completion.finish_reason == "stop"
    assert (sample.verdict.status, sample.verdict.stage) == (Status.PASS, Stage.CORRECT)
    assert not is_unfinished(sample)


@pytest.mark.parametrize("values", [{}, {"open_thought": True}], ids=["own tag", "the prompt opens it"])
def test_a_thought_cut_short_is_no_answer_and_is_marked(thinker: Thinker, values: dict[str, Any]) -> None:
    whole = judged(thinker(**values)).completion
    cut = next(n for n in range(1, 60) if "7" in judged(thinker(**values), max_new_tokens=n).completion.text)
    assert cut < len(whole.token_ids)
    sample = judged(thinker(**values), max_new_tokens=cut)
    assert read_answer(sample.completion.text).text == ""
    assert (sample.verdict.status, sample.verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert "the reasoning never ends" in sample.verdict.detail
    assert is_unfinished(sample)
    assert (
        RAFT().explain(replace(sample, reward=1.0), []) == "the token limit cut it short within its reasoning"
    )
    metrics = eval_metrics([sample, judged(thinker(enable_thinking=False), max_new_tokens=1)], seed=0)
    assert (metrics.truncated, metrics.unfinished) == (1.0, 0.5)


# Positions that change with the length


@pytest.fixture
def switching(tmp_path: Path) -> Actor:
    """Return a Phi-3 with LongRoPE, whose position encoding changes at 32 tokens."""
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    phi3 = {
        "model_type": "phi3",
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "original_max_position_embeddings": 32,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "rope_parameters": rope,
    }
    new_checkpoint(tmp_path / "phi", {**phi3, **sizes}, new_tokenizer(["Count 1, 2 and 3."], 300), seed=1)
    actor = Actor(ModelConfig(name=str(tmp_path / "phi"), device="cpu"))
    actor.model.generation_config.eos_token_id = actor.tokenizer.eos_token = None
    return actor


SWITCHING = (*PROMPTS, Prompt("almost", "0 " * 14), Prompt("long", "0 " * 20))
"""Prompts shorter and longer than the 32 tokens at which positions change."""


def test_longrope_is_sampled_across_its_change_of_positions(switching: Actor) -> None:
    request = replace(REQUEST, prompts=SWITCHING, samples_per_prompt=1)
    got = sampled(switching, request, temperature=0.0, max_new_tokens=40)
    lengths = [len(it.prompt_token_ids) for it in got]
    assert min(lengths) < 32 < max(lengths)
    for it in got:
        ids = torch.tensor([it.prompt_token_ids])
        with torch.no_grad():
            theirs = switching.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40, pad_token_id=0
            )
        assert list(it.token_ids) == theirs[0, ids.shape[1] :].tolist()


def test_training_sees_what_longrope_sampled(switching: Actor) -> None:
    got = sampled(switching, replace(REQUEST, prompts=SWITCHING, samples_per_prompt=3), max_new_tokens=40)
    for number, alone in enumerate(got):
        for group in ([alone], [alone, got[(number + 4) % len(got)]]):
            row = switching.logprobs(group)[0]
            assert alone.logprobs == pytest.approx(row, abs=1e-4)


def test_gradients_across_the_change_of_positions(switching: Actor) -> None:
    got = sampled(switching, replace(REQUEST, prompts=SWITCHING[2:], samples_per_prompt=1), max_new_tokens=40)
    units = [(Example(it.prompt_token_ids, it.token_ids),) for it in got]
    weight = switching.model.model.layers[0].self_attn.qkv_proj.weight
    weight.requires_grad_(True)
    scorer = Scorer(switching.model)

    def gradient(batch: list[Any]) -> torch.Tensor:
        logprobs, _ = scorer.score(pack(batch, switching.device))
        found: torch.Tensor = torch.autograd.grad(logprobs.sum(), weight)[0]
        return found

    together, alone = gradient(units), torch.stack([gradient([unit]) for unit in units]).sum(0)
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert together.abs().max() > 0.1


def test_a_stop_text_is_found_across_the_change_of_positions(switching: Actor) -> None:
    (long,) = sampled(
        switching,
        replace(REQUEST, prompts=(PROMPTS[0],), samples_per_prompt=1),
        temperature=0.0,
        max_new_tokens=40,
    )
    change = 33 - len(long.prompt_token_ids)
    before, after = (switching.tokenizer.decode(long.token_ids[:n]) for n in (change - 1, change + 1))
    stop = after[len(before) - 1 :]
    assert long.text.index(stop) == len(before) - 1
    (cut,) = sampled(
        switching,
        replace(REQUEST, prompts=(PROMPTS[0],), samples_per_prompt=1),
        temperature=0.0,
        max_new_tokens=40,
        stop=(stop,),
    )
    assert cut.token_ids == long.token_ids[: change + 1]
    assert cut.text == long.text[: len(before) - 1]
