"""Fixtures with tiny models."""

from tiny_families import family_actor
from tiny_models import checkpoint, disturb, make_actor, one_thread, sample_of, samples

__all__ = ["checkpoint", "disturb", "family_actor", "make_actor", "one_thread", "sample_of", "samples"]
