"""Guarantees of the whole code base."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import halo_core
from halo_core import drivers, programs, testing

ROOT = Path(__file__).parents[1]
WITH_TORCH = {
    f"halo_core.model.{name}"
    for name in (
        "attention",
        "caching",
        "decoding",
        "drawing",
        "heads",
        "lean",
        "logprobs",
        "memory",
        "packing",
        "parallel",
        "sharding",
        "steps",
        "training",
    )
}
"""Imported by the generator and the trainer when they start; no other module may import torch."""
MODULES = {m.name for m in pkgutil.walk_packages(halo_core.__path__, "halo_core.")} - {"halo_core.__main__"}


def test_only_the_computing_modules_import_torch() -> None:
    code = (
        f"import sys, importlib\nfor name in {sorted(MODULES - WITH_TORCH)!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'transformers', 'peft', 'accelerate', 'datasets'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


@pytest.mark.parametrize("package", [drivers, programs, testing], ids=lambda package: package.__name__)
def test_a_public_package_exports_exactly_its_all(package: ModuleType) -> None:
    exported = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith(package.__name__)
    }
    assert exported <= set(package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        assert hasattr(package, name)


def test_the_command_reference_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/make_cli.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, "docs/cli.md is out of date: make docs"
