"""The training loop: optimizer steps over units of token sequences, on a loss of their log-probabilities.

It imports torch, so it is imported only where training starts. Authors of trainers call it through
`halo_core.training`.

Logits are computed only at the positions that predict a token with loss (`logprobs.py`).
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file

from halo_core.config.training import TrainingOptions, flaw_of_lr
from halo_core.errors import DivergedError, Interrupted, TrainingError
from halo_core.model.actor import Actor, concrete, tensors_hash
from halo_core.model.adapters import lora_config
from halo_core.model.batching import epoch_steps, token_batches
from halo_core.model.contexts import Actor as AnyActor
from halo_core.model.contexts import TrainingContext
from halo_core.model.logprobs import batch_logprobs, pack
from halo_core.model.schedule import warnings_for
from halo_core.model.units import Batch, Loss, LossFunction, Per, Unit
from halo_core.seeds import derive_seed
from halo_core.types import TrainStats

_PRECISION = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}


_COUNTS: dict[str, Callable[[Sequence[Unit]], float]] = {
    "unit": len,
    "sequence": lambda units: sum(map(len, units)),
    "token": lambda units: sum(example.loss_tokens for unit in units for example in unit),
}


@dataclass(frozen=True, slots=True)
class _Step:
    loss: float
    lr: float
    grad_norm: float
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """The sum and the number of the elements of each statistic."""


def fit(
    units: Sequence[Unit],
    loss: LossFunction,
    options: TrainingOptions,
    context: TrainingContext,
    *,
    per: Per = "unit",
    entropies: bool = False,
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
    weights = actor.trainable()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with _training_mode(actor, options, context.seed), _interruptible(actor):
        loop = _Loop(actor, units, _Objective(loss, per, entropies), options, context)
        done = loop.run()
    state = loop.optimizer_state() if options.optimizer == "carry" else {}
    actor.optimizer_state = {name: value.to("cpu", copy=True) for name, value in state.items()}
    change = _change(before, weights)
    losses, lrs, norms = [s.loss for s in done], [s.lr for s in done], [s.grad_norm for s in done]
    return TrainStats(
        lr=lr,
        steps=len(done),
        samples=sum(map(len, units)),
        tokens=options.epochs * int(_COUNTS["token"](units)),
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
        notes=(*notes, *warnings_for(len(done), options.warmup(len(done)))),
        metrics=_means(step.metrics for step in done),
    )


def check_model(actor: AnyActor, options: TrainingOptions) -> None:
    """Raise a `ModelError` if the adapter of `options` does not fit; see `halo_core.training.check_model`."""
    model = concrete(actor)
    model.check_vocabulary()
    if not (options.full or model.has_adapter):
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
    }


@dataclass(frozen=True, slots=True)
class _Objective:
    """The author's loss, and how it is averaged."""

    function: LossFunction
    per: Per
    entropies: bool

    def denominator(self, units: Sequence[Unit]) -> float:
        """Return the number by which the loss of a step with `units` is divided."""
        value = self.per(units) if callable(self.per) else _COUNTS[self.per](units)
        if not 0 < value < float("inf"):
            raise TrainingError(
                f"the denominator of a step's loss is {value}", hint="`per` must return a positive number"
            )
        return value

    def loss(self, batch: Batch, logprobs: torch.Tensor) -> Loss:
        """Return the loss of a batch, checked."""
        found = self.function(batch, logprobs)
        loss = found if isinstance(found, Loss) else Loss(found)
        for value in (loss.total, loss.reported):
            if value is not None and value.dim():
                raise TrainingError(
                    f"the loss has shape {list(value.shape)}; it must be a scalar", hint="return its sum"
                )
        if not loss.total.requires_grad:
            raise TrainingError(
                "the loss does not depend on the log-probabilities",
                hint="compute it from them, without `detach`, `item` or `no_grad`",
            )
        return loss


class _Loop:
    """The optimizer steps of one cycle."""

    def __init__(
        self,
        actor: Actor,
        units: Sequence[Unit],
        objective: _Objective,
        options: TrainingOptions,
        context: TrainingContext,
    ) -> None:
        self.actor, self.units, self.objective = actor, units, objective
        self.options, self.context = options, context
        self.model = actor.unwrapped_model
        self.weights = list(actor.trainable().values())
        # otherwise the process keeps the precision of its first training
        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(
            mixed_precision=_PRECISION[actor.dtype], cpu=actor.device.type == "cpu", device_placement=False
        )
        self.budget = options.batch_tokens or (1024 if actor.device.type == "cpu" else 8192)
        optimizer = torch.optim.AdamW(
            self.weights, lr=context.lr, weight_decay=options.weight_decay, fused=True
        )
        if options.optimizer == "carry" and actor.optimizer_state:
            _restore(optimizer, actor.trainable(), actor.optimizer_state)
        self.optimizer: Any = self.accelerator.prepare(optimizer)
        self.optimizer.zero_grad()  # earlier users of the weights may have left gradients

    def run(self) -> list[_Step]:
        """Take the steps that the checkpoint does not contain, and report each to the context."""
        checkpoint, inputs_hash = self.context.checkpoint, ""
        done: list[_Step] = []
        if checkpoint:
            inputs_hash = self.inputs_hash()
            directory = checkpoint.load(inputs_hash)
            done = self.restore(directory) if directory else []
        lengths = [_longest(unit) for unit in self.units]
        plan = [
            step
            for epoch in range(self.options.epochs)
            for step in epoch_steps(
                lengths,
                self.options.per_step(len(lengths)),
                random.Random(derive_seed(self.context.seed, "epoch", epoch)),
            )
        ]
        for number, indices in list(enumerate(plan))[len(done) :]:
            lr = self.context.lr * self.options.multiplier(number, len(plan))
            randomness = self._random_states()
            try:
                done.append(self._step([self.units[index] for index in indices], lr))
            except Interrupted:  # within the step: no weight has changed yet
                self._set_random_states(randomness)
                if done and checkpoint and checkpoint.due:
                    checkpoint.save(inputs_hash, partial(self.write, done))
                raise
            if checkpoint and checkpoint.due:
                checkpoint.save(inputs_hash, partial(self.write, done))
            self.context.interrupt()
            self.context.progress(len(done), len(plan), done[-1].loss)
        return done

    def optimizer_state(self) -> dict[str, torch.Tensor]:
        """Return the optimizer's state, by the names of the weights."""
        inner = self.optimizer.optimizer
        return {
            f"{name}/{key}": torch.as_tensor(value).detach()
            for name, weight in self.actor.trainable().items()
            for key, value in inner.state[weight].items()
        }

    def inputs_hash(self) -> str:
        """Return the SHA-256 of everything that the steps depend on. Call it before the first step."""
        before = tensors_hash(self.actor.trainable()), tensors_hash(self.actor.optimizer_state)
        return sha256(
            repr((self.options, self.context.lr, self.context.seed, self.units, before)).encode()
        ).hexdigest()

    def write(self, done: Sequence[_Step], directory: Path) -> None:
        """Write the loop's state: weights, optimizer, random number generators, scaler, finished steps."""
        for part, tensors in (
            ("weights", self.actor.trainable()),
            ("optimizer", self.optimizer_state()),
            ("random", self._random_states()),
        ):
            contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
            save_file(contiguous, directory / f"{part}.safetensors")
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        (directory / "steps.json").write_text(
            json.dumps({"steps": list(map(astuple, done)), "scaler": scaler})
        )

    def restore(self, directory: Path) -> list[_Step]:
        """Restore the state that `write` stored in `directory`; return the finished steps."""
        weights = self.actor.trainable()
        with torch.no_grad():
            for name, value in load_file(directory / "weights.safetensors").items():
                weights[name].copy_(value)
        _restore(self.optimizer.optimizer, weights, load_file(directory / "optimizer.safetensors"))
        self._set_random_states(load_file(directory / "random.safetensors"))
        stored = json.loads((directory / "steps.json").read_text())
        if stored["scaler"]:
            self.accelerator.scaler.load_state_dict(stored["scaler"])
        return [_Step(*step) for step in stored["steps"]]

    def _random_states(self) -> dict[str, torch.Tensor]:
        return {name: get() for name, (get, _) in _generators(self.actor.device).items()}

    def _set_random_states(self, states: Mapping[str, torch.Tensor]) -> None:
        for name, state in states.items():
            _generators(self.actor.device)[name][1](state)

    def _step(self, units: Sequence[Unit], lr: float) -> _Step:
        total = self.objective.denominator(units)
        loss = torch.zeros((), device=self.actor.device)
        metrics: list[Mapping[str, torch.Tensor]] = []
        for rows in token_batches(list(map(_longest, units)), self.budget, list(map(len, units))):
            batch = pack([units[row] for row in rows], self.actor.device)
            with self.accelerator.autocast():
                logprobs, batch = batch_logprobs(self.model, batch, entropies=self.objective.entropies)
            found = self.objective.loss(batch, logprobs)
            self.accelerator.backward(found.total / total)
            loss += (found.total if found.reported is None else found.reported).detach() / total
            metrics.append(found.metrics)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss.item()}", hint="lower the learning rate, or check the model's weights"
            )
        return _Step(loss.item(), lr, norm, _sums(metrics))

    def _clip(self) -> float:
        limit = self.options.max_grad_norm or float("inf")
        norm: float = self.accelerator.clip_grad_norm_(self.weights, limit).item()
        return norm


def _longest(unit: Unit) -> int:
    return max(map(len, unit))


def _sums(batches: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, list[float]]:
    """Return the sum and the number of the elements of each statistic, over the batches of a step."""
    found: dict[str, list[float]] = {}
    for metrics in batches:
        for name, values in metrics.items():
            entry = found.setdefault(name, [0.0, 0])
            entry[0] += values.detach().double().sum().item()
            entry[1] += values.numel()
    return found


def _means(steps: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """Return the mean of each statistic over all elements of all steps; without those that have no element."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for metrics in steps:
        for name, (total, count) in metrics.items():
            sums[name] = sums.get(name, 0.0) + total
            counts[name] = counts.get(name, 0.0) + count
    return {name: total / counts[name] for name, total in sums.items() if counts[name]}


@contextmanager
def _training_mode(actor: Actor, options: TrainingOptions, seed: int) -> Iterator[None]:
    """Turn on seeded dropout and gradient checkpointing for the enclosed training; restore everything on exit."""
    model, device = actor.model, actor.device
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type="cuda" if not devices else device.type):
        torch.manual_seed(derive_seed(seed, "dropout"))
        if options.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        try:
            yield
        finally:
            model.eval()
            if options.gradient_checkpointing:
                model.gradient_checkpointing_disable()


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


def _generators(device: torch.device) -> dict[str, tuple[Callable[[], Any], Callable[[Any], None]]]:
    """Return a getter and a setter of the state of each random number generator that dropout may use."""
    found: dict[str, Any] = {"cpu": (torch.get_rng_state, torch.set_rng_state)}
    if device.type != "cpu":
        module = torch.get_device_module(device)
        options = {} if device.type == "mps" else {"device": device}
        found["device"] = (
            partial(module.get_rng_state, **options),
            partial(module.set_rng_state, **options),
        )
    return found


def _restore(
    optimizer: torch.optim.Optimizer, weights: dict[str, torch.nn.Parameter], state: dict[str, torch.Tensor]
) -> None:
    """Load into `optimizer` the state that another optimizer had for the same weights."""
    for name, weight in weights.items():
        prefix = f"{name}/"
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if not own or any(value.dim() and value.shape != weight.shape for value in own.values()):
            raise TrainingError(
                f"the optimizer's state does not fit the weights: {name}",
                hint="start a new run, or set the trainer's option optimizer=reset",
            )
        optimizer.state[weight] = {
            key: value.to(weight.device, copy=True) if value.dim() else value.clone().to(weight.device)
            for key, value in own.items()
        }


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    squares = [tensor.detach().double().square().sum().cpu() for tensor in tensors]
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
