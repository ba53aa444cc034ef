"""Programs that try to be paid without being right."""

from __future__ import annotations

from halo_core.drivers import Attack

ALL: tuple[Attack, ...] = ()
