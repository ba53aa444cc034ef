"""The public API as text: every public name with its signature, its fields and its methods, one to a line.

    python tests/api.py              print the changes since the snapshot in docs/api.txt, and what they need
    python tests/api.py --write      write the snapshot
    python tests/api.py --release    write it as the API of the version that is being released

A name is public if the `__all__` of its module lists it. After the first release the snapshot marks the lines that were
added (+) and removed (-) since. `test_api.py` asserts that it is current, that the changelog names each marked line,
and that the version has been raised as semantic versioning requires.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SNAPSHOT = ROOT / "docs" / "api.txt"
NONE = "none"
_TITLE = "# The public API of halo-core, written by tests/api.py. Released: "


@dataclass(frozen=True)
class Snapshot:
    """The contents of `docs/api.txt`."""

    released: str
    """Version that the unmarked and the removed lines describe; "none" before the first release."""
    marks: Mapping[str, str]
    """Line -> "+" if it was added since, "-" if it was removed, else empty."""

    @classmethod
    def read(cls, text: str) -> Snapshot:
        """Parse the text of a snapshot."""
        title, *lines = text.splitlines()
        marks = {line[2:]: line[0].strip() for line in lines if line}
        return cls(title.removeprefix(_TITLE), marks)

    @property
    def lines(self) -> set[str]:
        """The API that the snapshot describes."""
        return {line for line, mark in self.marks.items() if mark != "-"}

    def updated(self, api: set[str]) -> Snapshot:
        """Return the snapshot of `api`, with its differences from the release marked."""
        if self.released == NONE:
            return Snapshot(NONE, dict.fromkeys(api, ""))
        before = {line for line, mark in self.marks.items() if mark != "+"}
        marks = {line: "" if line in before else "+" for line in api}
        return Snapshot(self.released, marks | dict.fromkeys(before - api, "-"))

    def __str__(self) -> str:
        rows = [f"{mark or ' '} {line}" for line, mark in sorted(self.marks.items())]
        return "\n".join([_TITLE + self.released, *rows]) + "\n"


def problems(api: set[str], snapshot: Snapshot, changelog: str, version: str) -> list[str]:
    """Return what is missing for `api`: a current snapshot, a line in the changelog, a version.

    `changelog` is its section about the version in work.
    """
    found = [f"not in the snapshot: {line}" for line in sorted(api - snapshot.lines)]
    found += [f"only in the snapshot: {line}" for line in sorted(snapshot.lines - api)]
    marks = snapshot.updated(api).marks
    changed = [line for line, mark in sorted(marks.items()) if mark]
    for line in changed:
        name = re.split(r"[(:= ]", line)[0].rpartition(".")[2]
        if not re.search(rf"\b{re.escape(name)}\b", changelog):
            found.append(f"not named in the changelog: {name} ({line})")
    if changed:
        least = least_version(snapshot.released, removes="-" in marks.values())
        if numbers(version) < numbers(least):
            found.append(f"the version must be {least} or later, not {version}")
    return found


def least_version(released: str, *, removes: bool) -> str:
    """Return the lowest version after `released` that may add names, or remove and change names (semantic versioning).

    Before 1.0 the minor version is raised where it would be the major version afterwards.
    """
    major, minor, patch = numbers(released)
    if removes and major:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if removes or major else f"{major}.{minor}.{patch + 1}"


def numbers(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a version; 1.2 is 1.2.0."""
    major, minor, patch, *_ = [int(part) for part in re.findall(r"\d+", version)] + [0, 0]
    return major, minor, patch


def unreleased(changelog: str) -> str:
    """Return the first section of the changelog."""
    return re.split(r"^## ", changelog, flags=re.MULTILINE)[1]


def project_version() -> str:
    """Return the version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


# Reading the API


def current() -> set[str]:
    """Return the lines of the installed halo_core."""
    return {line for module in public_modules() for line in _module_lines(module)}


def public_modules() -> Iterator[Any]:
    """Import and yield the modules that define `__all__`."""
    import halo_core

    yield halo_core
    for found in pkgutil.walk_packages(halo_core.__path__, "halo_core."):
        if found.name.endswith("__main__"):
            continue
        path = Path(str(ROOT / found.name.replace(".", "/")))
        source = path / "__init__.py" if found.ispkg else path.with_suffix(".py")
        if re.search(r"^__all__ ", source.read_text(encoding="utf-8"), re.MULTILINE):
            yield import_module(found.name)


def _module_lines(module: Any) -> Iterator[str]:
    for name in module.__all__:
        value = getattr(module, name)
        path = f"{module.__name__}.{name}"
        home = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', name)}"
        if _is_defined_again(module, name, value):
            yield f"{path} is {home}"
        elif isinstance(value, type):
            yield from _class_lines(path, value)
        elif inspect.isroutine(value):
            yield path + _signature(value)
        else:
            yield f"{path}: {type(value).__name__}"


def _is_defined_again(module: Any, name: str, value: Any) -> bool:
    """Return whether another public module describes `value`: the one that defines it, or `halo_core` itself."""
    if module.__name__ == "halo_core":
        return False
    import halo_core

    home = sys.modules.get(getattr(value, "__module__", ""))
    listed = home is not None and home is not module and name in getattr(home, "__all__", ())
    return listed or (name in halo_core.__all__ and getattr(halo_core, name) is value)


def _class_lines(path: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"{path}({bases})" if bases else path
    if issubclass(cls, enum.Enum):
        yield from (f"{path}.{member.name} = {member.value!r}" for member in cls)
    fields = {field.name: field for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    for name, field in fields.items():
        yield f"{path}.{name}: {_text(field.type)}{_default(field)}"
    if not fields and "__init__" in vars(cls):
        yield f"{path}.__init__{_signature(vars(cls)['__init__'])}"
    for name, value in _members(cls).items():
        if name in fields or (issubclass(cls, enum.Enum) and name in cls.__members__):
            continue
        if isinstance(value, property):
            yield f"{path}.{name}: property {_text(inspect.signature(value.fget).return_annotation)}"  # type: ignore[arg-type]
        elif isinstance(value, staticmethod | classmethod):
            yield f"{path}.{name}{_signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"{path}.{name}{_signature(value)}"
        elif type(value).__name__ == "FixtureFunctionDefinition":
            yield f"{path}.{name}: fixture"
        else:
            yield f"{path}.{name}: {type(value).__name__}"


def _members(cls: type) -> dict[str, Any]:
    """Return the public members that halo defines in `cls` and its bases, without the tests of contracts."""
    own = [each for each in reversed(cls.__mro__) if each.__module__.startswith("halo_core")]
    return {
        name: value
        for each in own
        for name, value in sorted(vars(each).items())
        if not name.startswith(("_", "test_")) and type(value).__name__ != "member_descriptor"
    }


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_Text(each.annotation), default=_Shown(each.default))
        for each in signature.parameters.values()
    ]
    returns = _Text(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returns))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {_Shown(field.default)!r}"
    return "" if field.default_factory is dataclasses.MISSING else " = ..."


def _text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


class _Text:
    """An annotation that is printed without quotes."""

    def __new__(cls, annotation: Any) -> Any:
        return annotation if annotation is inspect.Parameter.empty else super().__new__(cls)

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def __repr__(self) -> str:
        return _text(self.annotation)


class _Shown:
    """A default; one whose repr contains an address is printed as an ellipsis."""

    def __new__(cls, value: Any) -> Any:
        return value if value is inspect.Parameter.empty else super().__new__(cls)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        shown = repr(self.value)
        return "..." if re.search(r" at 0x|/|\n", shown) else shown


def main(arguments: list[str]) -> int:
    """Print what is missing, or write the snapshot; return 1 if something is missing."""
    api, version = current(), project_version()
    snapshot = Snapshot.read(SNAPSHOT.read_text()) if SNAPSHOT.exists() else Snapshot(NONE, {})
    if "--release" in arguments:
        SNAPSHOT.write_text(str(Snapshot(version, dict.fromkeys(api, ""))))
    elif "--write" in arguments:
        snapshot = snapshot.updated(api)
        SNAPSHOT.write_text(str(snapshot))
    found = problems(
        api, Snapshot.read(SNAPSHOT.read_text()), unreleased((ROOT / "CHANGELOG.md").read_text()), version
    )
    print("\n".join(found) or f"{len(api)} lines, as in {SNAPSHOT.relative_to(ROOT)}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
