"""The public place of `halo_core.thoughts`, for verifiers."""

from halo_core.thoughts import TAGS, read_answer

__all__ = ["TAGS", "read_answer"]
