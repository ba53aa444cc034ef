"""The states of the random number generators that dropout may use. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of each generator, by name."""
    return {name: get() for name, (get, _) in _generators(device).items()}


def set_random_states(device: torch.device, states: Mapping[str, torch.Tensor]) -> None:
    """Set the generators to what `random_states` returned."""
    generators = _generators(device)
    for name, state in states.items():
        generators[name][1](state)


def _generators(device: torch.device) -> dict[str, tuple[Callable[[], Any], Callable[[Any], None]]]:
    """Return a getter and a setter of the state of each random number generator that dropout may use."""
    found: dict[str, Any] = {"cpu": (torch.get_rng_state, torch.set_rng_state)}
    if device.type != "cpu":
        module = torch.get_device_module(device)
        options = {} if device.type == "mps" else {"device": device}
        found["device"] = (
            partial(module.get_rng_state, **options),
            partial(module.set_rng_state, **options),
        )
    return found
