"""On the same model, batch and log-probabilities, losses and gradients equal those of TRL's trainers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.optim.optimizer import register_optimizer_step_pre_hook

from halo_core import Sample, Trainer, TrainingContext
from halo_core.model.actor import Actor
from halo_core.testing import make_samples, tiny_actor
from halo_trainers.dpo import DPO
from halo_trainers.grpo import GRPO

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")
warnings.filterwarnings("ignore", module="trl")
MAX_LENGTH = 20
PLAIN: dict[str, Any] = {"full": True, "max_grad_norm": 0.0, "batch_size": 64}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Use one thread: more make such small matrices slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Return three prompts with four completions each; weights and log-probabilities differ from token to token."""
    samples = make_samples({f"p{n}": [1.0, 0.0, 1.0, 0.0] for n in range(3)})
    rows = tiny_actor().logprobs([s.completion for s in samples])
    generator = torch.Generator().manual_seed(0)
    found = []
    for number, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        noise = 0.3 * torch.randn(len(row), generator=generator)
        old = tuple((torch.tensor(row) + noise).tolist())
        weight = (2 * (sample.reward or 0.0) - 1) * (1 + number / 10)
        found.append(replace(sample, weight=weight, completion=replace(sample.completion, logprobs=old)))
    return found


def moved() -> Actor:
    """Return an actor whose weights are not those of its reference."""
    actor = tiny_actor()
    actor.train_all()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    return actor


def step_of(trainer: Trainer, samples: Sequence[Sample]) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the loss and the gradients of the only step that `trainer` takes."""
    actor = moved()
    names = list(actor.trainable())
    found: list[list[torch.Tensor]] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: found.append([w.grad.clone() for w in optimizer.param_groups[0]["params"]])
    )
    try:
        stats = trainer.train(samples, TrainingContext(actor=actor, lr=1e-6, seed=0))
    finally:
        handle.remove()
    (gradients,) = found
    return stats.loss_first, dict(zip(names, gradients, strict=True))


def assert_equal(trainer: Any, samples: Sequence[Sample], theirs: Any, model: Any) -> None:
    """Compare loss and gradient within 1e-5 relative, also when a step is split into several batches."""
    theirs.backward()
    wanted = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    whole = torch.cat([wanted[name].flatten() for name in sorted(wanted)])
    assert whole.norm() > 1e-4
    for budget in (100_000, 60):
        loss, gradients = step_of(replace(trainer, batch_tokens=budget), samples)
        assert gradients.keys() == wanted.keys()
        got = torch.cat([gradients[name].flatten() for name in sorted(gradients)])
        assert loss == pytest.approx(theirs.item(), rel=1e-5, abs=1e-7)
        assert (got - whole).norm() <= 1e-5 * whole.norm()


def options_of(out: Path) -> dict[str, Any]:
    return {"output_dir": str(out), "report_to": "none", "use_cpu": True, "bf16": False} | {
        "gradient_checkpointing": False
    }


def right_padded(rows: Sequence[Sequence[float]], dtype: torch.dtype) -> torch.Tensor:
    return pad_sequence([torch.tensor(row, dtype=dtype) for row in rows], batch_first=True)


# DPO


@pytest.mark.parametrize(
    ("options", "loss_type"),
    [
        ({"loss": "sigmoid", "beta": 0.1}, "sigmoid"),
        ({"loss": "sigmoid", "beta": 2.0, "length_normalized": True}, "sigmoid_norm"),
        ({"loss": "ipo", "beta": 0.5}, "ipo"),
    ],
    ids=["sigmoid", "sigmoid, normalized by length", "ipo"],
)
def test_dpo(options: dict[str, Any], loss_type: str, samples: list[Sample], tmp_path: Path) -> None:
    actor, base = moved(), tiny_actor()
    trainer = trl.DPOTrainer(
        model=actor.model,
        ref_model=base.model,
        args=trl.DPOConfig(**options_of(tmp_path), loss_type=loss_type, beta=options["beta"]),
        train_dataset=datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=base.tokenizer,
    )
    chosen, rejected = ([s.completion for s in samples if s.weight * sign > 0] for sign in (1, -1))
    both = [*chosen, *rejected]
    ids = right_padded([c.prompt_token_ids + c.token_ids for c in both], torch.long)
    mask = right_padded([(1,) * (len(c.prompt_token_ids) + len(c.token_ids)) for c in both], torch.long)
    ours = right_padded([(0,) * len(c.prompt_token_ids) + (1,) * len(c.token_ids) for c in both], torch.long)
    inputs = {"input_ids": ids, "attention_mask": mask, "completion_mask": ours}
    loss = trainer._compute_loss(trainer.model, inputs, False)
    assert_equal(DPO(**PLAIN, **options), samples, loss, trainer.model)


# GRPO


@pytest.mark.parametrize(
    ("kl", "correction"), [(0.0, True), (0.3, False), (0.3, True)], ids=["no kl", "kl", "corrected kl"]
)
@pytest.mark.parametrize(
    ("options", "loss_type"),
    [
        ({"average": "sequence"}, "grpo"),
        ({"average": "sequence", "ratio": "sequence"}, "grpo"),
        ({"average": "token"}, "bnpo"),
        ({"average": "token", "clip_high": 0.28}, "dapo"),
        ({"average": "constant", "max_length": MAX_LENGTH}, "dr_grpo"),
    ],
    ids=["grpo", "gspo", "bnpo", "dapo", "dr_grpo"],
)
def test_grpo(
    options: dict[str, Any],
    loss_type: str,
    kl: float,
    correction: bool,
    samples: list[Sample],
    tmp_path: Path,
) -> None:
    actor, base = moved(), tiny_actor()
    config = trl.GRPOConfig(
        **options_of(tmp_path),
        loss_type=loss_type,
        beta=kl,
        use_bias_correction_kl=correction,
        epsilon=0.2,
        epsilon_high=options.get("clip_high", 0.2),
        max_completion_length=MAX_LENGTH,
        importance_sampling_level=options.get("ratio", "token"),
        per_device_train_batch_size=len(samples),
        num_generations=4,
        temperature=1.0,
    )
    trainer = trl.GRPOTrainer(
        model=actor.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=datasets.Dataset.from_list([{"prompt": "a"}]),
        processing_class=base.tokenizer,
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    completions = [sample.completion for sample in samples]
    prompts = [torch.tensor(c.prompt_token_ids) for c in completions]
    written = right_padded([(1,) * len(c.token_ids) for c in completions], torch.long)
    inputs = {
        "prompt_ids": pad_sequence(prompts, batch_first=True, padding_side="left"),
        "prompt_mask": pad_sequence(
            [torch.ones_like(prompt) for prompt in prompts], batch_first=True, padding_side="left"
        ),
        "completion_ids": right_padded([c.token_ids for c in completions], torch.long),
        "completion_mask": written,
        "advantages": torch.tensor([sample.weight for sample in samples]),
        "old_per_token_logps": right_padded([c.logprobs or () for c in completions], torch.float32),
        "ref_per_token_logps": right_padded(base.logprobs(completions), torch.float32),
        "num_items_in_batch": written.sum(),
    }
    loss = trainer._compute_loss(trainer.model, inputs)
    assert_equal(GRPO(**PLAIN, kl=kl, kl_correction=correction, **options), samples, loss, trainer.model)
