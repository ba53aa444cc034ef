"""Fixtures with tiny models."""

from tiny_models import checkpoint, disturb, make_actor, one_thread, sample_of, samples

__all__ = ["checkpoint", "disturb", "make_actor", "one_thread", "sample_of", "samples"]
