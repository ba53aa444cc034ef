"""What a run chooses by name. `base` has the interfaces; the other modules are what the core ships."""

from halo_core.config.options import driver
from halo_core.drivers.base import (
    Attack,
    Demo,
    Driver,
    Generator,
    LRPolicy,
    Reward,
    Selector,
    Trainer,
    Verifier,
)

__all__ = [
    "Attack",
    "Demo",
    "Driver",
    "Generator",
    "LRPolicy",
    "Reward",
    "Selector",
    "Trainer",
    "Verifier",
    "driver",
]
