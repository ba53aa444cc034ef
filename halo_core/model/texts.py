"""From the token ids of completions to their texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.channels import MARKS


def texts_of(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[str]:
    """Return the texts of completions, without special tokens except those that delimit channels.

    Only a tokenizer with channels (`<|channel|>` and `<|message|>` among its special tokens) keeps any, and never its
    end token.
    """
    special = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    if not {"<|channel|>", "<|message|>"} <= special.keys():
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return list(texts)
    dropped = {number for mark, number in special.items() if mark not in MARKS or mark == tokenizer.eos_token}
    kept = [[number for number in row if number not in dropped] for row in rows]
    texts = tokenizer.batch_decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return list(texts)


def special_tokens(tokenizer: Any, texts: Sequence[str]) -> dict[str, int]:
    """Return those of `texts` that are special tokens, which no text of a completion contains, with their ids."""
    ids = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {text: ids[text] for text in texts if text in ids}
