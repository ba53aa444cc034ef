"""Tests of the documentation. The first line of a fenced block determines its check:

```python             run; the blocks of a page share a namespace and a directory that starts empty
```python no-run      compiled only
```LANGUAGE file=F    written to the file F in that directory
```output             compared with the output of the python block before it; "..." matches any text
```yaml               merged over a minimal configuration and resolved
```jsonl              read as prompts, or as pairs for `halo sft`
```console            "$ halo ..." is run and its output compared. A command that would train or load a model is
                      not run: `halo run` is checked with `halo config show`, the others by their flags
"""

from __future__ import annotations

import doctest
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import editable

from halo_core import hookspecs
from halo_core.config.layers import normalise
from halo_core.config.options import options_of
from halo_core.config.schema import DriverSpec, RunConfig
from halo_core.data import load_prompts
from halo_core.model.pretraining import read_pairs
from halo_core.plugin.discovery import load
from halo_core.run.plan import Plan

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "docs/studies"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    STUDIES / "index.md",
]
LINKED = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(STUDIES.glob("*/report.md")),
]
MINIMAL = {"verifier": "gcc", "lr_policy": "constant", "model": {"name": "m"}, "data": {"prompts": "p.jsonl"}}
NOT_SHOWN_BY_CONFIG = {"--output": 1, "-o": 1, "--quiet": 0, "-q": 0, "--json": 0}
"""Flags of `halo run` that `halo config show` does not have, with the number of their values."""


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    """Line number of the first line of content."""
    language: str
    info: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        return self.info.partition("file=")[2]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, m.start(3)) + 1, m[1], m[2].strip(), m[3])
        for m in re.finditer(r"^```(\w*)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the nearest heading above each table, and the table's rows, header first."""
    heading, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip("|"))
            rows.append([cell.strip().replace("\\|", "|") for cell in cells])
            continue
        if rows:
            yield heading, [rows[0], *rows[2:]]
        rows = []
        heading = line.lstrip("# ") if line.startswith("#") else heading


# Code


class Scratch:
    """The directory and namespace of a page."""

    def __init__(
        self, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.call, self.monkeypatch, self.capsys, self.path = call, monkeypatch, capsys, Path.cwd()
        shutil.copytree(ROOT / "configs", self.path / "configs")  # as in a clone
        self.module = types.ModuleType("page")
        self.printed = ""
        monkeypatch.setitem(
            sys.modules, "page", self.module
        )  # pydantic resolves annotations through sys.modules

    def check(self, block: Block) -> None:
        """Check `block` as its first line determines."""
        if block.file:
            target = self.path / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        if block.language == "python":
            self.python(block)
        elif block.language == "output":
            assert_printed(block.text, self.printed, block.where)
        elif block.language == "yaml":
            Plan.from_raw(MINIMAL | normalise(yaml.safe_load(block.text)))
        elif block.language == "jsonl" and not block.file:
            self.jsonl(block)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "console":
            self.console(block)

    def python(self, block: Block) -> None:
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
        if not block.info:
            exec(code, vars(self.module))
            self.printed = self.capsys.readouterr().out

    def jsonl(self, block: Block) -> None:
        target = self.path / "block.jsonl"
        target.write_text(block.text, encoding="utf-8")
        _ = read_pairs(target) if '"completion"' in block.text else load_prompts(target)
        target.unlink()

    def console(self, block: Block) -> None:
        commands = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
        assert commands, f"{block.where}: a console block needs lines that start with '$ '"
        for command, output in commands:
            words = shlex.split(command.replace("\\\n", " "), comments=True)
            if words[0] in ("halo", ".venv/bin/halo"):
                self.halo(words[1:], output, block.where)
            elif words[0] == "source":
                assert words[1:] == [".venv/bin/activate"], f"{block.where}: {command}"
            elif words[:3] == ["pip", "install", "-e"]:
                self.install(self.path / words[3])
            elif words[0] == "pytest":
                self.pytest(words[1:])
            elif words[0] == "make":
                rules = (ROOT / "Makefile").read_text()
                assert all(f"\n{word}:" in rules for word in words[1:]), f"{block.where}: {command}"

    def halo(self, words: list[str], output: str, where: str) -> None:
        command = words[0]
        if command in {"plugins", "config", "lr", "--version", "--help"}:
            answer = self.call(*words)
            assert answer.code == 0 or "halo: error" in output, f"{where}: {answer.err}"
            if output:
                assert_printed(output, answer.out + answer.err, where)
        elif command == "run":
            answer = self.call("config", "show", *shown_by_config(words[1:]))
            assert answer.code == 0 or answer.err in output, f"{where}: {answer.err}"
        else:
            if command == "study":
                command, words = " ".join(words[:2]), words[1:]
                assert (ROOT / words[1]).is_file(), f"{where}: {words[1]}"
            answer = self.call(*command.split(), "--help")
            assert answer.code == 0, f"{where}: {answer.err}"
            flags = {word for word in words[1:] if re.match(r"--?[a-z]", word)}
            assert all(re.search(rf"{flag}\b", answer.out) for flag in flags), f"{where}: {flags}"

    def install(self, package: Path) -> None:
        """Simulate an editable installation."""
        self.monkeypatch.syspath_prepend(str(editable(package)))

    def pytest(self, words: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": str(self.path / "src")}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout


def assert_printed(expected: str, got: str, where: str) -> None:
    """Compare as doctest does: "..." matches any text, white space any white space."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(expected, got, options), f"{where}: printed\n{got}"


def shown_by_config(words: list[str]) -> list[str]:
    kept, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in NOT_SHOWN_BY_CONFIG:
            skip = NOT_SHOWN_BY_CONFIG[word]
        else:
            kept.append(word)
    return kept


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_environment_is_activated_before_the_first_command_that_needs_it(page: str) -> None:
    commands = re.findall(r"^\$ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    needed = [
        number for number, line in enumerate(commands) if line.split()[0] in {"halo", "pytest", "python"}
    ]
    assert 0 <= commands.index("source .venv/bin/activate") < min(needed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks(
    page: Path,
    halo: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scratch = Scratch(halo, monkeypatch, capsys)
    for block in blocks(page):
        scratch.check(block)


def test_the_study_file_of_the_page_of_studies_is_valid() -> None:
    from halo_study.study import parse_study

    (text,) = (block.text for block in blocks(STUDIES / "index.md") if block.text.startswith("question:"))
    study = parse_study(yaml.safe_load(text), ROOT / "configs/studies/study.yaml")
    assert len(study.arms) == 3


def test_the_page_of_studies_lists_every_key_and_every_outcome() -> None:
    from halo_study.outcomes import OUTCOMES
    from halo_study.study import Arm, Study

    listed = {
        rows[0][0]: {name for row in rows[1:] for name in re.findall(r"`(\w+)`", row[0])}
        for _, rows in tables((STUDIES / "index.md").read_text())
    }
    assert listed["key"] == set(Study.model_fields)
    assert listed["key of an arm"] == set(Arm.model_fields)
    assert listed["outcome"] == set(OUTCOMES)


def test_the_page_of_studies_lists_every_study() -> None:
    text = (STUDIES / "index.md").read_text()
    files = sorted((ROOT / "configs/studies").glob("*.yaml"))
    assert [path.name for path in files if f"configs/studies/{path.name}" not in text] == []


def test_every_fence_has_a_known_language_and_info() -> None:
    known = {"python", "output", "yaml", "jsonl", "json", "toml", "console", "text", "bash"}
    for page in PAGES:
        for block in blocks(page):
            assert block.language in known, block.where
            assert re.fullmatch(r"|no-run|file=\S+", block.info), block.where


def test_all_pages_show_the_same_demo_output() -> None:
    runs = {block.text for page in PAGES for block in blocks(page) if block.text.startswith("demo ")}
    assert len(runs) == 1


# Hooks


def hooks() -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(value)
        for name, value in vars(hookspecs).items()
        if hasattr(value, "halo_spec")
    }


def test_every_hook_is_documented_with_its_signature() -> None:
    headings = re.findall(r"^## `(.*)`$", (ROOT / "docs/hooks.md").read_text(), re.MULTILINE)
    assert headings == [f"{name}({', '.join(signature.parameters)})" for name, signature in hooks().items()]


@pytest.mark.parametrize("name", hooks())
def test_every_argument_and_result_of_a_hook_is_documented(name: str) -> None:
    signature = hooks()[name]
    section = re.split(r"^## ", (ROOT / "docs/hooks.md").read_text(), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(f"`{name}("))
    _, table = next(tables(text))
    expected = [[f"`{p.name}`", f"`{p.annotation}`"] for p in signature.parameters.values()]
    assert [row[:2] for row in table[1:]] == expected
    assert f"\nReturns `{signature.return_annotation.removesuffix(' | None')}`" in text


# Options


def documented_options() -> list[tuple[str, str, dict[str, str]]]:
    """Return kind, name and defaults of each table of options, which is under a heading such as "selector `raft`"."""
    return [
        (*re.fullmatch(r"(\w+) `(\S+)`", heading).groups(), {row[0]: row[1] for row in table[1:]})  # type: ignore[union-attr]
        for page in PAGES
        for heading, table in tables(page.read_text())
        if table[0][0] == "option"
    ]


@pytest.mark.parametrize(
    ("kind", "name", "documented"),
    documented_options(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_documented_options_match_the_drivers(kind: str, name: str, documented: dict[str, str]) -> None:
    options = options_of(load(kind, name).value)
    assert documented == {f"`{option.name}`": shown_default(option.default) for option in options}


def test_documented_keys_match_the_configuration() -> None:
    _, table = next(
        (h, t) for h, t in tables((ROOT / "docs/configuration.md").read_text()) if t[0][0] == "key"
    )
    assert {row[0]: row[1] for row in table[1:]} == {
        f"`{k}`": shown_default(v) for k, v in keys(RunConfig).items()
    }


def keys(section: Any, prefix: str = "") -> dict[str, Any]:
    """Return every key of a configuration section with its default; for a driver, the name."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        default = ... if field.is_required() else field.default
        if is_dataclass(default):
            found |= {f"{prefix}{name}.{each.name}": each.default for each in options_of(type(default))}
        elif isinstance(default, DriverSpec):
            found[prefix + name] = default.name
        elif hasattr(type(default), "model_fields"):
            found |= keys(type(default), f"{prefix}{name}.")
        else:
            found[prefix + name] = default
    return found


def shown_default(default: Any) -> str:
    if default is ... or default is MISSING:
        return "required"
    return f"`{json.dumps(default).strip(chr(34))}`" if default != "" else "empty"


# Links


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in map(anchor_of, headings), f"{page.name}: {target}"
