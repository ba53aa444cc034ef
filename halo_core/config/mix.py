"""The `mix` section: earlier completions or pairs that a cycle also trains on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.config.options import driver


@driver
class Mix:
    """The samples that a cycle trains on besides its own selection."""

    mode: Literal["replace", "accumulate", "replay"] = "replace"
    """`replace`: nothing else. `accumulate`: everything that earlier cycles selected. `replay`: a random share of
    that, or of `pairs`."""
    cap: Annotated[int, Field(ge=1)] = 10
    """`accumulate`: maximum number of distinct completions of a prompt; earlier ones are added newest first."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """`replay`: share of the training sequences that are replayed; less if there are not enough."""
    pairs: str | None = None
    """`replay`: JSON Lines file of {"prompt": ..., "completion": ...} to replay instead of earlier cycles."""

    @model_validator(mode="after")
    def _pairs_are_for_replay(self) -> Self:
        if self.pairs and self.mode != "replay":
            raise ValueError("pairs need mode: replay")
        return self
