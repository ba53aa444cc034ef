"""The public names for authors of drivers: the interfaces of `base`, and `driver`.

The other modules contain the drivers of the core. Within halo, import from `halo_core.drivers.base`.
"""

from halo_core.config.options import driver
from halo_core.drivers.base import (
    Attack,
    Cluster,
    Demo,
    Driver,
    Generator,
    LRPolicy,
    Reward,
    Selector,
    Trainer,
    Verifier,
    Workers,
)

__all__ = [
    "Attack",
    "Cluster",
    "Demo",
    "Driver",
    "Generator",
    "LRPolicy",
    "Reward",
    "Selector",
    "Trainer",
    "Verifier",
    "Workers",
    "driver",
]
