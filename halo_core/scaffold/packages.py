"""A new plugin package, rendered from the templates beside this module.

files = render(Scaffold("verifier", "roman"))     the text of each file, by path
write(Path("halo-verifier-roman"), files)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from halo_core.config.kinds import KINDS
from halo_core.errors import ConfigError, RunError, did_you_mean
from halo_core.files import disk, write_directory

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_NOUN = {"lr_policy": "learning-rate policy", "plugin": "hook plugin"}
"""Name of the kind in sentences, if it is not the kind."""
_SUFFIX = {"lr_policy": "Policy", "plugin": "Hooks"}
"""Last word of the class, if it is not the kind."""

_BASES = ("LRPolicy", "ProgramVerifier")
"""Base classes that a name could lead to."""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The kind and the name of a new package. Raises a `ConfigError` for an unknown kind or an unusable name."""

    kind: str
    """A kind of driver, or "plugin"."""
    name: str
    """Name that a run selects the driver by: lower-case words joined by - or _."""
    program: bool = False
    """True for a verifier that runs programs."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            kinds = [kind.replace("_", "-") for kind in KINDS]
            raise ConfigError(f"unknown kind {self.kind!r}", hint=did_you_mean(self.kind, kinds))
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be the name of a {self.kind}",
                hint="use lower-case letters and digits, in words joined by - or _: roman-numerals",
            )
        if self.program and self.kind != "verifier":
            raise ConfigError(f"--program is for verifiers, not for a {self.kind}", hint="leave it out")

    @property
    def noun(self) -> str:
        """The kind, in a sentence."""
        return _NOUN.get(self.kind, self.kind)

    @property
    def words(self) -> str:
        """The kind and the name, joined by -."""
        return f"{self.kind}-{self.name}".replace("_", "-")

    @property
    def distribution(self) -> str:
        """Name of the package: `halo-verifier-roman-numerals`."""
        return f"halo-{self.words}"

    @property
    def module(self) -> str:
        """Name of the module: `halo_verifier_roman_numerals`."""
        return self.distribution.replace("-", "_")

    @property
    def cls(self) -> str:
        """Name of the class: `RomanNumeralsVerifier`."""
        words = [word.capitalize() for word in re.split("[-_]", self.name)]
        found = "".join(words) + _SUFFIX.get(self.kind, self.kind.title())
        return f"My{found}" if found in _BASES else found

    @property
    def template(self) -> str:
        """Stem of the templates of this kind."""
        return "program" if self.program else self.kind


def render(scaffold: Scaffold) -> dict[str, str]:
    """Return the text of each file of the package, by its path in it."""
    environment = Environment(
        loader=PackageLoader("halo_core.scaffold"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    major, minor = version("halo-core").split(".")[:2]
    values = {
        "it": scaffold,
        "group": KINDS[scaffold.kind].group,
        "flag": "--" + scaffold.kind.replace("_", "-"),
        "halo": f"halo-core>={major}.{minor},<{major}.{int(minor) + 1}",
    }
    return {
        path: environment.get_template(f"{template}.jinja").render(values)
        for path, template in _templates(scaffold).items()
    }


def _templates(scaffold: Scaffold) -> Mapping[str, str]:
    """Return the template of each file."""
    found = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".github/workflows/tests.yml": "tests.yml",
        f"src/{scaffold.module}/__init__.py": f"{scaffold.template}.py",
        f"src/{scaffold.module}/py.typed": "py.typed",
        f"tests/test_{scaffold.name.replace('-', '_')}.py": f"test_{scaffold.template}.py",
    }
    if scaffold.kind == "verifier":
        found["prompts.jsonl"] = f"{scaffold.template}.jsonl"
    return found


def write(directory: Path, files: Mapping[str, str]) -> None:
    """Write the files of a package into a new directory, all or none.

    Raises a `RunError` if the directory contains something already.
    """
    with disk(directory):
        if directory.is_dir() and any(directory.iterdir()):
            raise RunError(f"{directory} is not empty", hint="name another place: --output DIR")

    def fill(partial: Path) -> None:
        for path, text in files.items():
            target = partial / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    write_directory(directory, fill)
