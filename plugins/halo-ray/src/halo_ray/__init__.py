"""Cluster `ray`: samplers, verifiers and trainers on Ray."""

from halo_ray.cluster import Ray

__all__ = ["Ray"]
