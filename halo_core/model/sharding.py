"""Full fine-tuning with weights, gradients and optimizer split over several processes. Imports torch.

Each process has a share of every tensor (FSDP, by torch's `fully_shard`). A layer's weights are whole in the memory of
the device only while it computes. The gradients of a step are summed over the processes, so they are those of one
process up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from halo_core.errors import TrainingError
from halo_core.model.actor import Actor, layers_of
from halo_core.model.weights import whole

if TYPE_CHECKING:
    from halo_core.model.contexts import Peers
    from halo_core.model.parallel import Result

Part = TypeVar("Part")


@contextmanager
def sharded(actor: Actor, peers: Peers | None) -> Iterator[None]:
    """Split the weights of `actor` over `peers` in the enclosed training, if they have a mesh; all must enter it.

    The whole model remains in main memory, where it gets the trained weights at the end. If the training fails, it
    keeps those that it had.
    """
    mesh = peers.mesh if peers else None
    if mesh is None:
        yield
        return
    if actor.dtype is torch.float16:
        raise TrainingError(
            "weights that are split over trainers cannot be trained in float16",
            hint="set model.dtype to bfloat16 or float32",
        )
    if actor.value_head is not None:
        raise TrainingError(
            "a value head cannot be trained with weights that are split over trainers",
            hint="choose a trainer without one, such as grpo, or leave shard out",
        )
    plain, device = actor.model, actor.device
    actor.model = model = copy.deepcopy(plain)
    actor.__dict__["device"] = torch.device(mesh.device_type)
    try:
        for layer in layers_of(model):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        for module in model.modules():
            if isinstance(
                module, FSDPModule
            ):  # the loss of a batch is its share of the step's, so gradients add up
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        yield
        model.reshard()
        with torch.no_grad():
            own = dict(plain.named_parameters())
            for name, weight in model.named_parameters():
                own[name].copy_(whole(weight))
    finally:
        actor.model, actor.__dict__["device"] = plain, device


def like(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return `value`, a copy on the device of `weight`, and split as `weight` is if it has its shape."""
    if isinstance(weight, DTensor) and value.dim():
        return distribute_tensor(
            value.to(weight.device), weight.device_mesh, weight.placements, src_data_rank=None
        )
    return value.to(weight.device, copy=True)


def add_up_shards(
    peers: Peers, parts: Sequence[Part], compute: Callable[[int, Part, float], Result]
) -> list[Result]:
    """Compute each part of a step in one of the processes, whose gradients are split and summed on the way.

    `compute` gets the number of a part, the part, and a factor of its gradients. All processes must compute equally
    often: one that has nothing to do computes the last part, times 0. Returns the results of all parts, in order.
    """
    results: list[Result] = []
    for first in range(0, len(parts), peers.size):
        number = first + peers.rank
        last = min(number, len(parts) - 1)
        found = peers.gather(compute(last, parts[last], 1.0 if number == last else 0.0))
        results += found[: len(parts) - first]
    return results


def is_sharded(weights: Sequence[Any]) -> bool:
    """Return whether `weights` are split over processes."""
    return any(isinstance(weight, DTensor) for weight in weights)
