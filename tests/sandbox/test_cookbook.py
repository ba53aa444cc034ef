"""The page on running programs: its signatures are those of the code, and its recipes work in both tiers."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest

from halo_core import sandbox
from halo_core.sandbox import Sandbox

PAGE = Path(__file__).parents[2].joinpath("docs/sandbox-cookbook.md").read_text(encoding="utf-8")
TOOLS = {"JavaScript": "node", "Rust": "rustc", "Go": "go", "Java": "javac", "Perl": "perl"}
RECIPES = dict(re.findall(r"^### (\w+)\n.*?^```python no-run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SIGNATURES = re.findall(r"^\| `((?:[A-Z]\w+\.)?\w+)(\(.*?\)) -> (.*?)` \|", PAGE, re.MULTILINE)


def test_every_recipe_is_tested() -> None:
    assert RECIPES.keys() == TOOLS.keys()


@pytest.mark.parametrize("name", TOOLS)
def test_recipe(name: str, confined: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(TOOLS[name]) is None:
        pytest.skip(f"{TOOLS[name]} is not installed")
    monkeypatch.setattr(sandbox, "get", lambda: confined)
    exec(compile(RECIPES[name], name, "exec"), {})


@pytest.mark.parametrize(("name", "arguments", "result"), SIGNATURES)
def test_signature(name: str, arguments: str, result: str) -> None:
    owner, _, method = name.rpartition(".")
    signature = inspect.signature(getattr(getattr(sandbox, owner) if owner else sandbox, method))
    shown = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    text = str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    text = re.sub(r"Limits\([^()]+\)", "Limits()", text).replace("mappingproxy({})", "{}")
    assert (arguments, result) == (text, str(signature.return_annotation))


def test_every_argument_of_run_is_shown() -> None:
    assert {name for name, *_ in SIGNATURES} >= {
        "get",
        "start",
        "Sandbox.run",
        "Sandbox.call",
        "Workspace.run",
    }
