"""From prompts to token ids: the part of an actor that needs its tokenizer only.

Importing this module does not import torch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from halo_core.config.model import ModelConfig
from halo_core.errors import DataError
from halo_core.model.loading import load_tokenizer
from halo_core.model.turns import Context, chat_context, end_of_turn, messages_of, plain_context
from halo_core.types import Prompt


class Encoder:
    """The tokenizer of a model, with its chat template."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        """The configuration; an adapter named as the model is replaced by its base model and the adapter."""

    @cached_property
    def tokenizer(self) -> Any:
        """The model's `PreTrainedTokenizer`. Raises a `ModelError` if it cannot be loaded."""
        adapter = self.config.adapter or ""
        if (
            adapter and (Path(adapter) / "tokenizer_config.json").is_file()
        ):  # `halo sft` may have set a template
            return load_tokenizer(replace(self.config, name=adapter))
        return load_tokenizer(self.config)

    def encode(self, prompt: Prompt, *, system: str = "") -> tuple[int, ...]:
        """Return the token ids of the context that the model completes to answer `prompt`.

        With a chat template: the messages, after a system message if `system` is given, up to the start of the
        assistant's turn; if the last message is the assistant's, up to its end, so that the model continues it.
        Without one: the plain text, after `system` and a blank line if `system` is given.
        Raises a `DataError` if the template rejects the messages or if there are no tokens.
        """
        return self.encode_context(self.context(prompt, system=system), prompt)

    def context(self, prompt: Prompt, *, system: str = "", prefill: str = "") -> Context:
        """Return the context as `encode` encodes it, with `prefill` as the beginning of the answer."""
        messages = messages_of(prompt, system)
        if not self.tokenizer.chat_template:
            return plain_context(messages, prefill)
        values = self.config.chat_template_kwargs
        return chat_context(self.tokenizer, messages, prompt_id=prompt.id, prefill=prefill, values=values)

    def encode_context(self, context: Context, prompt: Prompt) -> tuple[int, ...]:
        """Return the token ids of a context of `prompt`. Raises a `DataError` if there are none."""
        if self.tokenizer.chat_template:
            ids: list[int] = self.tokenizer(context.text, add_special_tokens=False)["input_ids"]
        else:
            ids = self._encode_plain(context.text)
        if not ids:
            raise DataError(f"prompt {prompt.id!r} is empty", hint="give it a text or messages")
        return tuple(ids)

    @cached_property
    def turn_end(self) -> int | None:
        """The special token with which the chat template ends an answer; None if there is none."""
        return end_of_turn(self.tokenizer, self.config.chat_template_kwargs)

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text)["input_ids"]
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        if len(ids) > 1 and ids[0] == ids[1] == bos:  # the chat or text already starts with one
            ids = ids[1:]
        while len(ids) > 1 and ids[-1] == eos != bos:  # some tokenizers end every text with it
            ids = ids[:-1]
        return ids
