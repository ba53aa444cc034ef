"""Token ids for generators that return text alone, such as a server that does not reveal them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from halo_core.run.state import Run
from halo_core.types import Completion, Prompt


def tokenized(
    run: Run, prompts: Mapping[str, Prompt], completions: Sequence[Completion]
) -> Sequence[Completion]:
    """Return `completions`, those without token ids with the ids of the actor's tokenizer; a log line reports it once.

    The prompt's ids are kept if there are some. A completion that was not cut short gets the end token.
    """
    if all(completion.token_ids for completion in completions):
        return completions
    run.log_once(
        "tokenizer",
        "the generator returns text without token ids: the actor's tokenizer encodes it, perhaps not into the "
        "tokens that were sampled",
    )
    return [
        completion if completion.token_ids else _tokenized(run, prompts[completion.prompt_id], completion)
        for completion in completions
    ]


def _tokenized(run: Run, prompt: Prompt, completion: Completion) -> Completion:
    return replace(
        completion,
        prompt_token_ids=completion.prompt_token_ids or run.actor.encode(prompt),
        token_ids=run.actor.encode_answer(completion.text, ended=completion.finish_reason == "stop"),
        logprobs=None,
        loss_mask=None,
    )
