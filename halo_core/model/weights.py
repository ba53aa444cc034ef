"""The weights of a model: merging an adapter, leaving it out, writing and comparing weights.

Importing this module does not import torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.config.model import ModelConfig
from halo_core.errors import ModelError
from halo_core.model.loading import hub_options, model_source
from halo_core.model.quantizing import is_quantized

if TYPE_CHECKING:
    import torch


@contextmanager
def merged(model: Any) -> Iterator[Any]:
    """Yield the `PreTrainedModel` with the adapter of `model` merged into its weights, or `model` if it has none.

    On exit, the base weights are restored bit for bit from a copy in main memory; subtracting the adapter would not
    restore them exactly. Weights in 4 bits would lose most of the adapter, so there it stays beside them.
    """
    if not hasattr(model, "peft_config") or is_quantized(model.get_base_model()):
        yield model.get_base_model() if hasattr(model, "peft_config") else model
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    weights = [weight for layer in layers for weight in layer.get_base_layer().parameters()]
    copies = [weight.detach().to("cpu", copy=True) for weight in weights]
    model.merge_adapter()
    try:
        yield model.get_base_model()
    finally:
        for layer in layers:
            layer.merged_adapters.clear()
        for weight, copied in zip(weights, copies, strict=True):
            weight.data.copy_(copied)


def without_adapter(model: Any) -> AbstractContextManager[None]:
    """Use `model` without its adapter in the enclosed block."""
    found: AbstractContextManager[None] = model.disable_adapter()
    return found


@contextmanager
def other_adapter(model: Any, directory: Path) -> Iterator[None]:
    """Use the adapter in `directory` instead of the own one in the enclosed block."""
    (own,) = model.active_adapters
    try:
        model.load_adapter(str(directory), "reference", is_trainable=False)
        model.set_adapter("reference")
        yield
    finally:
        model.set_adapter(own)
        if "reference" in model.peft_config:
            model.delete_adapter("reference")


def write_weights(model: Any, directory: Path) -> None:
    """Write an adapter in the format of PEFT, or a model in the format of transformers."""
    for config in getattr(model, "peft_config", {}).values():
        if isinstance(config.target_modules, set):  # its order differs between processes
            config.target_modules = sorted(config.target_modules)
    model.save_pretrained(directory)


def precision_of(config: ModelConfig, name: str, loaded: torch.dtype) -> torch.dtype:
    """Return the torch precision called `name`. Raises a `ModelError` if there is none.

    "auto" is that of the model's files, or `loaded` if they do not state it.
    """
    import torch
    from transformers import AutoConfig

    if name == "auto":
        found = AutoConfig.from_pretrained(model_source(config), **hub_options(config)).dtype or loaded
    else:
        found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ModelError(f"{name!r} is not a precision for a model", hint="use float32, bfloat16 or float16")
    return found


def scale_adapter(model: Any, share: float) -> None:
    """Multiply the effect of the LoRA adapter of `model` by `share`: that of one of its two matrices.

    Modules that are trained in full move to that share of their change. Raises a `ModelError` for DoRA, whose effect is
    not a multiple of its weights.
    """
    import torch
    from peft.utils import ModulesToSaveWrapper

    (name,) = model.active_adapters
    if model.peft_config[name].use_dora:
        raise ModelError(
            "a DoRA adapter cannot be interpolated", hint="use another start_from, or dora=false"
        )
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.requires_grad and "lora_B" in key:
                weight.mul_(share)
        for module in model.modules():
            if isinstance(module, ModulesToSaveWrapper):
                origin = dict(module.original_module.named_parameters())
                for key, weight in module.modules_to_save[name].named_parameters():
                    weight.copy_(torch.lerp(origin[key].to(weight), weight, share))


def interpolate(
    weights: Mapping[str, torch.Tensor], origin: Mapping[str, torch.Tensor], share: float
) -> None:
    """Move `weights` W to W0 + `share` (W - W0), with W0 of the same name in `origin`."""
    import torch

    with torch.no_grad():
        for name, old in origin.items():
            weights[name].copy_(torch.lerp(old.to(weights[name]), weights[name], share))


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor`, gathered if it is split over several processes; then each of them must call this."""
    gather = getattr(tensor, "full_tensor", None)
    found: torch.Tensor = gather() if gather else tensor
    return found.detach()


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes, in hexadecimal."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(whole(tensor).cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
