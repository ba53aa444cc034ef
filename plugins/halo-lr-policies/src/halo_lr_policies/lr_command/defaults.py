"""Default values of `halo lr`, importable without pydantic so that `--help` stays fast."""

CYCLES = 8
"""Cycles of the run in which the halo-forge notes report a decline."""
HELDOUT = 512
"""Assumed held-out completions after each cycle."""
BATCH = 32
"""Sequences per optimizer step for which the base learning rates hold."""
RANK = 16
"""LoRA rank for which the base learning rates hold."""
ALPHA = 32.0
"""LoRA alpha for which the base learning rates hold."""
