"""Discovery of plugins: entry points, listed without importing anything and loaded one at a time by name.

stevedore loads them. The list is that of `importlib.metadata`: stevedore's on-disk cache can be stale and omits the
distribution, and a name that two distributions provide must be an error that names both.

    'gcc'                      by name
    'halo-verifier-gcc:gcc'    by distribution and name, if two distributions provide the name
    './mine.py:Mine'           a class in a file; for a hook plugin, './shape.py' is the whole module
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, version
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from stevedore import DriverManager

from halo_core.config.kinds import MOVED, PACKAGES, group_of
from halo_core.errors import PluginError, UnknownPluginError, did_you_mean, file_hint
from halo_core.plugin.installed import Owner, entry_points, owner

__all__ = ["Loaded", "Source", "available", "load"]

_OWN = "halo-core"
_FILE = "sha256:"
"""Start of the version of a plugin in a file."""
_GUARD = 'remove the call of sys.exit, or write it below: if __name__ == "__main__"'


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a plugin that can be loaded."""

    kind: str
    name: str
    distribution: str
    """Distribution name; for a file plugin, the path as given."""
    version: str
    """Distribution version; for a file plugin, `sha256:` and the first 12 digits of the file's hash."""
    target: str
    """`module:attribute`; for a file plugin, `file:attribute` or the file."""

    @property
    def address(self) -> str:
        """A name that `load` resolves to this plugin even if others have the same name."""
        return self.target if self.version.startswith(_FILE) else f"{self.distribution}:{self.name}"

    def __str__(self) -> str:
        origin = f"{self.distribution} {self.version}".rstrip()
        return f"{self.kind} {self.name!r} ({origin})"


BUILTIN = Source("plugin", "builtin", "halo-core", "", "halo_core.run.dispatch")
"""The source of everything that halo itself registers."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded plugin, with its source."""

    source: Source
    value: Any
    """For a driver its class; for a hook plugin a class, module or object."""


def available(kind: str) -> list[Source]:
    """Return the installed plugins of `kind`, sorted by name, without importing them."""
    return sorted((_source(kind, entry) for entry in _entries(kind)), key=lambda s: (s.name, s.distribution))


Origins = Mapping[tuple[str, str], str]
"""(kind, name) -> the distribution that a recorded run loaded it from."""


def origins_of(rows: Iterable[Mapping[str, Any]]) -> Origins:
    """Return the origins in the `plugins.json` of a run; files have none."""
    return {
        (row["kind"], row["name"]): row["distribution"]
        for row in rows
        if not str(row["version"]).startswith(_FILE)
    }


def still_installed(origins: Origins) -> Origins:
    """Return the origins whose distribution still provides the name."""
    return {key: owner for key, owner in origins.items() if _matches(*key, owner)}


def load(kind: str, name: str, origins: Origins | None = None) -> Loaded:
    """Load the plugin of `kind` called `name`; a name without a distribution means that of `origins`, if listed there.

    Raises an `UnknownPluginError` if no such plugin is installed (with the package to install, or the nearest name) or
    if two distributions provide the name, and a `PluginError` if its distribution needs another version of halo or its
    code cannot be imported.
    """
    path, _, attribute = name.partition(":")
    if path.endswith(".py"):
        return _load_file(kind, Path(path), attribute)
    entry = _find(kind, name, origins or {})
    source = _source(kind, entry)
    _check_requirement(source, entry)
    try:
        return Loaded(source, _EntryPointManager(entry).driver)
    except SystemExit as error:
        raise PluginError(f"{source} ends the process when it is imported", hint=_GUARD) from error
    except Exception as error:
        raise PluginError(
            f"{source} cannot be imported: {type(error).__name__}: {error}",
            hint=f"reinstall {source.distribution}, or run with --debug for the traceback",
        ) from error


def _entries(kind: str) -> list[EntryPoint]:
    """Return the entry points of `kind`, without those of packages whose driver has moved into the core."""
    found = entry_points(group=group_of(kind))
    own = {entry.name for entry in found if _source(kind, entry).distribution == _OWN}
    return [
        entry
        for entry in found
        if not (entry.name in own and _is_former(kind, entry.name, _source(kind, entry).distribution))
    ]


def _is_former(kind: str, name: str, distribution: str) -> bool:
    former = MOVED.get((kind, name))
    return former is not None and _is_same(former, distribution)


def _source(kind: str, entry: EntryPoint) -> Source:
    found = owner(entry.dist) if entry.dist else Owner("?", "?", ())
    return Source(kind, entry.name, found.name, found.version, entry.value)


def _check_requirement(source: Source, entry: EntryPoint) -> None:
    """Raise a `PluginError` if the plugin's distribution needs another version of halo than this one."""
    unmet = _unmet(owner(entry.dist).requires) if entry.dist else ""
    if unmet:
        raise PluginError(
            f"{source} needs {_OWN} {unmet}, and this is {_OWN} {_own_version()}",
            hint=f"pip install --upgrade {source.distribution} {_OWN}",
        )


@lru_cache(maxsize=64)
def _unmet(requires: tuple[str, ...]) -> str:
    """Return what `requires` demands of halo if this version does not meet it."""
    own = _own_version()
    for text in requires:
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            continue
        applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
        if _is_same(needed.name, _OWN) and applies and not needed.specifier.contains(own, prereleases=True):
            return str(needed.specifier)
    return ""


@cache
def _own_version() -> str:
    return version(_OWN)


def _matches(kind: str, short: str, dist: str) -> list[EntryPoint]:
    """Return the entry points called `short` of the distribution `dist`; of all distributions if it is empty."""
    if _is_former(kind, short, dist):
        dist = _OWN
    return [
        entry
        for entry in _entries(kind)
        if entry.name == short and (not dist or _is_same(dist, _source(kind, entry).distribution))
    ]


def _find(kind: str, name: str, origins: Origins) -> EntryPoint:
    dist, _, short = name.rpartition(":")
    recorded = "" if dist else origins.get((kind, short), "")
    matches = _matches(kind, short, dist or recorded)
    if recorded and not matches:
        others = [_source(kind, entry).distribution for entry in _matches(kind, short, "")]
        also = f"; {' and '.join(sorted(others))} provides another" if others else ""
        raise PluginError(
            f"the run was started with {kind} {short!r} of {recorded}, which is not installed{also}",
            hint=f"pip install {recorded}",
        )
    if len(matches) > 1:
        owners = sorted(_source(kind, entry).distribution for entry in matches)
        raise UnknownPluginError(
            f"{kind} {name!r} is provided by {' and '.join(owners)}",
            hint=f"name one: {' or '.join(f'{owner}:{short}' for owner in owners)}",
        )
    if not matches:
        package = PACKAGES.get((kind, short))
        hint = f"pip install {package}" if package else did_you_mean(short, {e.name for e in _entries(kind)})
        hint = hint or "install the package that provides it, or name a file as ./file.py:Class"
        raise UnknownPluginError(f"no {kind.replace('_', ' ')} named {name!r} is installed", hint=hint)
    return matches[0]


def _is_same(one: str, other: str) -> bool:
    """Return whether two distribution names are equal for pip (PEP 503)."""
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


class _EntryPointManager(DriverManager):  # type: ignore[misc]
    """stevedore's driver manager for exactly one given entry point."""

    def __init__(self, entry: EntryPoint) -> None:
        self._entry = entry
        super().__init__(namespace=entry.group, name=entry.name, on_load_failure_callback=self._fail)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry]

    def _fail(self, _manager: object, _entry: EntryPoint, error: BaseException) -> None:
        raise error


def _load_file(kind: str, path: Path, attribute: str) -> Loaded:
    try:
        code = path.read_bytes()
    except OSError as error:
        raise UnknownPluginError(
            f"{kind} file {str(path)!r} cannot be read: {error.strerror}", hint=file_hint(error)
        ) from error
    digest = hashlib.sha256(code).hexdigest()
    name = hashlib.sha256(f"{path.resolve()} {digest}".encode()).hexdigest()
    module = _import_file(kind, path, f"halo_file_{path.stem}_{name[:12]}")
    if attribute and not hasattr(module, attribute):
        names = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise UnknownPluginError(f"{path} has no {attribute!r}", hint=did_you_mean(attribute, names))
    if not attribute and kind != "plugin":
        raise UnknownPluginError(f"{kind} {str(path)!r} names no class", hint=f"write {path}:ClassName")
    source = Source(
        kind, attribute or path.stem, str(path), f"{_FILE}{digest[:12]}", f"{path}:{attribute}".rstrip(":")
    )
    return Loaded(source, getattr(module, attribute) if attribute else module)


def _import_file(kind: str, path: Path, module_name: str) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{kind} file {str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # pydantic resolves the annotations of dataclasses through sys.modules
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        if isinstance(error, SystemExit):
            raise PluginError(
                f"{kind} file {path} ends the process when it is imported", hint=_GUARD
            ) from error
        line = getattr(error, "lineno", None) or _line_in(path, error)
        place = f"{path}:{line}" if line else str(path)
        raise PluginError(f"{kind} file {place}: {type(error).__name__}: {error}") from error
    return module


def _line_in(path: Path, error: BaseException) -> int | None:
    """Return the line of `path` that was running when `error` was raised."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
