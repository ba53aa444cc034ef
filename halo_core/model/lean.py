"""Layers that keep less for the backward pass, with the same results. Imports torch.

Dropout before a LoRA matrix keeps a byte for each number instead of two numbers, and a gated MLP keeps the inputs of
its activation instead of inputs and outputs. What is not kept is computed again, which costs little beside the matrix
products. The inputs of a layer of 16 bits are not copied to the precision of the adapter's weights first, of which
autocast would make a third copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from halo_core.model.heads import FAILURES

_DROPOUTS = (nn.Dropout, nn.Identity)
_DRAWS = 2**16


@contextmanager
def lean(model: Any) -> Iterator[None]:
    """Let the layers of `model` that are known keep less, in the enclosed block."""
    changed: list[Any] = []
    uncast: list[Any] = []

    def replace(module: Any, forward: Callable[..., torch.Tensor]) -> None:
        module.forward = forward
        changed.append(module)

    for module in model.modules():
        for name, share, matrix in _matrices(module):
            replace(module.lora_dropout[name], _unchanged)
            replace(matrix, partial(_dropped_product, matrix, share))
        if _is_plain(module):
            module.cast_input_dtype_enabled = False
            uncast.append(module)
        if _is_gated(module):
            replace(module, partial(_gated_forward, module))
    try:
        yield
    finally:
        for module in changed:
            del module.forward
        for module in uncast:
            module.cast_input_dtype_enabled = True


def _is_plain(module: Any) -> bool:
    """Return whether `module` is a layer of PEFT of which all adapters are plain, and that copies its inputs."""
    names = {name for name, _, _ in _matrices(module)}
    return bool(names) and names == set(module.lora_A) and getattr(module, "cast_input_dtype_enabled", False)


def _matrices(module: Any) -> Iterator[tuple[str, float, nn.Linear]]:
    """Yield the name, the share that is dropped and the first matrix of each plain adapter of a LoRA layer."""
    if not hasattr(module, "lora_A") or not hasattr(module, "lora_dropout"):
        return
    for name, matrix in module.lora_A.items():
        dropout = dict(module.lora_dropout.items()).get(name)
        is_plain = name not in getattr(module, "lora_variant", {})
        if is_plain and type(dropout) in _DROPOUTS and type(matrix) is nn.Linear and matrix.bias is None:
            yield name, getattr(dropout, "p", 0.0), matrix


def _drop(values: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return `values` with a random `share` set to 0 and the rest scaled up, the mask of the rest, and the scale.

    A CPU draws 16 bits for each number, which takes a fifth of the time that torch's `bernoulli_` takes. The share is
    rounded to 2^-16 there, and the scale belongs to the rounded one.
    """
    if values.device.type != "cpu":
        dropped, mask = torch.native_dropout(values, share, True)
        return dropped, mask, 1 / (1 - share)
    limit = min(round(share * _DRAWS), _DRAWS - 1)
    size = values.numel()
    drawn = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:size]
    mask = (drawn >= limit - _DRAWS // 2).view(values.shape)
    scale = _DRAWS / (_DRAWS - limit)
    return (values * mask).mul_(scale), mask, scale


def _unchanged(values: torch.Tensor) -> torch.Tensor:
    return values


def _dropped_product(matrix: nn.Linear, share: float, values: torch.Tensor) -> torch.Tensor:
    kind = values.device.type
    values = values.to(
        torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else matrix.weight.dtype
    )
    if not matrix.training or not share:
        return functional.linear(values, matrix.weight)
    product: torch.Tensor = _DroppedProduct.apply(values, matrix.weight, share)  # type: ignore[no-untyped-call]
    return product


class _DroppedProduct(torch.autograd.Function):
    """dropout(values) @ weight.T, with one bit for each of `values` kept."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, weight: torch.Tensor, share: float) -> torch.Tensor:
        dropped, mask, ctx.scale = _drop(values, share)
        ctx.save_for_backward(values, weight, mask)
        return functional.linear(dropped, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        values, weight, mask = ctx.saved_tensors
        dropped = (values * mask).to(gradient.dtype)
        rows, columns = gradient.flatten(0, -2), dropped.flatten(0, -2)
        by_weight = (rows.mT @ columns).mul_(ctx.scale)
        by_values = (gradient @ weight.to(gradient.dtype)).mul_(mask).mul_(ctx.scale)
        return by_values.to(values.dtype), by_weight.to(weight.dtype), None


def _is_gated(module: Any) -> bool:
    """Return whether `module` computes down_proj(act_fn(gate_proj(x)) * up_proj(x)); tried on a random input."""
    if not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return False
    weight = next(module.gate_proj.parameters())
    width = getattr(module.gate_proj, "in_features", None)
    if not isinstance(width, int) or any(True for _ in module.act_fn.parameters()):
        return False
    training = module.training
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            values = torch.randn(1, 2, width).to(weight.device, torch.float32)
            values = values.to(
                next((w.dtype for w in module.parameters() if w.is_floating_point()), values.dtype)
            )
            return torch.equal(module(values), _gated_forward(module, values))
    except FAILURES:
        return False
    finally:
        module.train(training)


def _gated_forward(module: Any, values: torch.Tensor) -> torch.Tensor:
    gate, up = module.gate_proj(values), module.up_proj(values)
    if not torch.is_grad_enabled():
        return cast(torch.Tensor, module.down_proj(module.act_fn(gate) * up))
    down = module.down_proj
    name = _only_adapter(down)
    if not name or gate.dtype != down.lora_A[name].weight.dtype:
        product: torch.Tensor = _Gated.apply(gate, up, module.act_fn)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, down(product))
    product, inner = _GatedAndDropped.apply(  # type: ignore[no-untyped-call]
        gate, up, module.act_fn, down.lora_A[name].weight, down.lora_dropout[name].p
    )
    found: torch.Tensor = down.base_layer(product) + down.lora_B[name](inner) * down.scaling[name]
    return found


def _only_adapter(layer: Any) -> str:
    """Return the name of the adapter of a LoRA layer if it is the only one that is used, plain and with dropout."""
    names = [name for name, share, _ in _matrices(layer) if share]
    used = list(getattr(layer, "active_adapters", ()))
    usable = layer.training and names == used and len(names) == 1
    usable = usable and not (layer.disable_adapters or layer.merged)
    kind = layer.base_layer.weight.device.type if usable else ""
    return "" if not usable or torch.is_autocast_enabled(kind) else names[0]


class _Gated(torch.autograd.Function):
    """activation(gate) * up, with the activation computed again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, gate: torch.Tensor, up: torch.Tensor, activation: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        ctx.activation = activation
        return activation(gate) * up

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        gate, up = ctx.saved_tensors
        with torch.enable_grad():
            inner = gate.detach().requires_grad_()
            active = ctx.activation(inner)
        (by_gate,) = torch.autograd.grad(active, inner, gradient * up)
        return by_gate, gradient * active.detach(), None


class _GatedAndDropped(torch.autograd.Function):
    """product = activation(gate) * up, and dropout(product) @ weight.T, with the product computed again."""

    @staticmethod
    def forward(
        ctx: Any,
        gate: torch.Tensor,
        up: torch.Tensor,
        activation: Callable[[torch.Tensor], torch.Tensor],
        weight: torch.Tensor,
        share: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        product = activation(gate) * up
        dropped, mask, ctx.scale = _drop(product, share)
        ctx.save_for_backward(gate, up, weight, mask)
        ctx.activation = activation
        return product, functional.linear(dropped, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, by_product: torch.Tensor, by_inner: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, torch.Tensor, None]:
        gate, up, weight, mask = ctx.saved_tensors
        with torch.enable_grad():
            inner = gate.detach().requires_grad_()
            active = ctx.activation(inner)
        dropped = (active.detach() * up).mul_(mask)
        by_weight = (by_inner.flatten(0, -2).mT @ dropped.flatten(0, -2)).mul_(ctx.scale)
        whole = by_product + (by_inner @ weight).mul_(mask).mul_(ctx.scale)
        (by_gate,) = torch.autograd.grad(active, inner, whole * up)
        return by_gate, whole * active.detach(), None, by_weight, None
