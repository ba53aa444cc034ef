"""pytest, configured before any sample exists. The processes that run test files are forked with it loaded.

It reads no configuration file, loads only pytest's own plugins, writes no file and prints no report.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from _pytest.config import Config, get_config
from _pytest.main import Session

_DISABLED_PLUGINS = (
    "terminal pastebin junitxml doctest cacheprovider setuponly setupplan stepwise faulthandler "
    "legacypath tmpdir unraisableexception threadexception"
)
_ARGUMENTS = [
    "-c", "/dev/null", "--rootdir=/", "--noconftest", "--assert=plain", "--capture=no", "--strict-markers",
    *(word for name in _DISABLED_PLUGINS.split() for word in ("-p", f"no:{name}")),
]  # fmt: skip


def _configure() -> Config:
    """Return pytest's configuration. The environment is restored: halo's own process imports this module, too."""
    variables = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    saved = {name: os.environ.pop(name) for name in variables if name in os.environ}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        config = get_config([*_ARGUMENTS])
        config.option.tbstyle = "value"  # message only: a traceback costs more than a test
        config.parse([*_ARGUMENTS], addopts=False)
        config._do_configure()
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(saved)
    return config


class TestFile(pytest.Module):
    """Collector for a test file whose text comes from the prompt and is never written to disk."""

    __test__ = False
    text = ""

    def _getobj(self) -> object:
        module = type(os)(self.path.stem)
        module.__file__ = str(self.path)
        module.__dict__.update(_SAFE, __execute__=partial(_execute, str(self.path)))
        exec(compile(self.text, str(self.path), "exec", dont_inherit=True), module.__dict__)
        for name, value in list(module.__dict__.items()):
            if value is itertools:
                module.__dict__[name] = _itertools
            elif isinstance(value, type) and value in _ITERTOOLS:
                module.__dict__[name] = _ITERTOOLS[value]
        return module


def _execute(path: str, text: str, namespace: dict[str, Any]) -> None:
    """Execute the text of an assert in the namespace of its test file."""
    exec(compile(text, path, "exec", dont_inherit=True), namespace)


def _map(function: Any, /, *iterables: Any) -> Iterator[Any]:
    for items in zip(*iterables):  # noqa: B905 - as map does
        yield function(*items)


def _filter(function: Any, iterable: Any, /) -> Iterator[Any]:
    return (item for item in iterable if (item if function is None else function(item)))


def _iter(*arguments: Any) -> Iterator[Any]:
    return iter(*arguments) if len(arguments) != 2 else _until(*arguments)


def _until(function: Any, sentinel: Any) -> Iterator[Any]:
    while (item := function()) != sentinel:
        yield item


def _starmap(function: Any, iterable: Any) -> Iterator[Any]:
    return (function(*items) for items in iterable)


def _takewhile(function: Any, iterable: Any) -> Iterator[Any]:
    for item in iterable:
        if not function(item):
            return
        yield item


def _filterfalse(function: Any, iterable: Any) -> Iterator[Any]:
    return (item for item in iterable if not (item if function is None else function(item)))


_SAFE = {"map": _map, "filter": _filter, "iter": _iter}
"""Builtins of the test files. A StopIteration that a function raises would end Python's own ones early; in a generator
it becomes a RuntimeError."""
_ITERTOOLS: dict[type, Any] = {
    itertools.starmap: _starmap,
    itertools.takewhile: _takewhile,
    itertools.filterfalse: _filterfalse,
}
_itertools = type(os)("itertools")
_itertools.__dict__.update(vars(itertools), starmap=_starmap, takewhile=_takewhile, filterfalse=_filterfalse)


def new_session(config: Config) -> Session:
    """Start a pytest session that collects nothing by itself."""
    session = Session.from_config(config)
    config.hook.pytest_sessionstart(session=session)
    return session


def test_file(session: Session, name: str, text: str) -> TestFile:
    """Return the collector for one test file."""
    file: TestFile = TestFile.from_parent(session, path=Path("/") / name)
    file.text = text
    return file


CONFIG = _configure()
