"""The public names, and the cost of importing them."""

import ast
import subprocess
import sys
from pathlib import Path

import halo_core
from halo_core import errors


def test_the_public_names_resolve() -> None:
    assert sorted(halo_core.__all__) == sorted(halo_core._MODULE)
    for name in halo_core.__all__:
        value = getattr(halo_core, name)
        assert value.__module__.startswith("halo_core") or name == "hookimpl"


def test_every_error_is_public() -> None:
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    assert {each.__name__ for each in classes} <= set(halo_core.__all__)


def test_importing_all_public_names_does_not_import_torch() -> None:
    code = "import sys, halo_core; [getattr(halo_core, n) for n in halo_core.__all__]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_importing_the_command_line_does_not_import_pydantic() -> None:
    code = (
        "import sys, halo_core.cli; sys.exit(bool({'torch', 'pydantic', 'numpy', 'yaml'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(halo_core.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == halo_core._MODULE
