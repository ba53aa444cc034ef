"""Loading of tokenizers, models and adapters, from a directory or the Hugging Face hub.

Importing this module does not import torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.config.model import ModelConfig
from halo_core.data import read_text
from halo_core.errors import ModelError, command, first_line
from halo_core.model.quantizing import prepare_quantized, quantization_options
from halo_core.model.turns import check_values

if TYPE_CHECKING:
    import torch

_GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""Tags that transformers adds to Jinja: they mark the assistant's part."""


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

    _quieten_libraries()
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
    if config.chat_template:
        tokenizer.chat_template = read_template(config.chat_template)
    check_values(tokenizer, config.chat_template_kwargs, config.name)
    return tokenizer


def read_template(path: str) -> str:
    """Return the chat template in a file. Raises a `ModelError` if it is not a template of Jinja."""
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    text = read_text(Path(path).expanduser())
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    try:
        environment.parse(_GENERATION.sub("", text))
    except TemplateSyntaxError as error:
        raise ModelError(
            f"{path}:{error.lineno}: not a chat template: {error.message}",
            hint="a chat template is a Jinja file that writes out `messages`",
        ) from error
    return text


def load_model(config: ModelConfig, *, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the frozen `PreTrainedModel`, wrapped in a `PeftModel` if `config` names an adapter.

    Raises a `ModelError` with a hint if it cannot be loaded.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    _quieten_libraries()
    source = model_source(config)
    check_files(config)
    quantization = quantization_options(config, device, dtype)
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation=config.attn_implementation,
            output_loading_info=True,
            **quantization,
            **hub_options(config),
            **_dequantized(config),
        )
    except Exception as error:
        raise _load_error("model", config.name, error) from error
    if info["missing_keys"]:
        name = sorted(info["missing_keys"])[0]
        raise ModelError(
            f"the weights of {config.name!r} are incomplete: no {name!r}",
            hint="the directory may contain another kind of model, or an incomplete download",
        )
    if gguf_file(config):
        _as_floating_point(model, str(Path(config.name).expanduser().resolve()))
    model.requires_grad_(False).eval()
    try:
        prepare_quantized(model) if config.quantization != "none" else model.to(device)
    except RuntimeError as error:
        raise ModelError(
            f"the model does not fit on device {str(device)!r}: {first_line(error).partition('. ')[0]}",
            hint="end other programs that use the device, or choose another device or a smaller model",
        ) from error
    return load_adapter(model, config.adapter) if config.adapter else model


def _dequantized(config: ModelConfig) -> dict[str, Any]:
    """Return the option that makes floating-point weights of those of a GGUF file, which cannot be trained."""
    import transformers

    if not gguf_file(config) or not hasattr(transformers, "GgufConfig"):
        return {}
    return {"quantization_config": transformers.GgufConfig(dequantize=True)}


def _as_floating_point(model: Any, file: str) -> None:
    """Turn the model of a GGUF `file`, whose weights are dequantized by now, into one that can be saved."""
    if getattr(model, "hf_quantizer", None) is not None:
        model.hf_quantizer.remove_quantization_config(model)
    model.name_or_path = model.config._name_or_path = file  # an adapter names its base model by it


def load_adapter(model: Any, source: str) -> Any:
    """Return `model` with the PEFT adapter of `source`, trainable. Raises a `ModelError` if it does not fit."""
    import peft

    try:
        return peft.PeftModel.from_pretrained(model, source, is_trainable=True).eval()
    except Exception as error:
        raise _load_error("adapter", source, error) from error


def model_source(config: ModelConfig) -> str:
    """Return the name on the hub, or the absolute path of an existing model directory: of a GGUF file, its own.

    Raises a `ModelError` if no model is named, or if the name is a path that contains no model.
    """
    name = config.name
    if not name:
        raise ModelError("no model is named", hint="name one: `--model NAME`, or `model: {name: NAME}`")
    path = Path(name).expanduser()
    if not path.exists():
        if _is_path(name):
            raise _no_directory(name, "model")
        return name
    if gguf_file(config):
        return str(path.resolve().parent)
    if (path / "run.yaml").is_file():
        merge = command("halo", "merge", name, f"{path.resolve().name}-model")
        raise ModelError(f"{name!r} is a run, not a model", hint=f"merge its adapter into its model: {merge}")
    if not (path / "config.json").is_file():
        raise ModelError(
            f"{name!r} contains no model: there is no config.json",
            hint="name the directory that `save_pretrained` or `halo sft` wrote",
        )
    return str(path.resolve())


def _quieten_libraries() -> None:
    """Keep the hub's client from logging each retry, and bitsandbytes, which PEFT imports, from asking for kernels."""
    import logging

    for name in ("huggingface_hub", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)


def hub_options(config: ModelConfig) -> dict[str, Any]:
    """Return the options of `from_pretrained` that select a revision or a GGUF file, and allow remote code."""
    options = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    return {**options, "gguf_file": gguf_file(config)} if gguf_file(config) else options


def gguf_file(config: ModelConfig) -> str:
    """Return the name of the GGUF file that `config` names; empty if it names none.

    Raises a `ModelError` if the package that reads such files is not installed.
    """
    path = Path(config.name).expanduser()
    if path.suffix != ".gguf" or not path.is_file():
        return ""
    if find_spec("gguf") is None:
        raise ModelError(
            f"{config.name!r} is a GGUF file, and the package gguf is not installed", hint="pip install gguf"
        )
    return path.name


def to_download(config: ModelConfig) -> str:
    """Return the first of the model and its adapter that is neither a directory nor in the hub's cache, or "".

    Raises a `ModelError` for the path of a directory that does not exist, and for a name that no hub has.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for name, file in ((model_source(config), "config.json"), (config.adapter, "adapter_config.json")):
        if not name or Path(name).expanduser().exists():
            continue
        if _is_path(name):
            raise _no_directory(name, "adapter")
        try:
            if not isinstance(try_to_load_from_cache(name, file, revision=config.revision), str):
                return name
        except HFValidationError as error:
            raise ModelError(
                f"{name!r} is neither a directory nor a name on the hub",
                hint="name a directory, or a model as owner/name",
            ) from error
    return ""


def check_files(config: ModelConfig) -> None:
    """Raise a `ModelError` if a local model has no weights, or a local adapter has no configuration."""
    model = Path(config.name).expanduser()
    if model.is_dir() and not any(model.glob("*.safetensors")) and not any(model.glob("*.bin")):
        raise ModelError(
            f"{config.name!r} contains no weights", hint="copy model.safetensors next to config.json"
        )
    adapter = Path(config.adapter or "").expanduser()
    if config.adapter and adapter.exists() and not (adapter / "adapter_config.json").is_file():
        raise ModelError(
            f"{config.adapter!r} contains no adapter: there is no adapter_config.json",
            hint="name a directory such as runs/NAME/cycles/001/adapter",
        )


def _no_directory(name: str, part: str) -> ModelError:
    return ModelError(f"there is no directory {name!r}", hint=f"check the path of the {part}")


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _load_error(part: str, name: str, error: Exception) -> ModelError:
    if name.endswith(".gguf") and Path(name).expanduser().is_file():
        hint = "transformers reads GGUF files of some architectures only; name the model they were made from instead"
    elif "attn_implementation" in str(error) or "FlashAttention" in str(error):
        hint = "leave `attn_implementation` unset, or choose one that is installed: sdpa, eager"
    elif Path(name).expanduser().exists():
        hint = f"the {part}'s files in the directory are missing or damaged"
    else:
        hint = (
            f"{name!r} is not a local directory; on the hub, check its name, the network, and `hf auth login`"
        )
    return ModelError(f"cannot load the {part} of {name!r}: {first_line(error)}", hint=hint)
