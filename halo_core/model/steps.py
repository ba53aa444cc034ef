"""The optimizer steps of one training. Imports torch."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file

from halo_core.config.training import TrainingOptions
from halo_core.errors import DivergedError, Interrupted, TrainingError
from halo_core.model.actor import VALUE_HEAD, Actor
from halo_core.model.batching import epoch_steps
from halo_core.model.contexts import TrainingContext
from halo_core.model.logprobs import Scorer
from halo_core.model.memory import Batching, is_out_of_memory, recomputes, release, set_recomputing
from halo_core.model.objective import Objective
from halo_core.model.packing import pack
from halo_core.model.parallel import Result, Sums, add_up, agreed
from halo_core.model.sharding import add_up_shards, is_sharded, like
from halo_core.model.sharing import Cost, batches, prompts_of, saves, size_of
from halo_core.model.units import Unit
from halo_core.model.weights import tensors_hash, whole
from halo_core.seeds import derive_seed

_BUDGETS = {"cpu": 1024}
"""Tokens of a batch by default, by kind of device: on a CPU they fit its caches, and more would not be faster."""
_LARGE_BUDGET = 8192
"""The same on other devices, where the largest batch is tried before the first step."""
_Part = tuple[list[int], list[tuple[int, ...]]]
"""The units of a batch, and the sequences of each of its rows."""
_Total = tuple[torch.Tensor, list[Sums]]
"""The loss of a step, and the statistics of its batches."""
T = TypeVar("T")
_PRECISION = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True, slots=True)
class Step:
    """A finished optimizer step."""

    loss: float
    lr: float
    grad_norm: float
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """The sum and the number of the elements of each statistic."""


class Loop:
    """The optimizer steps of one cycle."""

    def __init__(
        self,
        actor: Actor,
        units: Sequence[Unit],
        objective: Objective,
        options: TrainingOptions,
        context: TrainingContext,
    ) -> None:
        self.actor, self.units, self.objective = actor, units, objective
        self.options, self.context = options, context
        self.cost: Cost | None = None
        self.named = actor.trainable()  # later the model may have the whole weights of those that are split
        self.weights = list(self.named.values())
        self.sharded = is_sharded(self.weights)
        # otherwise the process keeps the precision of its first training
        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(
            mixed_precision=_PRECISION[actor.dtype], cpu=actor.device.type == "cpu", device_placement=False
        )
        with self.accelerator.autocast():
            self.scorer = Scorer(actor.unwrapped_model, actor.value_head)
        self.notes: list[str] = []
        self.number = 0
        """The number of the current step."""
        kind = actor.device.type
        self.limit = options.batch_tokens or _BUDGETS.get(kind, _LARGE_BUDGET)
        self.batching: Batching = actor.batching or Batching(self.limit)
        self.batching.budget = min(self.batching.budget, self.limit)
        actor.batching = self.batching
        self.may_checkpoint = options.gradient_checkpointing == "auto"
        optimizer = torch.optim.AdamW(
            self.weights, lr=context.lr, weight_decay=options.weight_decay, fused=True
        )
        if options.optimizer == "carry" and actor.optimizer_state:
            _restore(optimizer, _with_state(actor, self.named), actor.optimizer_state)
        self.optimizer: Any = self.accelerator.prepare(optimizer)
        self.optimizer.zero_grad()  # earlier users of the weights may have left gradients

    def run(self) -> list[Step]:
        """Take the steps that the checkpoint does not contain, and report each to the context."""
        checkpoint, inputs_hash = self.context.checkpoint, ""
        done: list[Step] = []
        if checkpoint:
            inputs_hash = self.inputs_hash()
            directory = checkpoint.load(inputs_hash)
            done = self.restore(directory) if directory else []
        plan = self.plan()
        if self.actor.device.type not in _BUDGETS and not self.batching.tried:
            self.try_largest(plan)
        for number, indices in list(enumerate(plan))[len(done) :]:
            lr = self.context.lr * self.options.multiplier(number, len(plan))
            self.number = number
            try:
                done.append(self._step([self.units[index] for index in indices], lr))
            except Interrupted:  # within the step: no weight has changed yet
                if done and checkpoint and checkpoint.due:
                    checkpoint.save(inputs_hash, partial(self.write, done))
                raise
            if checkpoint and checkpoint.due:
                checkpoint.save(inputs_hash, partial(self.write, done))
            self.context.interrupt()
            self.context.progress(len(done), len(plan), done[-1].loss)
        return done

    def plan(self) -> list[list[int]]:
        """Return the steps, as indices of the units. Let sequences share rows from here on if that saves enough."""
        if self.options.share_prefixes:
            shared, cost = self._steps(prompts_of(self.units)), Cost.of_model(self.scorer.model)
            epoch = shared[: len(shared) // self.options.epochs]
            # by the limit, whatever the memory has allowed since: a resumed training must have the same plan
            if saves(self.units, epoch, self.limit, cost):
                with self.accelerator.autocast():
                    flaw = self.scorer.sharing_flaw(max(map(_longest, self.units)))
                if not flaw:
                    self.cost = cost
                    return shared
        return self._steps(None)

    def _steps(self, groups: Sequence[Hashable] | None) -> list[list[int]]:
        lengths = [_longest(unit) for unit in self.units]
        seeds = [derive_seed(self.context.seed, "epoch", epoch) for epoch in range(self.options.epochs)]
        size = self.options.per_step(len(lengths))
        return [step for seed in seeds for step in epoch_steps(lengths, size, random.Random(seed), groups)]

    def optimizer_state(self) -> dict[str, torch.Tensor]:
        """Return the optimizer's state, by the names of the weights."""
        inner = self.optimizer.optimizer
        return {
            f"{name}/{key}": torch.as_tensor(value).detach()
            for name, weight in self.named.items()
            for key, value in inner.state[weight].items()
        }

    def inputs_hash(self) -> str:
        """Return the SHA-256 of everything that the steps depend on. Call it before the first step."""
        before = tensors_hash(self.named), tensors_hash(self.actor.optimizer_state)
        return sha256(
            repr((self.options, self.context.lr, self.context.seed, self.units, before)).encode()
        ).hexdigest()

    def write(self, done: Sequence[Step], directory: Path) -> None:
        """Write the loop's state: weights, optimizer, scaler, finished steps. With split weights, all must call it."""
        leads = self.context.peers is None or self.context.peers.rank == 0
        for part, tensors in (
            ("weights", self.named),
            ("optimizer", self.optimizer_state()),
        ):
            found = {}
            for name, tensor in tensors.items():
                value = whole(tensor)  # by all processes, one tensor at a time
                if leads:
                    found[name] = value.cpu().contiguous()
            if leads:
                save_file(found, directory / f"{part}.safetensors")
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        (directory / "steps.json").write_text(
            json.dumps({"steps": list(map(astuple, done)), "scaler": scaler})
        )

    def restore(self, directory: Path) -> list[Step]:
        """Restore the state that `write` stored in `directory`; return the finished steps."""
        with torch.no_grad():
            for name, value in load_file(directory / "weights.safetensors").items():
                self.named[name].copy_(like(value, self.named[name]))
        if self.sharded:  # else a layer that is whole since the last forward pass would keep its weights
            self.actor.model.reshard()
        _restore(self.optimizer.optimizer, self.named, load_file(directory / "optimizer.safetensors"))
        stored = json.loads((directory / "steps.json").read_text())
        if stored["scaler"]:
            self.accelerator.scaler.load_state_dict(stored["scaler"])
        return [Step(*step) for step in stored["steps"]]

    def try_largest(self, plan: Sequence[Sequence[int]]) -> None:
        """Compute the gradients of the largest batch once, so that memory runs out now or not at all."""
        steps = [[self.units[index] for index in step] for step in plan]
        reserved = [torch.empty_like(weight) for weight in self.weights for _ in range(2)]  # the optimizer's

        def largest() -> Any:
            heaviest = max(steps, key=self._largest)
            size, total = self._largest(heaviest), self.objective.denominator(heaviest)
            part = next(each for each in self._batches(heaviest) if _area(heaviest, *each) == size)

            def compute() -> None:
                self._part(heaviest, total, 0, part)

            return agreed(self.context.peers, compute) if self.context.peers else compute()

        self._within_memory(steps, largest)
        del reserved
        self.optimizer.zero_grad()
        self.batching.tried = True

    def _largest(self, units: Sequence[Unit]) -> int:
        return max(_area(units, *part) for part in self._batches(units))

    def _batches(self, units: Sequence[Unit]) -> list[_Part]:
        return batches(units, self.batching.budget, self.cost)

    def _within_memory(self, steps: Sequence[Sequence[Unit]], compute: Callable[[], T]) -> T:
        """Return what `compute` returns; if it runs out of memory, make the batches of `steps` smaller and repeat."""
        if self.sharded:  # the others wait for what this process would no longer send
            return compute()
        while True:
            try:
                return compute()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            self.optimizer.zero_grad()
            release(self.actor.device)
            largest = max(map(self._largest, steps))
            smallest = max(self._largest([unit]) for units in steps for unit in units)
            self.notes.append(self.batching.reduce(largest, smallest, may_checkpoint=self.may_checkpoint))
            if self.batching.checkpointing and not recomputes(self.actor.model):
                set_recomputing(self.actor.unwrapped_model, on=True)

    def _gradients(self, units: Sequence[Unit]) -> _Total:
        """Add up the gradients of a step; return its loss and the statistics of its batches."""
        total, parts, peers = self.objective.denominator(units), self._batches(units), self.context.peers
        if peers is None:
            found = [self._part(units, total, number, part) for number, part in enumerate(parts)]
            losses, metrics = [loss for loss, _ in found], [_sums(each) for _, each in found]
        else:

            def compute(number: int, part: _Part, factor: float = 1.0) -> Result:
                loss, statistics = self._part(units, total, number, part, factor)
                return loss.item(), _sums(statistics)

            if self.sharded:
                results = add_up_shards(peers, parts, compute)
            else:
                results = add_up(peers, parts, compute, self.weights)
            losses = [torch.tensor(loss, device=self.actor.device) for loss, _ in results]
            metrics = [statistics for _, statistics in results]
        return sum(losses, torch.zeros((), device=self.actor.device)), metrics

    def _part(
        self, units: Sequence[Unit], total: float, number: int, part: _Part, factor: float = 1.0
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Add the gradients of a batch of a step, times `factor`; return its share of the loss, and its statistics.

        Dropout has a seed for each batch: it depends neither on the batches before nor on the process that computes it.
        """
        indices, rows = part
        batch = pack([units[index] for index in indices], self.actor.device, rows)
        torch.manual_seed(derive_seed(self.context.seed, "dropout", self.number, number))
        with self.accelerator.autocast():
            logprobs, batch = self.scorer.score(batch, entropies=self.objective.entropies)
        found = self.objective.loss(batch, logprobs)
        self.accelerator.backward(found.total / total * factor)
        return (found.total if found.reported is None else found.reported).detach() / total, found.metrics

    def _step(self, units: Sequence[Unit], lr: float) -> Step:
        loss, metrics = self._within_memory([units], lambda: self._gradients(units))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss.item()}", hint="lower the learning rate, or check the model's weights"
            )
        return Step(loss.item(), lr, norm, _added(metrics))

    def _clip(self) -> float:
        limit = self.options.max_grad_norm or float("inf")
        norm: float = whole(self.accelerator.clip_grad_norm_(self.weights, limit)).item()
        return norm


def means(steps: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """Return the mean of each statistic over all elements of all steps; without those that have no element."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for metrics in steps:
        for name, (total, count) in metrics.items():
            sums[name] = sums.get(name, 0.0) + total
            counts[name] = counts.get(name, 0.0) + count
    return {name: total / counts[name] for name, total in sums.items() if counts[name]}


def _area(units: Sequence[Unit], indices: Sequence[int], rows: Sequence[Sequence[int]]) -> int:
    """Return the number of tokens of a batch, padding included."""
    examples = [example for index in indices for example in units[index]]
    return len(rows) * max(size_of([examples[index] for index in row]) for row in rows)


def _longest(unit: Unit) -> int:
    return max(map(len, unit))


def _sums(metrics: Mapping[str, torch.Tensor]) -> Sums:
    """Return the sum and the number of the elements of each statistic of a batch."""
    return {name: (values.detach().double().sum().item(), values.numel()) for name, values in metrics.items()}


def _added(batches: Iterable[Sums]) -> dict[str, list[float]]:
    """Return the sums and the numbers of all batches of a step."""
    found: dict[str, list[float]] = {}
    for metrics in batches:
        for name, values in metrics.items():
            before = found.get(name, (0.0, 0))
            found[name] = [one + other for one, other in zip(before, values, strict=True)]
    return found


def _with_state(actor: Actor, weights: dict[str, torch.nn.Parameter]) -> dict[str, torch.nn.Parameter]:
    """Return the trainable weights without a value head that the optimizer has not seen yet."""
    seen = any(name.startswith(VALUE_HEAD) for name in actor.optimizer_state)
    return {name: w for name, w in weights.items() if seen or not name.startswith(VALUE_HEAD)}


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
        optimizer.state[weight] = {key: like(value, weight) for key, value in own.items()}
