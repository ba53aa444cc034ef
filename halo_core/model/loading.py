"""Loading of tokenizers, models and adapters, from a directory or the Hugging Face hub.

Importing this module does not import torch.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.config.model import ModelConfig
from halo_core.errors import ModelError, first_line

if TYPE_CHECKING:
    import torch


def with_base_model(config: ModelConfig) -> ModelConfig:
    """Return `config` with the base model of the adapter that its name is a directory of, if it is one.

    So the directory that `halo sft` wrote, or that of a cycle's adapter, can be named like a model. Raises a
    `ModelError` if another adapter is named too, or if the directory does not name its base model.
    """
    settings = Path(config.name).expanduser() / "adapter_config.json"
    if not config.name or not settings.is_file() or settings.with_name("config.json").is_file():
        return config
    if config.adapter:
        raise ModelError(
            f"{config.name!r} is an adapter, and {config.adapter!r} is named as an adapter too",
            hint="merge one of them into its model first: halo merge",
        )
    try:
        base = json.loads(settings.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{settings} does not name the adapter's base model",
            hint="name it: --model MODEL --adapter " + config.name,
        ) from error
    return replace(config, name=str(base), adapter=config.name)


def load_tokenizer(config: ModelConfig) -> Any:
    """Return the `PreTrainedTokenizer` of the model. Raises a `ModelError` if it cannot be loaded."""
    from transformers import AutoTokenizer

    is_directory = (Path(config.name).expanduser() / "tokenizer_config.json").is_file()
    source = str(Path(config.name).expanduser().resolve()) if is_directory else model_source(config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **hub_options(config))
    except Exception as error:  # the libraries' errors have no common base
        raise _load_error("tokenizer", config.name, error) from error
    # transformers builds an empty tokenizer if there are no files
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ModelError(
            f"{config.name!r} contains no tokenizer",
            hint="copy the tokenizer's files (tokenizer.json and so on) next to the weights",
        )
    return tokenizer


def load_model(config: ModelConfig, *, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the frozen `PreTrainedModel`, wrapped in a `PeftModel` if `config` names an adapter.

    Raises a `ModelError` with a hint if it cannot be loaded.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    source = model_source(config)
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation=config.attn_implementation,
            output_loading_info=True,
            **hub_options(config),
        )
    except Exception as error:
        raise _load_error("model", config.name, error) from error
    if info["missing_keys"]:
        name = sorted(info["missing_keys"])[0]
        raise ModelError(
            f"the weights of {config.name!r} are incomplete: no {name!r}",
            hint="the directory may contain another kind of model, or an incomplete download",
        )
    model.requires_grad_(False).to(device).eval()
    return load_adapter(model, config.adapter) if config.adapter else model


def load_adapter(model: Any, source: str) -> Any:
    """Return `model` with the PEFT adapter of `source`, trainable. Raises a `ModelError` if it does not fit."""
    import peft

    try:
        return peft.PeftModel.from_pretrained(model, source, is_trainable=True).eval()
    except Exception as error:
        raise _load_error("adapter", source, error) from error


def model_source(config: ModelConfig) -> str:
    """Return the name on the hub, or the absolute path of an existing model directory.

    Raises a `ModelError` if no model is named, or if the name is a path that contains no model.
    """
    name = config.name
    if not name:
        raise ModelError("no model is named", hint="name one: `--model NAME`, or `model: {name: NAME}`")
    path = Path(name).expanduser()
    if not path.exists():
        if name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise ModelError(f"there is no directory {name!r}", hint="check the path of the model")
        return name
    if not (path / "config.json").is_file():
        raise ModelError(
            f"{name!r} contains no model: there is no config.json",
            hint="name the directory that `save_pretrained` or `halo sft` wrote",
        )
    return str(path.resolve())


def hub_options(config: ModelConfig) -> dict[str, Any]:
    """Return the options of `from_pretrained` that select a revision and allow remote code."""
    return {"revision": config.revision, "trust_remote_code": config.trust_remote_code}


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto": the accelerator if there is one, else the CPU.

    Raises a `ModelError` if the device cannot be used.
    """
    import torch

    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"device {name!r} cannot be used: {first_line(error)}", hint="leave `device` on auto, or set cpu"
        ) from error


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the precision of that name; "auto": bfloat16 on an accelerator that has it, else float32."""
    import torch

    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    match device.type:
        case "cpu":
            return False
        case "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        case "mps":
            return bool(torch.backends.mps.is_macos_or_newer(14, 0))
        case _:
            return True


def _load_error(part: str, name: str, error: Exception) -> ModelError:
    if Path(name).expanduser().exists():
        hint = f"the directory lacks the files of a {part}, or they are damaged"
    else:
        hint = (
            f"{name!r} is not a local directory; on the hub, check its name, the network, and `hf auth login`"
        )
    return ModelError(f"cannot load the {part} of {name!r}: {first_line(error)}", hint=hint)
