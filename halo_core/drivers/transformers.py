"""Generator `transformers`: samples from a Hugging Face causal language model in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver
from halo_core.drivers.base import Generator
from halo_core.errors import DataError
from halo_core.model.actor import Actor, concrete
from halo_core.model.batching import token_batches
from halo_core.model.contexts import SamplingContext
from halo_core.model.stopping import StopStrings
from halo_core.model.texts import special_tokens, texts_of
from halo_core.seeds import derive_seed
from halo_core.types import Completion, Prompt, SamplingRequest

_ANSWER, _THOUGHT = 1024, 8192
"""Default of `max_new_tokens` without and with a thought before the answer: published models seldom need more."""

_TOGETHER = 4
"""Most batches that are sampled as one, whose rows replace each other; and fewest of these in a request, so that
verification still runs beside sampling and a kill loses little."""


@driver
class Transformers(Generator):
    """Sample from the actor itself, on the device it is trained on.

    Works with any decoder-only model that transformers loads; one without a cache that halo can use is sampled without,
    slowly. The model's own generation settings (repetition penalty and so on) are ignored, so completions come from the
    model's own distribution.
    """

    temperature: Annotated[float, Field(ge=0)] = 0.8
    """Above 1 flattens, below 1 sharpens the distribution. 0: always the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Draw from the smallest set of likeliest tokens whose probabilities reach this sum."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Draw from this number of likeliest tokens. 0: from all."""
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Draw from the tokens whose probability is at least this times that of the likeliest one. 0: from all."""
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Maximum length of a completion in tokens, the end token included; less if the model's context ends earlier. A
    longer completion is cut and marked as truncated. None: 1024, or 8192 if the chat template lets the model think."""
    batch_tokens: Annotated[int, Field(ge=1)] = 32768
    """Tokens per batch: rows x (prompt + longest completion). Lower it when memory runs out."""
    system: str = ""
    """System prompt: a message before the others under a chat template, else text before the prompt."""
    prefill: str = ""
    """Beginning of each answer, which the model continues. It is verified with the completion, and carries no loss."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts at which a completion ends, for models that do not end by themselves. The text up to the first of them is
    verified; the tokens up to the one that completes it are trained on, so that the model learns to write it."""
    keep_stop: bool = False
    """Keep the stop text at the end of the completion's text, such as the fence that closes a program."""

    def open(self, context: SamplingContext) -> None:
        """Check that the model can be sampled, and report it if it must be without its cache."""
        actor = concrete(context.actor)
        actor.check_vocabulary()
        if flaw := actor.cache_flaw:
            context.note(f"sampling is slow, because it computes the whole context for each token: {flaw}")
        if actor.context_hint:
            context.note(
                f"prompt and completion have at most {actor.context_length} tokens: {actor.context_hint}"
            )

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield the request's completions, batches with the longest prompts first; see `Generator`."""
        import torch

        from halo_core.model.decoding import decode
        from halo_core.model.drawing import Sampling

        actor = concrete(context.actor)
        starts = [
            actor.context(prompt, system=self.system, prefill=self.prefill) for prompt in request.prompts
        ]
        contexts = [
            actor.encode_context(start, prompt) for start, prompt in zip(starts, request.prompts, strict=True)
        ]
        limits = [
            self._limit(actor, prompt, len(ids), thinks=start.thinks)
            for prompt, ids, start in zip(request.prompts, contexts, starts, strict=True)
        ]
        jobs = [
            (position, index)
            for position in range(len(contexts))
            for index in range(request.samples_per_prompt)
        ]
        lengths = [len(contexts[position]) + limits[position] for position, _ in jobs]
        plain = token_batches(lengths, self.batch_tokens)
        together = max(1, min(_TOGETHER, len(plain) // _TOGETHER))
        groups = [plain[first : first + together] for first in range(0, len(plain), together)]
        batches = [[job for batch in group for job in batch] for group in groups]
        sampling = Sampling(self.temperature, self.top_p, self.top_k, self.min_p)
        marks = special_tokens(actor.tokenizer, self.stop)
        texts = [text for text in self.stop if text not in marks]
        stops = StopStrings(actor.tokenizer, texts) if texts else None
        with actor.merged() as model:
            for number in range(request.done, len(batches)):
                batch = [jobs[job] for job in batches[number]]
                generator = torch.Generator(actor.device).manual_seed(derive_seed(request.seed, number))
                with actor.autocast():
                    decoded = decode(
                        model,
                        [contexts[position] for position, _ in batch],
                        sampling=sampling,
                        max_new_tokens=[limits[position] for position, _ in batch],
                        end_ids=(*actor.end_ids, *marks.values()),
                        generator=generator,
                        stops=stops,
                        slots=len(groups[number][0]),
                        progress=_Meter(len(batch), max(limits[position] for position, _ in batch), context),
                        cached=not actor.cache_flaw,
                    )
                written = texts_of(actor.tokenizer, [row.token_ids for row in decoded])
                yield [
                    Completion(
                        prompt_id=request.prompts[position].id,
                        index=index,
                        text=starts[position].opening
                        + (stops.cut(text, keep=self.keep_stop) if stops else text),
                        prompt_token_ids=contexts[position],
                        token_ids=row.token_ids,
                        finish_reason="stop" if row.ended else "length",
                        logprobs=row.logprobs,
                    )
                    for (position, index), row, text in zip(batch, decoded, written, strict=True)
                ]

    def _limit(self, actor: Actor, prompt: Prompt, length: int, *, thinks: bool) -> int:
        """Return the maximum number of new tokens after `length` tokens of a prompt."""
        limit = self.max_new_tokens or (_THOUGHT if thinks else _ANSWER)
        if not actor.context_length:
            return limit
        if length >= actor.context_length:
            raise DataError(
                f"prompt {prompt.id!r} has {length} tokens, but the model's context has {actor.context_length}",
                hint=actor.context_hint
                or "shorten or remove the prompt, or choose a model with a longer context",
            )
        return min(limit, actor.context_length - length)


class _Meter:
    """Reports the progress of one batch to the context, at most once in `_STEPS` steps."""

    _STEPS = 8

    def __init__(self, rows: int, limit: int, context: SamplingContext) -> None:
        self._rows, self._limit, self._context = rows, limit, context
        self._calls = 0

    def __call__(self, tokens: int, unfinished: int, pending: int) -> None:
        """Count a finished row as 1, and the others by their `pending` tokens."""
        self._calls += 1
        if self._calls % self._STEPS == 0:
            self._context.progress(self._rows - unfinished + pending / self._limit, tokens)
