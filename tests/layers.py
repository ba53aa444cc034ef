"""The layers of the packages: which imports which, in order.

    python tests/layers.py      print the rooms of halo_core from the bottom up, and the longest chain

A room is a package or a module directly below `halo_core`. Every import counts: at the top of a module, inside a
function and under `TYPE_CHECKING`. `test_layers.py` asserts that no import runs upward, that there is no cycle between
rooms or between modules, and that the longest chain of rooms is short.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORDER: tuple[tuple[str, ...], ...] = (
    ("types", "errors", "seeds", "shares", "progress", "tables"),
    ("config", "data", "files", "metrics", "sandbox"),
    ("ledger", "model", "diagnosis"),
    ("hookspecs", "drivers", "report"),
    ("plugin", "demo"),
    ("verification",),
    ("run", "interop"),
    ("loop", "builtin", "testing"),
    ("cli",),
)
"""The rooms from the bottom up. A room imports from rows below its own, or from nothing."""
ABOVE_ALL = {"", "__main__"}
"""The package itself, which exports lazily from everywhere, and `python -m halo_core`."""


def imports(package: Path) -> dict[str, set[str]]:
    """Return the modules of `package` that each of its modules imports; names are relative to it."""
    names = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return {name: set(_imported(path, package, names)) - {name} for name, path in names.items()}


def rooms(modules: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the rooms that each room imports."""
    found: dict[str, set[str]] = {}
    for name, imported in modules.items():
        room = name.partition(".")[0]
        found.setdefault(room, set()).update(each.partition(".")[0] for each in imported)
    return {room: others - {room} for room, others in found.items()}


def cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes of a cycle, in order; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def longest_chain(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the longest chain of imports in a graph without cycles, from the top down."""

    @cache
    def below(node: str) -> tuple[str, ...]:
        return (node, *max((below(other) for other in graph.get(node, ())), key=len, default=()))

    longest = max(map(below, graph), key=len)
    return list(longest)


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, package: Path, names: Mapping[str, Path]) -> Iterator[str]:
    prefix = f"{package.name}."
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            if target == package.name or target.startswith(prefix):
                name = target.removeprefix(package.name).removeprefix(".")
                yield name if name in names else name.rpartition(".")[0]


def main() -> int:
    """Print the layers; return 1 if an import runs upward or in a cycle."""
    modules = imports(ROOT / "halo_core")
    graph = {room: others for room, others in rooms(modules).items() if room not in ABOVE_ALL}
    level = {room: number for number, row in enumerate(ORDER) for room in row}
    for number, row in reversed(list(enumerate(ORDER, 1))):
        print(f"{number:2}  {'  '.join(row)}")
    arrows = [(room, other) for room, others in graph.items() for other in sorted(others)]
    upward = [f"{room} -> {other}" for room, other in arrows if level[other] >= level[room]]
    found = cycle(graph) or cycle(modules)
    print(f"\n{len(graph)} rooms, {len(arrows)} arrows, {len(upward)} upward: {', '.join(upward) or 'none'}")
    print(f"cycles: {' -> '.join(found) or 'none'}")
    if not found:
        chain = longest_chain(graph)
        print(f"longest chain: {len(chain)} rooms: {' -> '.join(chain)}")
    return int(bool(upward or found))


if __name__ == "__main__":
    sys.exit(main())
