"""No import runs upward, in the core or in a plugin; see `layers.py`."""

from __future__ import annotations

from pathlib import Path

import layers
import pytest

PACKAGES = [layers.ROOT / "halo_core", *sorted(layers.ROOT.glob("plugins/*/src/*"))]
MOST = 12
"""Rooms in the longest chain of imports."""


@pytest.mark.parametrize("package", [path for path in PACKAGES if path.is_dir()], ids=lambda path: path.name)
def test_modules_have_no_cycle(package: Path) -> None:
    found = layers.cycle(layers.imports(package))
    assert not found, " -> ".join(found)


def test_units_import_only_from_lower_layers() -> None:
    graph = layers.units(layers.imports(layers.ROOT / "halo_core"))
    level = {unit: number for number, row in enumerate(layers.ORDER) for unit in row}
    assert graph.keys() - layers.ABOVE_ALL == level.keys(), "every unit has a layer"
    upward = [
        f"{unit} -> {other}"
        for unit, others in graph.items()
        if unit not in layers.ABOVE_ALL
        for other in others
        if level[other] >= level[unit]
    ]
    assert not upward


def test_the_longest_chain_is_short() -> None:
    graph = layers.units(layers.imports(layers.ROOT / "halo_core"))
    units = {unit: others for unit, others in graph.items() if unit not in layers.ABOVE_ALL}
    assert len(layers.longest_chain(units)) <= MOST


def test_imports_of_every_form_count(tmp_path: Path) -> None:
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "attic.py").write_text("def f():\n    from house import cellar\n")
    (package / "cellar.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.attic import f\n"
    )
    (package / "shed.py").write_text("import house.attic\n")
    found = layers.imports(package)
    assert found == {"": set(), "attic": {"cellar"}, "cellar": {"attic"}, "shed": {"attic"}}
    assert set(layers.cycle(found)) == {"attic", "cellar"}
