"""The `curriculum` section: which prompts each cycle samples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from halo_core.config.options import driver


@driver
class Curriculum:
    """The prompts that each cycle samples.

    A prompt's difficulty is the number in its data or, without one, an estimate: (fails + 1) / (samples + 2) over all
    earlier cycles of the run; 1/2 for a prompt that was never sampled.
    """

    order: Literal["none", "easy_first", "hard_first", "frontier"] = "none"
    """`none`: all prompts in every cycle. `easy_first`, `hard_first`: the easiest or hardest share, which grows to
    all prompts in the last cycle. `frontier`: a random share, drawn with weights p (1 - p), where p is the estimated
    difficulty: prompts that are solved sometimes teach most."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the prompts in the first cycle; for `frontier`, in every cycle."""
    key: str = ""
    """Column of the data file with each prompt's difficulty, any finite number; empty: estimate it. `frontier` always
    estimates it."""
