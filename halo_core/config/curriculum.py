"""The `curriculum` section: which prompts each cycle samples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from halo_core.config.options import driver


@driver
class Curriculum:
    """Which of the prompts each cycle samples.

    A prompt's difficulty is the number that its data gives, or else estimated: (fails + 1) / (samples + 2)
    over all earlier cycles of the run, 1/2 for a prompt that was never sampled.
    """

    order: Literal["none", "easy_first", "hard_first", "frontier"] = "none"
    """`none`: all prompts in every cycle. `easy_first`, `hard_first`: the easiest or hardest share of them,
    which grows to all in the last cycle. `frontier`: a share drawn by p (1 - p), p being the difficulty as
    estimated: what is solved sometimes teaches most."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the prompts in the first cycle; for `frontier`, in every cycle."""
    key: str = ""
    """Key of a prompt's row in the data that holds its difficulty, any number; empty: estimated. Not for
    `frontier`."""
