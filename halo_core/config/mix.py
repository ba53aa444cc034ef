"""The `mix` section: earlier completions or pairs that a cycle also trains on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.config.options import driver


@driver
class Mix:
    """What is trained on besides the cycle's own choice."""

    mode: Literal["replace", "accumulate", "replay"] = "replace"
    """`replace`: nothing. `accumulate`: everything that earlier cycles chose. `replay`: a share of it, or of
    `pairs`."""
    cap: Annotated[int, Field(ge=1)] = 10
    """`accumulate`: earlier completions are added, the newest first, up to so many distinct ones of a prompt."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """`replay`: share of the sequences trained on that are replayed, as far as there are enough."""
    pairs: str | None = None
    """`replay`: JSON Lines of {"prompt": ..., "completion": ...} to replay instead of earlier cycles."""

    @model_validator(mode="after")
    def _pairs_are_for_replay(self) -> Self:
        if self.pairs and self.mode != "replay":
            raise ValueError("pairs are for mode: replay")
        return self
