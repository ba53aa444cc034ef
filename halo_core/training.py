"""The one training loop: optimizer steps over token sequences whose completions carry the loss.

It imports torch, so it is itself imported only where training begins.

Sequences are padded on the right and no attention mask is given: under causal attention a token never
sees what comes after it, so the padding cannot touch the loss, and attention keeps its fast path. Logits
are computed at the positions that predict completion tokens and nowhere else.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from halo_core.actor import Actor
from halo_core.batching import epoch_steps, token_batches
from halo_core.errors import TrainingError
from halo_core.seeds import derive_seed
from halo_core.types import TrainStats

if TYPE_CHECKING:
    from halo_core.drivers.sft import SFT

_PRECISION = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence to train on: the context as the model saw it, and the completion that carries the loss."""

    prompt_ids: tuple[int, ...]
    """At least one."""
    completion_ids: tuple[int, ...]
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True, slots=True)
class _Batch:
    """B sequences of at most T + 1 tokens, N of which are completion tokens."""

    ids: torch.Tensor
    """[B, T], padded on the right."""
    positions: torch.Tensor
    """[N], into the flattened [B * T]: where the next token is a completion token."""
    targets: torch.Tensor
    """[N], those tokens."""
    weights: torch.Tensor
    """[N], of their sequences."""


@dataclass(frozen=True, slots=True)
class _Step:
    loss: float
    lr: float
    grad_norm: float


def fit(actor: Actor, examples: Sequence[Example], options: SFT, *, lr: float, seed: int) -> TrainStats:
    """Train the actor's trainable weights on `examples`, with a fresh optimizer, and say what it did.

    The result depends on the arguments alone on a CPU. Raises `TrainingError` where there is nothing to
    train on or with, the rate is not positive and finite, a loss, gradient or weight stops being finite,
    or the weights come out unchanged.
    """
    examples = [example for example in examples if example.weight and example.completion_ids]
    if not examples:
        raise TrainingError("there is nothing to train on", hint="no completion was chosen, or each weighs 0")
    if not 0 < lr < float("inf"):
        raise TrainingError(f"a learning rate of {lr} cannot train", hint="it must be positive and finite")
    weights = actor.trainable()
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with _training_mode(actor, options, seed):
        done = _Loop(actor, examples, options, lr, seed).run()
    change = _change(before, weights)
    losses, rates, norms = [s.loss for s in done], [s.lr for s in done], [s.grad_norm for s in done]
    return TrainStats(
        steps=len(done),
        samples=len(examples),
        tokens=options.epochs * sum(len(example.completion_ids) for example in examples),
        loss_first=losses[0],
        loss_last=losses[-1],
        lr_peak=max(rates),
        lr_sum=sum(rates),
        grad_norm_median=statistics.median(norms),
        clipped_fraction=sum(norm > options.max_grad_norm > 0 for norm in norms) / len(norms),
        update_norm=change,
    )


class _Loop:
    """The optimizer steps of one cycle."""

    def __init__(self, actor: Actor, examples: Sequence[Example], options: SFT, lr: float, seed: int) -> None:
        self.actor, self.examples, self.options, self.lr, self.seed = actor, examples, options, lr, seed
        self.model = actor.model.get_base_model() if actor.has_adapter else actor.model
        self.weights = list(actor.trainable().values())
        AcceleratorState._reset_state(reset_partial_state=True)  # else the process keeps its first precision
        self.accelerator = Accelerator(
            mixed_precision=_PRECISION[actor.dtype], cpu=actor.device.type == "cpu", device_placement=False
        )
        self.budget = options.batch_tokens or (1024 if actor.device.type == "cpu" else 8192)
        optimizer = torch.optim.AdamW(self.weights, lr=lr, weight_decay=options.weight_decay, fused=True)
        self.optimizer: Any = self.accelerator.prepare(optimizer)
        self.optimizer.zero_grad()  # whoever had the weights before may have left gradients

    def run(self) -> list[_Step]:
        """Take every step, reporting each to `actor.progress`."""
        lengths = [len(example) for example in self.examples]
        plan = [
            step
            for epoch in range(self.options.epochs)
            for step in epoch_steps(
                lengths, self.options.batch_size, random.Random(derive_seed(self.seed, "epoch", epoch))
            )
        ]
        done: list[_Step] = []
        for number, indices in enumerate(plan):
            rate = self.lr * self.options.multiplier(number, len(plan))
            done.append(self._step([self.examples[index] for index in indices], rate))
            if self.actor.progress:
                self.actor.progress(len(done), len(plan), done[-1].loss)
        return done

    def _step(self, examples: Sequence[Example], rate: float) -> _Step:
        total = sum(abs(example.weight) * len(example.completion_ids) for example in examples)
        loss = torch.zeros((), device=self.actor.device)
        for rows in token_batches([len(example) for example in examples], self.budget):
            batch = _batch([examples[row] for row in rows], self.actor.device)
            with self.accelerator.autocast():
                logits = completion_logits(self.model, batch.ids, batch.positions)
                nll = functional.cross_entropy(logits.float(), batch.targets, reduction="none")
            self.accelerator.backward((nll * batch.weights).sum() / total)
            loss += (nll.detach() * batch.weights.abs()).sum() / total
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()}", hint="lower the learning rate, or check the model's weights"
            )
        return _Step(loss.item(), rate, norm)

    def _clip(self) -> float:
        limit = self.options.max_grad_norm or float("inf")
        norm: float = self.accelerator.clip_grad_norm_(self.weights, limit).item()
        return norm


def completion_logits(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, V] of a causal language model on `ids` [B, T] at N flat `positions` of B * T.

    The output head is given those positions only, which leaves whatever the model does to its logits in
    place. A model whose head cannot be found computes them all, and the positions are taken out.
    """
    head = model.get_output_embeddings()
    if head is None:
        return _take(model(input_ids=ids, use_cache=False).logits, positions)
    hook = head.register_forward_pre_hook(lambda _, args: (_take(args[0], positions), *args[1:]))
    try:
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    return logits


def _take(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return values.flatten(0, 1).index_select(0, positions)


def _batch(examples: Sequence[Example], device: torch.device) -> _Batch:
    rows = [torch.tensor(example.prompt_ids + example.completion_ids) for example in examples]
    ids = pad_sequence(rows, batch_first=True)
    starts = torch.tensor([[len(example.prompt_ids)] for example in examples])
    ends = torch.tensor([[len(example)] for example in examples])
    column = torch.arange(1, ids.shape[1])
    carries = (column >= starts) & (column < ends)
    weights = torch.tensor([[example.weight] for example in examples]).expand(carries.shape)
    return _Batch(
        ids=ids[:, :-1].to(device),
        positions=carries.flatten().nonzero().squeeze(1).to(device),
        targets=ids[:, 1:][carries].to(device),
        weights=weights[carries].to(device),
    )


@contextmanager
def _training_mode(actor: Actor, options: SFT, seed: int) -> Iterator[None]:
    """Dropout on and seeded, inside; everything as it was, outside."""
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


def _change(before: dict[str, torch.Tensor], after: dict[str, torch.nn.Parameter]) -> float:
    squares = [(after[name].detach() - old).double().square().sum().cpu() for name, old in before.items()]
    change = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    if change == 0.0:
        raise TrainingError(
            "training left the weights unchanged",
            hint="the learning rate may be too small for their precision, or the gradients are all zero",
        )
    if not change < float("inf"):
        raise TrainingError("the weights are no longer finite", hint="lower the learning rate")
    return change
