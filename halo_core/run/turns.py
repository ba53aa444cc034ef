"""Selectors and trainers that take turns: `per_cycle` may name another one for later cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from halo_core.config.options import options_in, options_of
from halo_core.config.schema import DriverSpec
from halo_core.config.training import TrainingOptions
from halo_core.drivers.base import Driver
from halo_core.errors import ConfigError
from halo_core.plugin.discovery import Origins, Source
from halo_core.plugin.loading import build_driver, load_class

KINDS_IN_TURN = ("selector", "trainer")
"""Kinds whose driver may change from cycle to cycle, not only its options."""
NAME = "name"
"""Under this key `per_cycle` has the drivers of a kind, instead of the values of an option."""
Turns = Mapping[str, Sequence[tuple[Driver, Source]]]
"""By kind, the drivers of cycles 1, 2, ... with their sources; the last one stays for all later cycles."""


def load_turns(
    per_cycle: Mapping[str, Mapping[str, Sequence[Any]]],
    built: Mapping[str, Driver],
    sources: Mapping[str, Source],
    origins: Origins | None = None,
) -> Turns:
    """Return the drivers that `per_cycle` names; `built` has the drivers of the configuration.

    Each is a name, or a mapping of a name and options. The driver of the configuration keeps its options. A trainer
    takes the options that every trainer has from that of the configuration. Raises a `ConfigError` for an invalid
    driver or option, and if some trainers train an adapter and others the whole model.
    """
    found: dict[str, Sequence[tuple[Driver, Source]]] = {}
    for kind in built.keys() & set(KINDS_IN_TURN):
        if NAME in per_cycle.get(kind, {}):
            first = built[kind], sources[kind]
            found[kind] = [_load(kind, value, first, origins) for value in per_cycle[kind][NAME]]
    trainers = [driver for driver, _ in found.get("trainer", ())]
    if len({trainer.full for trainer in trainers if isinstance(trainer, TrainingOptions)}) > 1:
        raise ConfigError(
            "per_cycle.trainer: some trainers train an adapter and others the whole model",
            hint="set `full` for all of them or for none: an adapter cannot follow a training of the whole model",
        )
    return found


def check_options(kind: str, values: Mapping[str, Sequence[Any]], drivers: Sequence[Driver]) -> None:
    """Raise a `ConfigError` if none of `drivers`, which take turns, has an option of `per_cycle`."""
    known = {option.name for driver in drivers for option in options_of(type(driver))}
    for option in values.keys() - known - {NAME}:
        raise ConfigError(
            f"per_cycle.{kind}.{option}: none of the {kind}s that take turns has it",
            hint=f"their options: {', '.join(sorted(known))}",
        )


def _load(
    kind: str, value: Any, first: tuple[Driver, Source], origins: Origins | None
) -> tuple[Driver, Source]:
    try:
        spec = DriverSpec.model_validate(value)
    except ValidationError as error:
        raise ConfigError(
            f"per_cycle.{kind}.{NAME}: {value!r} is not a {kind}",
            hint="write its name, or {name: NAME, OPTION: VALUE}",
        ) from error
    loaded = load_class(kind, spec.name, origins)
    driver, _ = first
    shared = options_in(driver)
    if loaded.value is not type(driver):
        both = isinstance(driver, TrainingOptions) and issubclass(loaded.value, TrainingOptions)
        common = {each.name for each in fields(TrainingOptions)} if both else set()
        shared = {name: option for name, option in shared.items() if name in common}
    complete = DriverSpec.model_validate({**shared, **spec.options, "name": spec.name})
    return build_driver(loaded, complete), loaded.source
