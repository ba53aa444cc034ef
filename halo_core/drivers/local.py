"""Cluster `local`: no other process than halo's own and its sandbox."""

from __future__ import annotations

from halo_core.config.options import driver
from halo_core.drivers.base import Cluster, Workers
from halo_core.model.contexts import ClusterContext


@driver
class Local(Cluster):
    """Sample, verify and train in halo's own process, on this machine."""

    def open(self, context: ClusterContext) -> Workers:
        """Return workers that leave all work to halo."""
        return Workers()
