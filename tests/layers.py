"""The layers of the packages: which imports which, in order.

    python tests/layers.py      print the layers of halo_core, and the longest chain of imports

A unit is a package or a module directly below `halo_core`. Every import counts: at the top of a module, inside a
function and under `TYPE_CHECKING`. `test_layers.py` asserts that no import runs upward, that there is no cycle between
units or between modules, and that the longest chain of units is short.
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
    ("types", "errors", "deprecation", "seeds", "shares", "progress", "tables", "channels"),
    ("thoughts", "reading"),
    ("config", "data", "files", "metrics", "sandbox"),
    ("ledger", "model", "diagnosis", "selection"),
    ("training", "sampling"),
    ("hookspecs", "drivers", "report"),
    ("plugin", "demo"),
    ("verification", "scaffold"),
    ("run", "interop", "programs"),
    ("loop", "builtin"),
    ("testing",),
    ("cli",),
)
"""The layers from the bottom up. A unit imports only from the layers below its own."""
ABOVE_ALL = {"", "__main__"}
"""The package itself, which exports lazily from everywhere, and `python -m halo_core`."""


def imports(package: Path) -> dict[str, set[str]]:
    """Return the modules of `package` that each of its modules imports; names are relative to it."""
    names = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return {name: set(_imported(path, package, names)) - {name} for name, path in names.items()}


def units(modules: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the units that each unit imports."""
    found: dict[str, set[str]] = {}
    for name, imported in modules.items():
        unit = name.partition(".")[0]
        found.setdefault(unit, set()).update(each.partition(".")[0] for each in imported)
    return {unit: others - {unit} for unit, others in found.items()}


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
    graph = {unit: others for unit, others in units(modules).items() if unit not in ABOVE_ALL}
    level = {unit: number for number, row in enumerate(ORDER) for unit in row}
    for number, row in reversed(list(enumerate(ORDER, 1))):
        print(f"{number:2}  {'  '.join(row)}")
    pairs = [(unit, other) for unit, others in graph.items() for other in sorted(others)]
    upward = [f"{unit} -> {other}" for unit, other in pairs if level[other] >= level[unit]]
    found = cycle(graph) or cycle(modules)
    print(f"\n{len(graph)} packages and modules, {len(pairs)} imports between them")
    print(f"upward: {', '.join(upward) or 'none'}")
    print(f"cycles: {' -> '.join(found) or 'none'}")
    if not found:
        chain = longest_chain(graph)
        print(f"longest chain, of {len(chain)}: {' -> '.join(chain)}")
    return int(bool(upward or found))


if __name__ == "__main__":
    sys.exit(main())
