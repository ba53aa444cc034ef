"""The newcomer's path, with the demo's tiny model; see `newcomer.py`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import processes
import pytest
from newcomer import MODEL, ROOT, Page, Shell, tiny_model, walk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


class QuickShell(Shell):
    """A shell whose commands of halo do not import torch again, except two that show that `halo` is found."""

    def execute(self, command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        program, *arguments = shlex.split(command)
        if program != "halo" or arguments[0] in {"--version", "samples"}:
            return super().execute(command, environment)
        return processes.run(*arguments, directory=self.directory, environment=environment)


def test_every_printed_command_works(tmp_path: Path) -> None:
    environment = Path(sys.prefix)
    shell = QuickShell(tmp_path, environment)
    walk(shell, tiny_model(environment), limit=("--max-new-tokens", "64"))
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"mine", "prompts.jsonl", "runs", "my-model", "trained-on.jsonl", "start"}
    assert (tmp_path / "my-model" / "model.safetensors").is_file()


def test_page_names_the_model_that_is_replaced() -> None:
    page = Page(ROOT / "docs/quickstart.md", "./other model")
    assert MODEL in page.path.read_text()
    assert not [command for command in page.commands if MODEL in command]
    assert page.command("halo sft --model './other model'")
    with pytest.raises(LookupError, match=r"quickstart\.md has no command 'halo fly'"):
        page.command("halo fly")
