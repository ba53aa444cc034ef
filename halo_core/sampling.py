"""The parts that generators share: the options of sampling, and a completion's context, length and text.

@driver
class Mine(SamplingOptions, Generator):
    \"\"\"Samples somewhere else.\"\"\"

    def generate(self, request, context):
        questions, stops = self.questions(context.actor, request.prompts), self.stops(context.actor)
        for question in questions[request.done :]:
            ids = sample(question.ids, question.limit, stops)
            (text,) = completion_texts(context.actor, [question], [ids], stops)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver
from halo_core.errors import DataError
from halo_core.model.contexts import Actor
from halo_core.model.stopping import Stops
from halo_core.model.texts import texts_of
from halo_core.types import Prompt

__all__ = ["Question", "SamplingOptions", "completion_texts"]

_ANSWER, _THOUGHT = 1024, 8192
"""Default of `max_new_tokens` without and with a thought before the answer: published models seldom need more."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt as the model gets it."""

    prompt: Prompt
    ids: tuple[int, ...]
    """Token ids of the context."""
    opening: str
    """The beginning of the answer that the context ends with; it belongs to the text of each completion."""
    limit: int
    """Maximum length of a completion in tokens."""


@driver
class SamplingOptions:
    """Options of sampling from the actor's model; generator drivers inherit from this class."""

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
    system: str = ""
    """System prompt: a message before the others under a chat template, else text before the prompt."""
    prefill: str = ""
    """Beginning of each answer, which the model continues. It is verified with the completion, and carries no loss."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts at which a completion ends, for models that do not end by themselves. The text up to the first of them is
    verified; the tokens up to the one that completes it are trained on, so that the model learns to write it."""
    keep_stop: bool = False
    """Keep the stop text at the end of the completion's text, such as the fence that closes a program."""

    def questions(
        self, actor: Actor, prompts: Sequence[Prompt], *, context_length: int | None = None
    ) -> list[Question]:
        """Return `prompts` as the model of `actor` gets them.

        `context_length` is that of the engine, in tokens, if it may be less than the model's. Raises a `DataError` for
        a prompt that leaves no room for a completion, or that the chat template rejects.
        """
        return [self._question(actor, prompt, context_length) for prompt in prompts]

    def stops(self, actor: Actor) -> Stops:
        """Return what ends a completion besides the actor's end tokens."""
        return Stops(actor.tokenizer, self.stop, keep=self.keep_stop)

    def _question(self, actor: Actor, prompt: Prompt, context_length: int | None) -> Question:
        start = actor.context(prompt, system=self.system, prefill=self.prefill)
        ids = actor.encode_context(start, prompt)
        limit = self._limit(actor, prompt, len(ids), thinks=start.thinks, context_length=context_length)
        return Question(prompt, ids, start.opening, limit)

    def _limit(
        self, actor: Actor, prompt: Prompt, length: int, *, thinks: bool, context_length: int | None = None
    ) -> int:
        """Return the maximum number of new tokens after `length` tokens of a prompt."""
        limit = self.max_new_tokens or (_THOUGHT if thinks else _ANSWER)
        lengths = [each for each in (actor.context_length, context_length) if each]
        if not lengths:
            return limit
        if length >= min(lengths):
            raise DataError(
                f"prompt {prompt.id!r} has {length} tokens, but the model's context has {min(lengths)}",
                hint="shorten or remove the prompt, or choose a model with a longer context",
            )
        return min(limit, min(lengths) - length)


def completion_texts(
    actor: Actor, questions: Sequence[Question], rows: Sequence[Sequence[int]], stops: Stops
) -> list[str]:
    """Return the text of each completion: the opening of its question, and its tokens up to the first stop text."""
    texts = texts_of(actor.tokenizer, rows)
    return [question.opening + stops.cut(text) for question, text in zip(questions, texts, strict=True)]
