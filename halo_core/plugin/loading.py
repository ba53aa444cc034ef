"""From the name of a driver or plugin and its options to an object, checked and with its source."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from halo_core.config.kinds import KINDS
from halo_core.config.options import build
from halo_core.config.schema import DriverSpec
from halo_core.errors import ConfigError, PluginError
from halo_core.plugin.blame import blamed
from halo_core.plugin.discovery import Loaded, Origins, Source, load
from halo_core.plugin.driver_checks import check_class
from halo_core.plugin.hook_checks import check_plugin


def load_class(kind: str, name: str, origins: Origins | None = None) -> Loaded:
    """Load and check the class of the driver of `kind` called `name`."""
    loaded = load(kind, name, origins)
    check_class(loaded, KINDS[kind].load_interface())
    return loaded


def build_driver(loaded: Loaded, spec: DriverSpec) -> Any:
    """Construct the driver of a loaded class with the options of `spec`."""
    return construct(loaded, spec.options, where=f"{loaded.source.kind} {spec.name!r}")


def load_driver(kind: str, spec: DriverSpec, origins: Origins | None = None) -> tuple[Any, Source]:
    """Load and construct the driver that `spec` names; return it with its source."""
    loaded = load_class(kind, spec.name, origins)
    return build_driver(loaded, spec), loaded.source


def load_plugin(spec: DriverSpec, origins: Origins | None = None) -> tuple[object, Source]:
    """Load, construct and check the hook plugin that `spec` names: the module, or an instance of the class."""
    loaded = load("plugin", spec.name, origins)
    plugin, where = loaded.value, f"plugin {spec.name!r}"
    if isinstance(plugin, type):
        plugin = construct(loaded, spec.options, where=where)
    elif spec.options:
        raise ConfigError(
            f"{where} takes no options: it is a module",
            hint="make it a class decorated with @hook_plugin, and name the class",
        )
    check_plugin(plugin, loaded.source)
    return plugin, loaded.source


def construct(loaded: Loaded, options: Mapping[str, Any], *, where: str) -> Any:
    """Construct a loaded class; blame it for an exception."""
    cls = loaded.value
    if inspect.isabstract(cls):
        missing = ", ".join(map(repr, sorted(cls.__abstractmethods__)))
        raise PluginError(
            f"{loaded.source} does not implement {missing}",
            hint=f"name a subclass of {cls.__name__} that does",
        )
    if not is_dataclass(cls):
        try:
            inspect.signature(cls).bind()
        except TypeError:
            raise PluginError(
                f"{loaded.source} has a constructor that needs arguments",
                hint="declare them as options: annotated fields of a class decorated with @hook_plugin",
            ) from None
    with blamed(loaded.source):
        return build(cls, options, where=where)
