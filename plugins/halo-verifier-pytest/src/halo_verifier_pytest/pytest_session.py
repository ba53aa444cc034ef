"""pytest, configured before any sample exists. The processes that run test files are forked with it loaded.

It reads no configuration file, loads only pytest's own plugins, writes no file and prints no report.
"""

from __future__ import annotations

import os
from pathlib import Path

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
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    config = get_config([*_ARGUMENTS])
    config.option.tbstyle = "value"  # message only: a traceback costs more than a test
    config.parse([*_ARGUMENTS], addopts=False)
    config._do_configure()
    return config


class TestFile(pytest.Module):
    """Collector for a test file whose text comes from the prompt and is never written to disk."""

    __test__ = False
    text = ""

    def _getobj(self) -> object:
        module = type(os)(self.path.stem)
        module.__file__ = str(self.path)
        exec(compile(self.text, str(self.path), "exec", dont_inherit=True), module.__dict__)
        return module


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
