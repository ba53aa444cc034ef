"""The public API: it changes only together with the snapshot, the changelog and the version."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from api import NONE, ROOT, SNAPSHOT, Snapshot, current, problems, project_version, public_modules, unreleased

SECTION = "Unreleased\n\n- `Prompt.text` is new, `old` is gone.\n"
BEFORE = {"halo_core.old()", "halo_core.Prompt.id: str"}


def test_the_snapshot_the_changelog_and_the_version_agree_with_the_code() -> None:
    changelog = unreleased((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    found = problems(current(), Snapshot.read(SNAPSHOT.read_text()), changelog, project_version())
    assert not found, "\n".join(
        [*found[:20], "run: python tests/api.py --write; name the change in CHANGELOG.md"]
    )


def test_a_written_snapshot_is_read_back() -> None:
    snapshot = Snapshot("0.1.0", {"b": "", "a": "+", "c(x: int = 1) -> int": "-"})
    assert Snapshot.read(str(snapshot)) == snapshot
    assert snapshot.lines == {"a", "b"}


def released(api: set[str]) -> Snapshot:
    return Snapshot("0.1.0", dict.fromkeys(BEFORE, "")).updated(api)


@pytest.mark.parametrize(
    ("api", "changelog", "version", "expected"),
    [
        (BEFORE, "", "0.1.0", []),
        (BEFORE | {"halo_core.Prompt.text: str"}, SECTION, "0.1.1", []),
        (BEFORE - {"halo_core.old()"}, SECTION, "0.2.0", []),
        (BEFORE | {"halo_core.Prompt.text: str"}, SECTION, "0.1.0", ["the version must be 0.1.1 or later"]),
        (BEFORE | {"halo_core.Prompt.text: str"}, "", "0.1.1", ["not named in the changelog: text"]),
        (BEFORE - {"halo_core.old()"}, SECTION, "0.1.9", ["the version must be 0.2.0 or later, not 0.1.9"]),
        (
            BEFORE - {"halo_core.old()"} | {"halo_core.old(x: int)"},
            "",
            "0.1.0",
            ["changelog: old (halo_core.old())", "changelog: old (halo_core.old(x: int))", "0.2.0 or later"],
        ),
    ],
)
def test_a_change_needs_the_changelog_and_the_version(
    api: set[str], changelog: str, version: str, expected: list[str]
) -> None:
    found = problems(api, released(api), changelog, version)
    assert len(found) == len(expected), found
    assert all(part in line for part, line in zip(expected, found, strict=True)), found


def test_a_change_needs_a_new_snapshot_also_before_the_first_release() -> None:
    snapshot = Snapshot(NONE, dict.fromkeys(BEFORE, ""))
    found = problems(BEFORE - {"halo_core.old()"} | {"halo_core.new()"}, snapshot, "", "0.1.0")
    assert found == ["not in the snapshot: halo_core.new()", "only in the snapshot: halo_core.old()"]


def test_a_removed_line_stays_marked_until_the_release() -> None:
    api = BEFORE - {"halo_core.old()"}
    assert released(api).updated(api).marks["halo_core.old()"] == "-"
    assert released(api).updated(BEFORE).marks["halo_core.old()"] == ""


def test_after_1_0_a_removal_raises_the_major_version() -> None:
    snapshot = Snapshot("1.4.2", dict.fromkeys(BEFORE, "")).updated(set())
    assert "2.0.0 or later" in problems(set(), snapshot, "old Prompt id", "1.5.0")[-1]


def public_names() -> set[str]:
    return {f"{module.__name__}.{name}" for module in public_modules() for name in module.__all__}


def imported(code: str) -> set[str]:
    """Return the names that `code` imports from halo_core."""
    return {
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("halo_core")
        for alias in node.names
    }


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_documentation_imports_only_public_names(page: Path) -> None:
    known = public_names() | {module.__name__ for module in public_modules()}
    for code in re.findall(r"^```python[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        private = imported(code) - known
        assert not private, "use a public name, or add it to the __all__ of its module"


def test_scaffolds_import_only_public_names() -> None:
    from halo_core.config.kinds import KINDS
    from halo_core.scaffold.packages import Scaffold, render

    for scaffold in [*(Scaffold(kind, "mine") for kind in KINDS), Scaffold("verifier", "mine", program=True)]:
        for path, text in render(scaffold).items():
            if path.endswith(".py"):
                assert imported(text) <= public_names(), scaffold.template


def test_every_public_module_is_on_the_page() -> None:
    page = (ROOT / "docs" / "public-api.md").read_text(encoding="utf-8")
    for module in public_modules():
        assert f"`{module.__name__}`" in page, module.__name__
