"""Walk a newcomer's path: README, quickstart, own data, sft, run, merge, export, eval.

    python tests/newcomer.py                    with the demo's tiny model, in a temporary directory
    python tests/newcomer.py --model DIRECTORY  with a real model
    python tests/newcomer.py --clone            in a fresh clone, which installs everything with make demo

Only commands that a page or halo itself prints are run. The name of the model in them is replaced by the model given,
and flags at their end make the runs short. `test_newcomer.py` walks the path with the tiny model.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
"""The model that the pages name."""
SHORT = (
    *("--cycles", "1", "--samples", "4", "--heldout-samples", "2"),
    *("--set", "data.limit=12", "--set", "heldout.limit=6"),
)
SMALL = ("--samples", "4", "--limit", "4")


@dataclass
class Shell:
    """A shell in which halo's environment is active."""

    directory: Path
    environment: Path
    """Directory of the virtual environment."""
    transcript: list[str] = field(default_factory=list)
    """Every command and its output."""

    def run(self, command: str, *flags: str) -> str:
        """Run a printed command with additional flags; return its output. Raises a `RuntimeError` if it fails."""
        words = shlex.split(command, comments=True)
        if words[0] == "cd":
            self.directory = self.directory / words[1]
            return ""
        full = " ".join([shlex.join(words), *map(shlex.quote, flags)])
        print(f"$ {full}", flush=True)
        path = f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = self.execute(full, os.environ | {"PATH": path, "VIRTUAL_ENV": str(self.environment)})
        output = done.stdout + done.stderr
        self.transcript.append(f"$ {full}\n{output}")
        if done.returncode or "Traceback" in output:
            raise RuntimeError(f"{full}: exit code {done.returncode}\n{output}")
        return output

    def execute(self, command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a command of the shell."""
        words = ["bash", "-c", command]
        return subprocess.run(words, cwd=self.directory, env=environment, capture_output=True, text=True)


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path
    model: str
    """The model to use instead of `MODEL`."""

    @property
    def commands(self) -> list[str]:
        """The commands of its console blocks."""
        text = self.path.read_text(encoding="utf-8")
        blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        found = [c for block in blocks for c in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE)]
        return [command.replace("\\\n", " ").replace(MODEL, shlex.quote(self.model)) for command in found]

    def command(self, start: str) -> str:
        """Return the first command that starts with `start`. Raises a `LookupError` if the page has none."""
        found = [command for command in self.commands if command.startswith(start)]
        if not found:
            raise LookupError(f"{self.path.name} has no command {start!r}")
        return found[0]

    def write_files(self, directory: Path) -> None:
        """Write the files that the page shows."""
        text = self.path.read_text(encoding="utf-8")
        for name, content in re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            (directory / name).write_text(content, encoding="utf-8")


def printed(output: str, label: str) -> list[str]:
    """Return the commands that halo printed after `label`."""
    return re.findall(rf"^{label} +(.*)$", output, re.MULTILINE)


def walk(shell: Shell, model: str, *, limit: Sequence[str] = ()) -> None:
    """Walk the path with `model`. `limit`: more flags for every run and evaluation."""
    home = shell.directory
    readme, quickstart = (Page(ROOT / name, model) for name in ("README.md", "docs/quickstart.md"))
    evaluation = Page(ROOT / "docs/evaluation.md", model)
    shell.run("halo --version")
    # The demo, and what it prints
    finished = shell.run(quickstart.command("halo run --verifier gcc --lr-policy exponential"), *SHORT)
    (try_it,) = printed(finished, "try it")
    shell.run(try_it)
    shell.run(quickstart.command("halo generate runs/gcc-exponential-1"))
    shell.run(quickstart.command("halo resume runs/gcc-exponential-1"))
    # A project of one's own
    written = shell.run(readme.command("halo init gcc mine"))
    for command in printed(written, "next"):
        shell.run(command, *(SHORT if "halo run" in command else ()))
    shell.directory = home
    # Prompts of one's own
    quickstart.write_files(home)
    shell.run(quickstart.command("halo config validate --verifier gcc"))
    measured = shell.run(quickstart.command(f"halo eval {shlex.quote(model)} --verifier gcc"), *limit)
    assert "RAFT" in measured.splitlines()[-1]
    shell.run(quickstart.command("halo run --verifier gcc --data prompts.jsonl"), *SHORT, *limit)
    shell.run(quickstart.command("halo eval runs/first --cycle best --against"), *SMALL)
    shell.run(evaluation.command("halo eval runs/first --cycle best"), *SMALL)
    shell.run(quickstart.command("halo samples runs/first"))
    shell.run(quickstart.command("halo merge runs/first my-model"))
    shell.run(quickstart.command("halo eval my-model"), *SMALL, *limit)
    shell.run(quickstart.command("halo export runs/first --to sft"))
    # Examples first
    started = shell.run(quickstart.command("halo sft"))
    for command in printed(started, "try it"):
        shell.run(command)
    (train_it,) = printed(started, "train it")
    named = train_it.replace("NAME", "gcc").replace("FILE", "prompts.jsonl")
    shell.run(named, "-o", "runs/printed", *SHORT, *limit)
    shell.run(
        quickstart.command("halo run --verifier gcc --data prompts.jsonl --model start"), *SHORT, *limit
    )
    shell.run(quickstart.command("halo compare runs/first runs/second"))
    shell.run("halo runs")


def tiny_model(environment: Path) -> str:
    """Return the directory of the demo's model."""
    code = "from halo_verifier_gcc import GCC; print(GCC().demo().model)"
    return subprocess.check_output([environment / "bin" / "python", "-c", code], text=True).strip()


def clone(directory: Path) -> Path:
    """Clone the repository and run the README's first command in the clone; return the clone."""
    target = directory / "halo"
    subprocess.run(["git", "clone", "--quiet", ROOT, target], check=True)
    command = Page(target / "README.md", "").command("make demo")
    subprocess.run(shlex.split(command, comments=True), cwd=target, check=True)
    return target


def main() -> None:
    """Walk the path as the arguments determine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", help="directory of a model; default: the demo's")
    parser.add_argument("--clone", action="store_true", help="in a fresh clone, which installs everything")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        environment = clone(Path(directory)) / ".venv" if arguments.clone else Path(sys.prefix)
        home = Path(directory, "home")
        home.mkdir()
        model = str(Path(arguments.model).resolve()) if arguments.model else tiny_model(environment)
        walk(Shell(home, environment), model, limit=("--max-new-tokens", "256" if arguments.model else "64"))
    print("every command worked")


if __name__ == "__main__":
    main()
