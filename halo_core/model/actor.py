"""The actor: the model that is sampled from and trained, its tokenizer and its adapter.

Importing this module never imports torch; making an `Actor` loads nothing. The tokenizer and the model are
loaded when they are first touched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.config.model import ModelConfig
from halo_core.errors import DataError, ModelError, first_line
from halo_core.types import Completion, Prompt

if TYPE_CHECKING:
    import torch

# Threads of torch that spin while they wait starve whatever else runs, verifiers above all, and then each
# other: sampling was 16 times slower on two busy cores. OpenMP reads this when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_OPTIMIZER = "optimizer.safetensors"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The attention and MLP projections of the Llama family, which LoRA adapts by default."""


class Actor:
    """A causal language model with its tokenizer, sampled from and trained in place."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.optimizer_state: dict[str, torch.Tensor] = {}
        """What a trainer wants its next optimizer to begin with; saved and loaded with the weights."""

    # What is loaded lazily

    @cached_property
    def device(self) -> torch.device:
        """Where the model lives."""
        return _device(self.config.device)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the forward pass."""
        import torch

        if self.config.dtype == "auto":
            return torch.bfloat16 if _has_bfloat16(self.device) else torch.float32
        dtype: torch.dtype = getattr(torch, self.config.dtype)
        return dtype

    @cached_property
    def tokenizer(self) -> Any:
        """The model's `PreTrainedTokenizer`. Raises `ModelError` when there is none."""
        from transformers import AutoTokenizer

        source = self._source()
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **self._hub_options())
        except Exception as error:  # the libraries' errors have no common base
            raise _load_error("tokenizer", self.config.name, error) from error
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up from the model's type, of no files
            raise ModelError(
                f"{self.config.name!r} holds no tokenizer",
                hint="copy the files of its tokenizer (tokenizer.json and its like) beside the weights",
            )
        return tokenizer

    @cached_property
    def model(self) -> Any:
        """The `PreTrainedModel`, wrapped in a `PeftModel` once there is an adapter; frozen until trained.

        Raises `ModelError`, with a hint, when it cannot be loaded.
        """
        import transformers

        transformers.utils.logging.disable_progress_bar()
        source = self._source()
        try:
            model, info = transformers.AutoModelForCausalLM.from_pretrained(
                source,
                dtype=self.dtype,
                attn_implementation=self.config.attn_implementation,
                output_loading_info=True,
                **self._hub_options(),
            )
        except Exception as error:
            raise _load_error("model", self.config.name, error) from error
        if info["missing_keys"]:
            name = sorted(info["missing_keys"])[0]
            raise ModelError(
                f"the weights of {self.config.name!r} are incomplete: no {name!r}",
                hint="the directory may hold another kind of model, or a download that was cut short",
            )
        model.requires_grad_(False).to(self.device).eval()
        return _with_adapter(model, self.config.adapter) if self.config.adapter else model

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end a completion, ascending: the model's own and the tokenizer's."""
        ids = self.model.generation_config.eos_token_id
        found = {self.tokenizer.eos_token_id, *(ids if isinstance(ids, list) else [ids])}
        return tuple(sorted(found - {None}))

    @cached_property
    def context_length(self) -> int | None:
        """The most tokens that the model can attend to, or None where its configuration does not say."""
        length: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return length if length and length > 0 else None

    # Text to tokens

    def encode(self, prompt: Prompt, *, system: str = "") -> tuple[int, ...]:
        """Return the token ids of the context in which `prompt` is answered.

        With a chat template: the messages, after a system message if `system` is given, up to where the
        assistant's turn begins. Without one: the plain text, `system` before it and a blank line between.
        Raises `DataError` when the template refuses the messages or nothing is left to encode.
        """
        given = prompt.messages or ({"role": "user", "content": prompt.text},)
        before = [{"role": "system", "content": system}] if system else []
        messages = before + [dict(message) for message in given]
        if self.tokenizer.chat_template:
            ids = self._encode_chat(prompt.id, messages)
        else:
            ids = self._encode_plain("\n\n".join(message["content"] for message in messages))
        if not ids:
            raise DataError(f"prompt {prompt.id!r} is empty", hint="give it a text or messages")
        return tuple(ids)

    def _encode_chat(self, prompt_id: str, messages: list[dict[str, str]]) -> list[int]:
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise DataError(
                f"the chat template of {self.config.name!r} refuses prompt {prompt_id!r}: {error}",
                hint="some templates take no system message; put it into the prompt and leave `system` empty",
            ) from error
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text)["input_ids"]
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        if len(ids) > 1 and ids[0] == ids[1] == bos:  # the text brought its own
            ids = ids[1:]
        while len(ids) > 1 and ids[-1] == eos != bos:  # some tokenizers close every text
            ids = ids[:-1]
        return ids

    # Weights

    @property
    def has_adapter(self) -> bool:
        """Whether the model carries a PEFT adapter."""
        return hasattr(self.model, "peft_config")

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Return the weights that training changes, by name; empty until an adapter or `train_all`."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def add_lora(
        self, *, rank: int, alpha: float, dropout: float, target_modules: tuple[str, ...] = (), seed: int
    ) -> None:
        """Attach a fresh LoRA adapter whose initial weights depend on `seed`; do nothing if there is one.

        Without `target_modules`: the seven `PROJECTIONS` where the architecture has all of them, else
        every linear layer but the output head. Raises `ModelError` for modules that are not there, or
        when the model is being trained whole.
        """
        import peft
        import torch

        if self.has_adapter:
            return
        if self.trainable():
            raise ModelError(
                "the model is being trained whole and cannot take an adapter now",
                hint="set the trainer's `full` option for the whole run or not at all",
            )
        config = peft.LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=dropout,
            target_modules=list(target_modules) or _lora_targets(self.model),
            fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in self.model.modules()),
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                self.model = peft.get_peft_model(self.model, config)
            except ValueError as error:
                raise ModelError(f"LoRA does not fit this model: {first_line(error)}") from error

    def train_all(self) -> None:
        """Make every weight trainable, held in float32 so that small updates are not rounded away."""
        if self.has_adapter:
            raise ModelError(
                "full fine-tuning of a model that carries an adapter",
                hint="merge the adapter into its model first, or leave `full` off",
            )
        self.model.float().requires_grad_(True)

    @contextmanager
    def merged(self) -> Iterator[Any]:
        """Give the model with its adapter folded into the weights, for fast sampling.

        On leaving, the base weights are put back bit for bit from a copy in main memory; subtracting the
        adapter again would not restore them exactly.
        """
        if not self.has_adapter:
            yield self.model
            return
        from peft.tuners.tuners_utils import BaseTunerLayer

        layers = [module for module in self.model.modules() if isinstance(module, BaseTunerLayer)]
        weights = [weight for layer in layers for weight in layer.get_base_layer().parameters()]
        copies = [weight.detach().to("cpu", copy=True) for weight in weights]
        self.model.merge_adapter()
        try:
            yield self.model.get_base_model()
        finally:
            for layer in layers:
                layer.merged_adapters.clear()
            for weight, copied in zip(weights, copies, strict=True):
                weight.data.copy_(copied)

    def autocast(self) -> AbstractContextManager[object]:
        """Give the context for a forward pass of weights that are held in more than `dtype`."""
        import torch

        enabled = self.dtype is not torch.float32 and self.model.dtype != self.dtype
        return torch.autocast(self.device.type, self.dtype, enabled=enabled)

    def save(self, directory: Path) -> None:
        """Write the trained weights into `directory`. `files.write_directory` makes that whole or nothing.

        An adapter is written as plain PEFT reads it, a model trained whole as plain transformers reads it,
        either with the tokenizer. Raises `ModelError` when there is nothing trained to save.
        """
        from safetensors.torch import save_file

        if not self.trainable():
            raise ModelError("there are no trained weights to save")
        for config in getattr(self.model, "peft_config", {}).values():
            if isinstance(config.target_modules, set):  # of another order in each process
                config.target_modules = sorted(config.target_modules)
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)
        if self.optimizer_state:
            save_file(self.optimizer_state, directory / _OPTIMIZER)

    def save_merged(self, directory: Path, dtype: str = "auto") -> None:
        """Write the model with its adapter folded in into `directory`, as plain transformers reads it.

        In `dtype`, a name of torch's, or for "auto" in that of the files that the model came from. The adapter
        is then part of the model here too. Raises `ModelError` when there is none, or for another `dtype`.
        """
        import torch
        from transformers import AutoConfig

        if not self.has_adapter:
            raise ModelError("there is no adapter to fold in")
        if dtype == "auto":
            own = AutoConfig.from_pretrained(self._source(), **self._hub_options()).dtype
        else:
            own = getattr(torch, dtype, None)
        if not isinstance(own, torch.dtype) or not own.is_floating_point:
            raise ModelError(f"{dtype!r} is no precision for a model", hint="float32, bfloat16 or float16")
        self.model = self.model.merge_and_unload()
        self.model.to(own).save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    def load(self, directory: Path) -> None:
        """Take over the trained weights that `save` wrote to `directory`; they can be trained further.

        Raises `ModelError` when there are none or they do not fit.
        """
        from safetensors.torch import load_file

        if (directory / "adapter_config.json").is_file():
            if self.has_adapter:
                self.model = self.model.unload()
            self.model = _with_adapter(self.model, str(directory))
        else:
            self.__dict__.pop("model", None)  # so that two models are never held at once
            self.model = Actor(replace(self.config, name=str(directory), adapter=None, dtype="float32")).model
            self.train_all()
        state = directory / _OPTIMIZER
        self.optimizer_state = load_file(state) if state.is_file() else {}

    def reset(self) -> None:
        """Go back to the weights from before any training."""
        self.optimizer_state = {}
        if self.trainable() and self.has_adapter and not self.config.adapter:
            self.model = self.model.unload()
        elif self.trainable():
            self.__dict__.pop("model", None)

    def interpolate(self, share: float) -> None:
        """Put the trained weights at `share` of the way from the untrained ones: W = W0 + share (W - W0).

        For an adapter this scales one of its two matrices, which is exact. The optimizer's state is dropped:
        it belongs to other weights. (Wortsman et al. 2022, arXiv 2109.01903.)
        """
        import torch

        self.optimizer_state = {}
        weights = self.trainable()
        if self.has_adapter and self.config.adapter:
            raise ModelError(
                "an adapter that was there before training cannot be interpolated",
                hint="merge it into its model first, or use another start_from",
            )
        with torch.no_grad():
            if self.has_adapter:
                for name, weight in weights.items():
                    if "lora_B" in name:
                        weight.mul_(share)
            else:
                for name, old in Actor(self.config).model.named_parameters():
                    weights[name].copy_(torch.lerp(old.to(weights[name]), weights[name], share))

    def logprobs(self, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
        """Return, for each completion, log p of each sampled token in nats at temperature 1.

        Under the weights as they are now, computed as in training. Completions without token ids get ().
        """
        from halo_core.model.logprobs import token_logprobs

        return token_logprobs(self, completions)

    def weights_hash(self) -> str:
        """Return the SHA-256 over names, types, shapes and bytes of the trainable weights, in hexadecimal.

        Of nothing, for a model that nothing was trained on yet.
        """
        return tensors_hash(self.trainable())

    # Where the model comes from

    def _source(self) -> str:
        name = self.config.name
        if not name:
            raise ModelError("no model is named", hint="name one: `--model NAME`, or `model: {name: NAME}`")
        path = Path(name).expanduser()
        if not path.exists():
            if name.startswith((".", "/", "~")) or name.count("/") > 1:
                raise ModelError(f"there is no directory {name!r}", hint="check the path of the model")
            return name
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{name!r} holds no model: there is no config.json",
                hint="name the directory that `save_pretrained` or `halo sft` wrote",
            )
        return str(path.resolve())

    def _hub_options(self) -> dict[str, Any]:
        return {"revision": self.config.revision, "trust_remote_code": self.config.trust_remote_code}


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes, in hexadecimal."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _device(name: str) -> torch.device:
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


def _lora_targets(model: Any) -> list[str] | str:
    leaves = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return list(PROJECTIONS) if leaves.issuperset(PROJECTIONS) else "all-linear"


def _with_adapter(model: Any, source: str) -> Any:
    import peft

    try:
        return peft.PeftModel.from_pretrained(model, source, is_trainable=True).eval()
    except Exception as error:
        raise _load_error("adapter", source, error) from error


def _load_error(what: str, name: str, error: Exception) -> ModelError:
    if Path(name).expanduser().exists():
        hint = f"the directory lacks the files of a {what}, or they are damaged"
    else:
        hint = f"{name!r} is no local directory; on the hub, check its name, the network, and `hf auth login`"
    return ModelError(f"cannot load the {what} of {name!r}: {first_line(error)}", hint=hint)
