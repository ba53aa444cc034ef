"""Wrong answers that were made to be paid for."""
from halo_core.drivers import Attack
ATTACKS: tuple[Attack, ...] = ()
