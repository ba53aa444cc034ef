"""The training loop: optimizer steps over units of token sequences, on a loss of their log-probabilities.

It imports torch, so it is imported only where training starts. Authors of trainers call it through
`halo_core.training`.

Logits are computed only at the positions that predict a token with loss (`logprobs.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from halo_core.config.training import TrainingOptions, flaw_of_lr
from halo_core.errors import DivergedError, TrainingError
from halo_core.model.actor import Actor, concrete
from halo_core.model.adapters import lora_config
from halo_core.model.contexts import Actor as AnyActor
from halo_core.model.contexts import TrainingContext
from halo_core.model.lean import lean
from halo_core.model.memory import recomputes, set_recomputing
from halo_core.model.objective import COUNTS, Objective
from halo_core.model.quantizing import check_full
from halo_core.model.schedule import warnings_for
from halo_core.model.sharding import sharded
from halo_core.model.steps import Loop, means
from halo_core.model.units import LossFunction, Per, Unit
from halo_core.model.weights import whole
from halo_core.seeds import derive_seed
from halo_core.types import TrainStats


def fit(
    units: Sequence[Unit],
    loss: LossFunction,
    options: TrainingOptions,
    context: TrainingContext,
    *,
    per: Per = "unit",
    entropies: bool = False,
    values: bool = False,
) -> TrainStats:
    """Train `context.actor` on `units`; see `halo_core.training.fit`."""
    actor, lr = concrete(context.actor), context.lr
    units = [unit for unit in units if any(example.loss_tokens for example in unit)]
    if not units:
        raise TrainingError(
            "no completion to train on",
            hint="nothing was selected, all weights are 0, or every loss mask is all False",
        )
    if flaw := flaw_of_lr(lr):
        raise TrainingError(f"the learning rate is {lr}; {flaw}", hint="check the learning-rate policy")
    notes = _make_trainable(actor, options, seed=context.seed)
    if values:
        actor.add_value_head()
    else:
        actor.value_head = None
    with (
        sharded(actor, context.peers if options.full else None),
        _training_mode(actor, options, context.seed),
        lean(actor.model),
        _interruptible(actor),
    ):
        weights = actor.trainable()
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        loop = Loop(actor, units, Objective(loss, per, entropies), options, context)
        done = loop.run()
    state = loop.optimizer_state() if options.optimizer == "carry" else {}
    actor.optimizer_state = {name: whole(value).to("cpu", copy=True) for name, value in state.items()}
    change = _change(before, weights)
    losses, lrs, norms = [s.loss for s in done], [s.lr for s in done], [s.grad_norm for s in done]
    return TrainStats(
        lr=lr,
        steps=len(done),
        samples=sum(map(len, units)),
        tokens=options.epochs * int(COUNTS["token"](units)),
        loss_first=losses[0],
        loss_last=losses[-1],
        lr_peak=max(lrs),
        lr_sum=sum(lrs),
        grad_norm_median=statistics.median(norms),
        clipped_fraction=sum(norm > options.max_grad_norm > 0 for norm in norms) / len(norms),
        update_norm=change,
        weight_norm=_norm(weights.values()),
        losses=tuple(losses),
        grad_norms=tuple(norms),
        notes=(*notes, *loop.notes, *warnings_for(len(done), options.warmup(len(done)))),
        metrics=means(step.metrics for step in done),
    )


def check_model(actor: AnyActor, options: TrainingOptions) -> None:
    """Raise a `ModelError` if the adapter of `options` does not fit; see `halo_core.training.check_model`."""
    model = concrete(actor)
    model.check_vocabulary()
    if options.full:
        check_full(model.config)
    elif not model.has_adapter:
        lora_config(model.model, **_lora(options))


def _make_trainable(actor: Actor, options: TrainingOptions, *, seed: int) -> tuple[str, ...]:
    """Make the actor trainable as `options` configures, unless it is already; return notes on the adapter."""
    if options.full:
        actor.train_all()
        return ()
    return actor.add_lora(**_lora(options), seed=derive_seed(seed, "lora"))


def _lora(options: TrainingOptions) -> dict[str, Any]:
    return {
        "rank": options.lora_rank,
        "alpha": options.lora_alpha,
        "dropout": options.lora_dropout,
        "target_modules": options.target_modules,
        "modules_to_save": options.modules_to_save,
        "rslora": options.rslora,
        "dora": options.dora,
        "init": options.lora_init,
    }


@contextmanager
def _training_mode(actor: Actor, options: TrainingOptions, seed: int) -> Iterator[None]:
    """Turn on seeded dropout for the enclosed training, and gradient checkpointing if needed; restore all on exit."""
    model, device = actor.model, actor.device
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type="cuda" if not devices else device.type):
        torch.manual_seed(derive_seed(seed, "dropout"))  # each batch has its own seed besides
        if options.gradient_checkpointing is True or (actor.batching and actor.batching.checkpointing):
            set_recomputing(actor.unwrapped_model, on=True)
        model.train()
        try:
            yield
        finally:
            model.eval()
            if recomputes(model):
                set_recomputing(actor.unwrapped_model, on=False)


@contextmanager
def _interruptible(actor: Actor) -> Iterator[None]:
    """Call `actor.interrupt` during each backward pass, whenever the gradient of a weight is complete."""
    weights: list[Any] = list(actor.trainable().values())
    hooks = [weight.register_post_accumulate_grad_hook(lambda _: actor.interrupt()) for weight in weights]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    squares = [whole(tensor.detach().double().square().sum()).cpu() for tensor in tensors]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def _change(before: dict[str, torch.Tensor], after: dict[str, torch.nn.Parameter]) -> float:
    change = _norm(after[name].detach() - old for name, old in before.items())
    if change == 0.0:
        raise TrainingError(
            "training did not change the weights",
            hint="the learning rate may be too small for their precision, or the gradients are all zero",
        )
    if not change < float("inf"):
        raise DivergedError("the weights are no longer finite", hint="lower the learning rate")
    return change
