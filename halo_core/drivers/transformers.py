"""Generator `transformers`: samples from a Hugging Face causal language model in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver
from halo_core.drivers.base import Generator
from halo_core.model.actor import concrete
from halo_core.model.batching import token_batches
from halo_core.model.contexts import SamplingContext
from halo_core.sampling import SamplingOptions, completion_texts
from halo_core.seeds import derive_seed
from halo_core.types import Completion, SamplingRequest

_TOGETHER = 4
"""Most batches that are sampled as one, whose rows replace each other; and fewest of these in a request, so that
verification still runs beside sampling and a kill loses little."""


@driver
class Transformers(SamplingOptions, Generator):
    """Sample from the actor itself, on the device it is trained on.

    Works with any decoder-only model that transformers loads; one without a cache that halo can use is sampled without,
    slowly. The model's own generation settings (repetition penalty and so on) are ignored, so completions come from the
    model's own distribution.
    """

    batch_tokens: Annotated[int, Field(ge=1)] = 32768
    """Tokens per batch: rows x (prompt + longest completion). Lower it when memory runs out."""

    def open(self, context: SamplingContext) -> None:
        """Check that the model can be sampled, and report it if it must be without its cache."""
        actor = concrete(context.actor)
        actor.check_vocabulary()
        if flaw := actor.cache_flaw:
            context.note(f"sampling is slow, because it computes the whole context for each token: {flaw}")

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield the request's completions, batches with the longest prompts first; see `Generator`."""
        import torch

        from halo_core.model.decoding import decode
        from halo_core.model.drawing import Sampling

        actor = concrete(context.actor)
        questions, stops = self.questions(actor, request.prompts), self.stops(actor)
        jobs = [(question, index) for question in questions for index in range(request.samples_per_prompt)]
        lengths = [len(question.ids) + question.limit for question, _ in jobs]
        plain = token_batches(lengths, self.batch_tokens)
        together = max(1, min(_TOGETHER, len(plain) // _TOGETHER))
        groups = [plain[first : first + together] for first in range(0, len(plain), together)]
        batches = [[job for batch in group for job in batch] for group in groups]
        sampling = Sampling(self.temperature, self.top_p, self.top_k, self.min_p)
        with actor.merged() as model:
            for number in context.numbers(request.done, len(batches)):
                batch = [jobs[job] for job in batches[number]]
                asked = [question for question, _ in batch]
                generator = torch.Generator(actor.device).manual_seed(derive_seed(request.seed, number))
                with actor.autocast():
                    decoded = decode(
                        model,
                        [question.ids for question in asked],
                        sampling=sampling,
                        max_new_tokens=[question.limit for question in asked],
                        end_ids=(*actor.end_ids, *stops.ids),
                        generator=generator,
                        stops=stops.strings,
                        slots=len(groups[number][0]),
                        progress=_Meter(len(batch), max(question.limit for question in asked), context),
                        cached=not actor.cache_flaw,
                    )
                texts = completion_texts(actor, asked, [row.token_ids for row in decoded], stops)
                yield [
                    Completion(
                        prompt_id=question.prompt.id,
                        index=index,
                        text=text,
                        prompt_token_ids=question.ids,
                        token_ids=row.token_ids,
                        finish_reason="stop" if row.ended else "length",
                        logprobs=row.logprobs,
                    )
                    for (question, index), row, text in zip(batch, decoded, texts, strict=True)
                ]


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
