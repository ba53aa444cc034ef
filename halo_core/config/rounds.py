"""The `rounds` section: further completions only for prompts that need them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from halo_core.config.options import driver


@driver
class Rounds:
    """Sampling of the training prompts in rounds.

    The first round samples every prompt. Each later round samples prompts that do not have enough passes yet, those
    with the fewest first, until the budget is spent: `samples_per_prompt` times the number of prompts, in completions.
    So what a solved prompt saves goes to unsolved ones. Held-out prompts are never sampled in rounds.
    """

    size: Annotated[int, Field(ge=1)] | None = None
    """Completions of a prompt in a round. null: one round with `samples_per_prompt` completions of each prompt."""
    most: Annotated[int, Field(ge=1)] = 32
    """Maximum number of completions of a prompt in a cycle."""
    enough: Annotated[int, Field(ge=1)] = 2
    """A prompt with this number of distinct passing completions is not sampled further."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Budget of sampled tokens in a cycle, besides that of completions. A round has as many prompts as this allows at
    the mean length so far. null: no such budget."""

    @model_validator(mode="after")
    def _a_round_fits(self) -> Self:
        if self.size is not None and self.size > self.most:
            raise ValueError("most must be at least size")
        return self
