"""Starting points of a cycle, the carried optimizer state, and the check that the sampler uses the trained weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from present import present

from halo_core.config.model import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.drivers.transformers import Transformers
from halo_core.errors import ModelError, TrainingError
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.run import sampler_check
from halo_core.run.sampler_check import LogprobProbe, check_sampler
from halo_core.testing import make_stats
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    Status,
    Verdict,
)

Make = Callable[..., Actor]
STATS = make_stats(0.1, steps=1)
PLAIN: dict[str, Any] = {"lora_dropout": 0.0, "batch_size": 4}


def sampled(actor: Actor, count: int = 6, seed: int = 0) -> list[Sample]:
    """Return samples from the actor with the sampler's log-probabilities."""
    prompts = tuple(Prompt(f"p{n}", f"Write {n}.") for n in range(3))
    request = SamplingRequest(
        cycle=1, split="train", prompts=prompts, samples_per_prompt=count // 3, seed=seed
    )
    generator = Transformers(max_new_tokens=12, temperature=1.0, top_p=1.0)
    verdict = Verdict(Status.PASS, Stage.CORRECT)
    return [
        Sample(prompts[0], completion, verdict, 1.0)
        for batch in generator.generate(request, SamplingContext(actor=actor))
        for completion in batch
    ]


def weights(actor: Actor) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in actor.trainable().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Log-probabilities


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_logprobs_equal_those_of_the_model(
    make_actor: Make, disturb: Callable[..., Actor], kind: str
) -> None:
    actor = disturb(make_actor(kind))
    completions = [sample.completion for sample in sampled(actor)]
    for completion, row in zip(completions, actor.logprobs(completions), strict=True):
        ids = torch.tensor([completion.prompt_token_ids + completion.token_ids])
        with torch.no_grad():
            logprobs = actor.model(input_ids=ids).logits[0].log_softmax(-1)
        start = len(completion.prompt_token_ids)
        wanted = [logprobs[start - 1 + n, token].item() for n, token in enumerate(completion.token_ids)]
        assert row == pytest.approx(wanted, abs=2e-4)


def test_a_sampler_with_the_current_weights_passes(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    actor = disturb(make_actor())
    error = check_sampler(actor, sampled(actor))
    assert error is not None
    assert error < 1e-4


def test_a_sampler_with_stale_weights_is_an_error(make_actor: Make) -> None:
    actor = make_actor()
    stale = sampled(actor)
    SFT(**PLAIN).train(stale, TrainingContext(actor=actor, lr=0.05, seed=0))
    with pytest.raises(ModelError, match="does not use the trained weights"):
        check_sampler(actor, stale)


@pytest.mark.parametrize("lr", [5e-5, 1e-3])
def test_the_previous_weights_are_detected_at_usual_learning_rates(make_actor: Make, lr: float) -> None:
    actor = make_actor()
    stale = sampled(actor, count=60)
    before = [CycleReport(cycle=0, sampler_error=check_sampler(actor, stale))]
    probe = LogprobProbe(actor, sampled(actor, count=60, seed=1))
    stats = probe.measure(actor, SFT(**PLAIN).train(stale[:20], TrainingContext(actor=actor, lr=lr, seed=0)))
    assert stats.logprob_shift is not None
    error = check_sampler(actor, sampled(actor, count=60), stats, before)
    assert error is not None
    assert error < stats.logprob_shift / 10, "current weights differ by rounding only"
    with pytest.raises(ModelError, match="does not use the trained weights"):
        check_sampler(actor, stale, stats, before)
    coarse = [replace(before[0], sampler_error=stats.logprob_shift / 10)]
    assert check_sampler(actor, sampled(actor), stats, coarse) is not None, (
        "an undetectable difference is accepted"
    )


def test_the_previous_weights_are_detected_in_16_bits_too(make_actor: Make) -> None:
    """In the first trained cycle nothing is known yet of the rounding of merged weights."""
    actor = Actor(replace(make_actor().config, dtype="bfloat16"))
    stale = sampled(actor, count=60)
    before = [CycleReport(cycle=0, sampler_error=check_sampler(actor, stale))]
    probe = LogprobProbe(actor, sampled(actor, count=60, seed=1))
    stats = probe.measure(
        actor, SFT(**PLAIN).train(stale[:20], TrainingContext(actor=actor, lr=1e-3, seed=0))
    )
    assert check_sampler(actor, sampled(actor, count=60), stats, before) is not None
    with pytest.raises(ModelError, match="nearer to those of the model before"):
        check_sampler(actor, stale, stats, before)
    assert check_sampler(actor, stale, stats, []) is not None, "cycle 0 has not measured the noise"


def test_a_generator_without_logprobs_is_not_checked(make_actor: Make) -> None:
    actor = make_actor()
    unrecorded = [replace(s, completion=replace(s.completion, logprobs=None)) for s in sampled(actor)]
    assert check_sampler(actor, unrecorded) is None
    assert check_sampler(actor, []) is None


def test_kl_grows_with_the_learning_rate_and_is_near_its_true_value(make_actor: Make) -> None:
    found: list[float] = []
    for lr in (1e-3, 1e-2):
        actor = make_actor()
        samples = sampled(actor, count=240)
        probe = LogprobProbe(actor, samples)
        before = _distributions(actor, samples)
        SFT(**PLAIN).train(samples[:8], TrainingContext(actor=actor, lr=lr, seed=0))
        after = _distributions(actor, samples)
        true = (before.exp() * (before - after)).sum(-1).mean().item()
        kl = present(probe.measure(actor, STATS).kl)
        assert kl == pytest.approx(true, rel=0.35)
        found.append(kl)
    assert found[1] > 4 * found[0] > 0


def test_training_that_changes_no_logprob_is_an_error(make_actor: Make) -> None:
    actor = make_actor()
    probe = LogprobProbe(actor, sampled(actor))
    with pytest.raises(TrainingError, match="changed no log-probability"):
        probe.measure(actor, STATS)


@pytest.mark.parametrize(("off", "computed"), [(0.0, 4), (0.01, 4), (0.2, 64), (None, 64)])
def test_the_kl_uses_the_log_probabilities_of_the_sampler_unless_they_are_others(
    off: float | None, computed: int, make_actor: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = make_actor()
    samples = [
        replace(
            sample,
            completion=replace(
                sample.completion,
                logprobs=None
                if off is None
                else tuple(
                    value - off * (-1) ** n for n, value in enumerate(present(sample.completion.logprobs))
                ),
            ),
        )
        for sample in sampled(actor, count=60)
    ]
    counts: list[int] = []
    logprobs = Actor.logprobs

    def counted(self: Actor, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        counts.append(len(completions))
        return logprobs(self, completions)

    monkeypatch.setattr(Actor, "logprobs", counted)
    probe = LogprobProbe(actor, samples)
    assert sum(counts) == computed
    before = logprobs(actor, [sample.completion for sample in samples])
    SFT(**PLAIN).train(samples[:8], TrainingContext(actor=actor, lr=1e-2, seed=0))
    after = logprobs(actor, [sample.completion for sample in samples])
    changes = [
        new - old for row, rows in zip(after, before, strict=True) for new, old in zip(row, rows, strict=True)
    ]
    bounded = [min(d, math.log(10)) for d in changes]
    kl = sum(math.exp(d) - 1 - d for d in bounded) / len(bounded)
    assert present(probe.measure(actor, STATS).kl) == pytest.approx(kl, rel=0.03)


def _distributions(actor: Actor, samples: Sequence[Sample]) -> torch.Tensor:
    """Return log p [tokens, vocabulary] at every sampled token of the probes."""
    step = len(samples) / 64
    rows = []
    for completion in [samples[int(n * step)].completion for n in range(64)]:
        ids = torch.tensor([completion.prompt_token_ids + completion.token_ids])
        with torch.no_grad():
            logits = actor.model(input_ids=ids).logits[0]
        rows.append(logits[len(completion.prompt_token_ids) - 1 : -1].double().log_softmax(-1))
    return torch.cat(rows)


# Masks


def masked(sample: Sample) -> Sample:
    """Mask every third token, and falsify its log-probability."""
    mask = tuple(n % 3 > 0 for n in range(len(sample.completion.token_ids)))
    values = sample.completion.logprobs or ()
    logprobs = tuple(value if own else -50.0 for value, own in zip(values, mask, strict=True))
    return replace(sample, completion=replace(sample.completion, loss_mask=mask, logprobs=logprobs))


def test_the_sampler_check_ignores_masked_tokens(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    actor = disturb(make_actor())
    samples = [masked(sample) for sample in sampled(actor)]
    error = check_sampler(actor, samples)
    assert error is not None
    assert error < 1e-4
    unmasked = [replace(s, completion=replace(s.completion, loss_mask=None)) for s in samples]
    with pytest.raises(ModelError, match="does not use the trained weights"):
        check_sampler(actor, unmasked)


def test_stale_weights_are_detected_on_unmasked_tokens(make_actor: Make) -> None:
    actor = make_actor()
    stale = [masked(sample) for sample in sampled(actor)]
    SFT(**PLAIN).train(stale, TrainingContext(actor=actor, lr=0.05, seed=0))
    with pytest.raises(ModelError, match="does not use the trained weights"):
        check_sampler(actor, stale)


def test_the_kl_ignores_masked_tokens(make_actor: Make) -> None:
    actor = make_actor()
    samples = [masked(sample) for sample in sampled(actor)]
    completions = [sample.completion for sample in samples]
    probe, before = LogprobProbe(actor, samples), actor.logprobs(completions)
    stats = SFT(**PLAIN).train(samples, TrainingContext(actor=actor, lr=1e-3, seed=0))
    changes = [
        [new - old for new, old, own in zip(row, earlier, present(it.loss_mask), strict=True) if own]
        for row, earlier, it in zip(actor.logprobs(completions), before, completions, strict=True)
    ]
    count = sum(map(len, changes))
    assert count == stats.tokens == sum(it.written for it in completions)
    measured = probe.measure(actor, stats)
    kl = sum(math.exp(d) - 1 - d for row in changes for d in row) / count
    assert measured.kl == pytest.approx(kl, rel=1e-5)
    assert measured.logprob_shift == pytest.approx(sum(abs(sum(row)) for row in changes) / count, rel=1e-5)


def test_the_tolerance_of_the_sampler_check(make_actor: Make, disturb: Callable[..., Actor]) -> None:
    actor = disturb(make_actor())
    exact = sampled(actor)

    def off_by(error: float) -> list[Sample]:
        return [
            replace(
                s,
                completion=replace(
                    s.completion, logprobs=tuple(p - error for p in s.completion.logprobs or ())
                ),
            )
            for s in exact
        ]

    for precision, tolerance, bound in (
        ("", None, 0.01),
        ("float32", None, 0.01),
        ("bfloat16", None, 0.1),
        ("fp8", None, 0.1),
        ("bfloat16", 0.03, 0.03),
        ("", 0.3, 0.3),
    ):
        near = check_sampler(actor, off_by(0.9 * bound), precision=precision, tolerance=tolerance)
        assert near == pytest.approx(0.9 * bound, rel=1e-2)
        with pytest.raises(ModelError, match=f"more than {bound:g}"):
            check_sampler(actor, off_by(1.1 * bound), precision=precision, tolerance=tolerance)


@pytest.mark.parametrize(
    ("precision", "noise", "stale_is_detected"),
    [
        ("", (0.001, 0.001), True),
        ("", (0.01, 0.001), False),  # the noise before any training is too high
        ("bfloat16", (0.001,), False),  # it is not known yet
        ("bfloat16", (0.001, 0.002), True),
        ("bfloat16", (0.001, 0.01), False),
    ],
)
def test_stale_weights_are_detected_above_the_noise_of_the_precision(
    precision: str, noise: tuple[float, ...], stale_is_detected: bool, make_actor: Make
) -> None:
    actor, shift = make_actor(), 0.08
    exact = sampled(actor)
    stale = [
        replace(
            s,
            completion=replace(s.completion, logprobs=tuple(p - shift for p in s.completion.logprobs or ())),
        )
        for s in exact
    ]
    history = [
        CycleReport(cycle=cycle, sampler_error=error, train=STATS if cycle else None)
        for cycle, error in enumerate(noise)
    ]
    trained = replace(STATS, logprob_shift=shift)
    options: dict[str, Any] = {"precision": precision, "tolerance": 0.1}
    assert check_sampler(actor, exact, trained, history, **options) is not None
    if not stale_is_detected:
        assert check_sampler(actor, stale, trained, history, **options) is not None
        return
    with pytest.raises(ModelError, match=r"more than 0\.02"):
        check_sampler(actor, stale, trained, history, **options)


def test_a_completion_without_written_tokens_is_not_a_probe(make_actor: Make) -> None:
    actor = make_actor()
    none = [
        replace(s, completion=replace(s.completion, loss_mask=(False,) * len(s.completion.token_ids)))
        for s in sampled(actor)
    ]
    assert check_sampler(actor, none) is None
    assert LogprobProbe(actor, none).measure(actor, STATS) is STATS


# Merging


@pytest.mark.parametrize(("dtype", "own"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_merged_model_equals_the_model_with_its_adapter(
    make_actor: Make, tmp_path: Path, kind: str, dtype: str, own: torch.dtype
) -> None:
    actor = make_actor(kind)
    samples = sampled(actor)
    SFT(**PLAIN).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=0))
    completions = [sample.completion for sample in samples]
    trained = actor.logprobs(completions)
    actor.save_merged(tmp_path / "merged", dtype)
    merged = Actor(ModelConfig(name=str(tmp_path / "merged"), device="cpu", dtype="float32"))
    assert not merged.has_adapter
    assert transformers.AutoConfig.from_pretrained(tmp_path / "merged").dtype is own
    tolerance = 1e-4 if own is torch.float32 else 0.2
    for row, other in zip(trained, merged.logprobs(completions), strict=True):
        assert row == pytest.approx(other, abs=tolerance)
    assert merged.tokenizer.get_vocab() == actor.tokenizer.get_vocab()


def test_merging_needs_an_adapter_and_a_precision(make_actor: Make, tmp_path: Path) -> None:
    actor = make_actor()
    with pytest.raises(ModelError, match="no adapter to merge"):
        actor.save_merged(tmp_path / "merged")
    actor.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)
    for dtype in ("int8", "nonsense", "nn"):
        with pytest.raises(ModelError, match="is not a precision for a model"):
            actor.save_merged(tmp_path / "merged", dtype)
    assert list(tmp_path.iterdir()) == []


# Starting points


@pytest.mark.parametrize("full", [False, True])
def test_reset_restores_the_model_before_training(make_actor: Make, full: bool) -> None:
    actor = make_actor()
    samples = sampled(actor)
    before = actor.logprobs([sample.completion for sample in samples])
    SFT(full=full, **PLAIN).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=0))
    actor.reset()
    assert actor.logprobs([sample.completion for sample in samples]) == before
    assert not actor.trainable()


def test_interpolating_an_adapter_scales_its_change(make_actor: Make) -> None:
    actor = make_actor()
    SFT(**PLAIN).train(sampled(actor), TrainingContext(actor=actor, lr=1e-2, seed=0))
    deltas = [delta.clone() for delta in _deltas(actor)]
    actor.interpolate(0.25)
    for delta, old in zip(_deltas(actor), deltas, strict=True):
        assert torch.allclose(delta, 0.25 * old, atol=1e-7)


def test_interpolating_a_full_model_is_linear_in_its_weights(make_actor: Make) -> None:
    base, actor = make_actor(), make_actor()
    SFT(full=True, **PLAIN).train(sampled(actor), TrainingContext(actor=actor, lr=1e-2, seed=0))
    trained, start = weights(actor), dict(base.model.named_parameters())
    actor.interpolate(0.25)
    for name, weight in actor.trainable().items():
        assert torch.allclose(weight, start[name] + 0.25 * (trained[name] - start[name]), atol=1e-7)


def _deltas(actor: Actor) -> list[torch.Tensor]:
    """Return the adapter's change of each weight matrix."""
    modules = actor.model.modules()
    return [module.get_delta_weight("default") for module in modules if hasattr(module, "get_delta_weight")]


# The optimizer's state


@pytest.mark.parametrize("full", [False, True])
def test_a_carried_optimizer_state_is_saved_and_loaded(make_actor: Make, tmp_path: Path, full: bool) -> None:
    options: dict[str, Any] = {"full": full, "optimizer": "carry", **PLAIN}
    continued, resumed = make_actor(), make_actor()
    samples = sampled(continued)
    SFT(**options).train(samples, TrainingContext(actor=continued, lr=1e-2, seed=0))
    continued.save(tmp_path / "adapter")
    resumed.load(tmp_path / "adapter")
    for actor in (continued, resumed):
        SFT(**options).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=1))
    assert same(weights(continued), weights(resumed))
    assert same(continued.optimizer_state, resumed.optimizer_state)


def test_carry_changes_the_result_and_reset_saves_no_state(make_actor: Make, tmp_path: Path) -> None:
    ends = []
    for optimizer in ("carry", "reset"):
        actor = make_actor()
        samples = sampled(actor)
        for seed in (0, 1):
            SFT(optimizer=optimizer, **PLAIN).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=seed))
        actor.save(tmp_path / optimizer)
        ends.append(weights(actor))
    assert not same(*ends)
    assert (tmp_path / "carry" / "optimizer.safetensors").exists()
    assert not (tmp_path / "reset" / "optimizer.safetensors").exists()


def test_an_optimizer_state_that_does_not_fit_is_rejected(make_actor: Make) -> None:
    actor = make_actor()
    samples = sampled(actor)
    SFT(optimizer="carry", **PLAIN).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=0))
    actor.optimizer_state = dict(list(actor.optimizer_state.items())[:3])
    with pytest.raises(TrainingError, match="does not fit"):
        SFT(optimizer="carry", **PLAIN).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=0))


def test_a_questionable_warmup_is_noted(make_actor: Make, samples: Sequence[Sample]) -> None:
    stats = SFT(warmup_steps=3, epochs=2, **PLAIN).train(
        samples, TrainingContext(actor=make_actor(), lr=1e-3, seed=0)
    )
    assert len(stats.losses) == len(stats.grad_norms) == stats.steps == 4
    assert stats.weight_norm > stats.update_norm > 0
    assert any("warmup" in note for note in stats.notes)


def test_a_completion_without_ids_is_not_a_probe(make_actor: Make) -> None:
    bare = Sample(Prompt("p"), Completion("p", 0, "x"), Verdict(Status.PASS, Stage.CORRECT))
    assert LogprobProbe(make_actor(), [bare]).measure(make_actor(), STATS) is STATS


def test_one_token_does_not_dominate_the_kl() -> None:
    class FixedLogprobs:
        """Returns a given row."""

        row = (-1.0,) * 99 + (-12.0,)

        def logprobs(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
            return [self.row]

    verdict = Verdict(Status.PASS, Stage.CORRECT)
    sample = Sample(Prompt("p"), Completion("p", 0, "x", (1,), tuple(range(100))), verdict)
    actor: Any = FixedLogprobs()
    probe = LogprobProbe(actor, [sample])
    actor.row = (-1.1,) * 99 + (-0.1,)
    kl = probe.measure(actor, STATS).kl
    assert kl is not None
    assert 0 < kl < 0.1


def test_an_adapter_is_saved_with_sorted_target_modules(make_actor: Make, tmp_path: Path) -> None:
    actor = make_actor()
    SFT(**PLAIN).train(sampled(actor), TrainingContext(actor=actor, lr=1e-2, seed=0))
    actor.save(tmp_path / "adapter")
    modules = json.loads((tmp_path / "adapter/adapter_config.json").read_text())["target_modules"]
    assert modules == sorted(modules)


@pytest.mark.parametrize(
    ("count", "length", "expected"),
    [(5, 500, 5), (16, 500, 16), (200, 20, 64), (200, 60, 29), (200, 900, 16)],
)
def test_of_long_completions_fewer_are_compared(count: int, length: int, expected: int) -> None:
    completions = [Completion("p", n, "text", (1,) * 10, (2,) * length) for n in range(count)]
    probes = sampler_check._probes(completions)
    assert len(probes) == expected
    assert len({probe.index for probe in probes}) == expected
    assert probes[-1].index >= count - -(-count // expected)
