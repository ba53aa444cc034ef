"""Generator `transformers`: samples from a Hugging Face causal language model in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver
from halo_core.drivers.base import Generator
from halo_core.errors import DataError
from halo_core.model.batching import token_batches
from halo_core.model.contexts import SamplingContext
from halo_core.seeds import derive_seed
from halo_core.types import Completion, SamplingRequest


@driver
class Transformers(Generator):
    """Sample from the actor itself, on the device it is trained on.

    Works with any decoder-only model that transformers loads. The model's own generation settings
    (repetition penalty and the like) are not applied: what is sampled is the model.
    """

    temperature: Annotated[float, Field(ge=0)] = 0.8
    """Flattens (above 1) or sharpens the distribution. 0: always the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Draw among the fewest likeliest tokens whose probabilities reach this sum."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Draw among so many of the likeliest tokens. 0: among all."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest completion, the end token included, where the model's context has room for it. A longer one
    is cut and marked as truncated."""
    batch_tokens: Annotated[int, Field(ge=1)] = 32768
    """Tokens sampled side by side: rows x (prompt + `max_new_tokens`). Lower it when memory runs out."""
    system: str = ""
    """System prompt: a message before the others under a chat template, else text before the prompt."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield the round's completions, batches with the longest prompts first; see `Generator`."""
        import torch

        from halo_core.model.decoding import Sampling, decode

        actor = context.actor
        contexts = [actor.encode(prompt, system=self.system) for prompt in request.prompts]
        limit = actor.context_length or float("inf")
        for prompt, ids in zip(request.prompts, contexts, strict=True):
            if len(ids) >= limit:
                raise DataError(
                    f"prompt {prompt.id!r} has {len(ids)} tokens, but the model's context holds {limit}",
                    hint="shorten or leave out the prompt, or choose a model with a longer context",
                )
        jobs = [
            (place, index) for place in range(len(contexts)) for index in range(request.samples_per_prompt)
        ]
        room = [int(min(self.max_new_tokens, limit - len(ids))) for ids in contexts]
        lengths = [len(contexts[place]) + room[place] for place, _ in jobs]
        batches = token_batches(lengths, self.batch_tokens)
        sampling = Sampling(self.temperature, self.top_p, self.top_k)
        with actor.merged() as model:
            for number in range(request.done, len(batches)):
                batch = [jobs[row] for row in batches[number]]
                prompts = [contexts[place] for place, _ in batch]
                generator = torch.Generator(actor.device).manual_seed(derive_seed(request.seed, number))
                with actor.autocast():
                    decoded = decode(
                        model,
                        prompts,
                        sampling=sampling,
                        max_new_tokens=[room[place] for place, _ in batch],
                        end_ids=actor.end_ids,
                        generator=generator,
                    )
                texts = actor.tokenizer.batch_decode(
                    [it.token_ids for it in decoded],
                    skip_special_tokens=True,
                    clean_up_tokenization_spaces=False,
                )
                yield [
                    Completion(
                        prompt_id=request.prompts[place].id,
                        index=index,
                        text=text,
                        prompt_token_ids=contexts[place],
                        token_ids=it.token_ids,
                        finish_reason="stop" if it.ended else "length",
                        logprobs=it.logprobs,
                    )
                    for (place, index), it, text in zip(batch, decoded, texts, strict=True)
                ]
