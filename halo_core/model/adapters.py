"""Which layers of a model LoRA adapts, settled before any weight is changed.

The configuration is tried on a copy of the model without memory (torch's meta device), so that one that does not fit is
refused before anything was sampled. Importing this module does not import torch.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halo_core.errors import ModelError, first_line

if TYPE_CHECKING:
    import peft

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The attention and MLP projections of the Llama family, which LoRA adapts by default."""
EXPERTS = "experts"
"""The name that selects the routed experts of a mixture of experts as target modules."""

_READ_BY_KERNELS = ("x_proj", "dt_proj", "out_proj")
"""Linear layers of Mamba whose weights its fused kernels read without calling the layer."""
_EXPERTS_FOR_PEFT = ("gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
"""Names that PEFT translates into the stacked weights of routed experts, even where they name a dense layer."""


def lora_config(
    model: Any,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    target_modules: Sequence[str] = (),
    modules_to_save: Sequence[str] = (),
    rslora: bool = False,
    dora: bool = False,
    init: str = "default",
) -> tuple[peft.LoraConfig, tuple[str, ...]]:
    """Return a LoRA configuration that fits `model`, and notes on what it leaves out or changes.

    Without `target_modules`: the seven `PROJECTIONS` if the architecture has all of them, else every linear layer. The
    output head, routers, routed experts, layers that share their weights, and layers whose weights a fused kernel reads
    are left out. Routed experts are adapted if `target_modules` contains `EXPERTS`; they allow no dropout. The others
    are the options of `config.training.TrainingOptions`.

    Raises a `ModelError` for modules that do not exist, that share their weights, or that PEFT cannot adapt.
    """
    import peft

    experts, shared, notes = _expert_parameters(model), _shared_layers(model), list[str]()
    modules = [name for name in target_modules if name != EXPERTS]
    if tied := next((name for name in shared if _selected(name, [*modules, *modules_to_save])), None):
        raise ModelError(
            f"LoRA cannot adapt {tied!r}: it shares its weights with {shared[tied]!r}, so a merged model would differ "
            "from the adapted one",
            hint="leave it out of the trainer's `target_modules` and `modules_to_save`",
        )
    names = [name for name, _ in model.named_modules()]
    if absent := next(
        (it for it in modules_to_save if not any(_selected(name, [it]) for name in names)), None
    ):
        raise ModelError(
            f"the model has no module {absent!r} to train and save",
            hint="name one by the last part of its name: lm_head, embed_tokens",
        )
    targets = modules
    if not target_modules:
        targets, notes = _default_targets(model, shared, experts)
    parameters = sorted(experts) if EXPERTS in target_modules else None
    if parameters is not None and not parameters:
        raise ModelError("LoRA does not fit this model: it has no routed experts")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets,
        target_parameters=parameters,
        modules_to_save=list(modules_to_save) or None,
        use_rslora=rslora,
        use_dora=dora,
        init_lora_weights=True if init == "default" else init,
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        task_type="CAUSAL_LM",
    )
    flaw = _flaw(model, config)
    if "lora_dropout" in flaw:
        notes.append(f"LoRA on routed experts allows no dropout: `lora_dropout` is 0 instead of {dropout:g}")
        config.lora_dropout = 0.0
        flaw = _flaw(model, config)
    if flaw:
        raise ModelError(
            f"LoRA does not fit this model: {flaw}",
            hint="name other layers in the trainer's `target_modules`, or set `full`",
        )
    return config, tuple(notes)


def _default_targets(
    model: Any, shared: Mapping[str, str], experts: Sequence[str]
) -> tuple[list[str], list[str]]:
    linear = [name for name, module in model.named_modules() if _is_adaptable(model, name, module)]
    own = [name for name in linear if name not in shared]
    notes = []
    if left_out := sorted({_leaf(name) for name in linear if name in shared}):
        notes.append(f"LoRA leaves out layers that share their weights: {', '.join(left_out)}")
    if experts:
        own = [name for name in own if _leaf(name) not in _EXPERTS_FOR_PEFT]
        notes.append(
            "LoRA leaves out the experts; to adapt them, name them among the trainer's `target_modules`"
        )
    if {_leaf(name) for name in own}.issuperset(PROJECTIONS):
        own = [name for name in own if _leaf(name) in PROJECTIONS]
    leaves = {_leaf(name) for name in own}
    if any(_leaf(name) in leaves and name not in own for name, _ in model.named_modules()):
        return own, notes
    return sorted(leaves, key=lambda leaf: (*PROJECTIONS, leaf).index(leaf)), notes


def _is_adaptable(model: Any, name: str, module: Any) -> bool:
    """Return whether LoRA may adapt `module`: a linear layer that is called as such, and not the output head."""
    from torch.nn import Linear

    if not isinstance(module, Linear) and type(module).__name__ != "Conv1D":
        return False
    if module is model.get_output_embeddings() or "router" in type(module).__name__.lower():
        return False
    parent = model.get_submodule(name.rpartition(".")[0])
    return not (_leaf(name) in _READ_BY_KERNELS and "mamba" in type(parent).__name__.lower())


def _expert_parameters(model: Any) -> list[str]:
    """Return the names of the stacked weights of routed experts, without what precedes the number of the layer."""
    found = [
        name for name, weight in model.named_parameters() if weight.dim() == 3 and f".{EXPERTS}." in name
    ]
    return list(dict.fromkeys(re.split(r"\.\d+\.", name)[-1] for name in found))


def _shared_layers(model: Any) -> dict[str, str]:
    """Return each layer whose weight another layer has too, with the name of that layer."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if weight is not None:
            owners.setdefault(id(weight), []).append(name)
    return {
        name: next(other for other in names if other != name)
        for names in owners.values()
        if len(names) > 1
        for name in names
    }


def _selected(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.endswith(f".{module}") for module in modules)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _flaw(model: Any, config: peft.LoraConfig) -> str:
    """Apply `config` to a copy of `model` without memory; return what PEFT objects to, or nothing."""
    import peft
    import torch

    with torch.device("meta"):
        skeleton = type(model)(copy.deepcopy(model.config))
        try:
            peft.get_peft_model(skeleton, copy.deepcopy(config))
        except (ValueError, TypeError, AttributeError) as error:
            return first_line(error)
    return ""
