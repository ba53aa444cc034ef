"""The distributions: built as `make dist` builds them, installed into a clean environment, and used there.

Packages of other projects come from this environment, because no test needs a network.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
pytestmark = pytest.mark.slow


def call(*command: object, directory: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build every package, as the rule `dist` of the Makefile does."""
    output = tmp_path_factory.mktemp("dist")
    rule = re.search(r"^dist:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule is not None
    assert "-m build --no-isolation --outdir dist" in rule[1]
    for package in PACKAGES:
        call(sys.executable, "-m", "build", "--no-isolation", "--outdir", output, package, directory=output)
    return output


@pytest.fixture(scope="module")
def environment(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheels, and nothing else of this project, into a clean environment."""
    directory = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", directory, directory=dist)
    python = directory / "bin" / "python"
    names = [wheel.name.split("-")[0] for wheel in dist.glob("*.whl")]
    install = ["install", "--no-index", "--find-links", dist, "--no-deps", *names]
    call(sys.executable, "-m", "pip", "--python", python, *install, directory=dist)
    site = next(directory.glob("lib/python*/site-packages"))
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # its own .pth files are not read
    return directory


def test_every_package_has_a_wheel_and_a_source_distribution(dist: Path) -> None:
    for suffix in (".whl", ".tar.gz"):
        assert len(list(dist.glob(f"*{suffix}"))) == len(PACKAGES)
    for wheel in dist.glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        assert not [name for name in names if re.search(r"(^|/)tests?/|_demo/|\.pyc$", name)], wheel.name
        assert any(name.endswith("/py.typed") for name in names)
        assert (
            any("licenses/" in name or name.endswith("LICENSE") for name in names)
            or "halo_core" not in wheel.name
        )
    for source in dist.glob("*.tar.gz"):
        with tarfile.open(source) as archive:
            assert any(name.endswith("/README.md") for name in archive.getnames()), source.name


def test_packages_require_each_other(dist: Path) -> None:
    """The extra `plugins` of the core names every plugin, and every plugin needs the version of the core built here."""
    metadata = {}
    for wheel in dist.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            found = Parser().parsestr(archive.read(name).decode())
            metadata[found["Name"]] = found
    core = metadata.pop("halo-core")
    extra = [row.partition(";")[0].strip() for row in core.get_all("Requires-Dist", []) if "'plugins'" in row]
    assert sorted(extra) == sorted(metadata)
    for plugin in metadata.values():
        assert any(row.startswith("halo-core") for row in plugin.get_all("Requires-Dist", [])), plugin["Name"]
        assert core["Version"].startswith("0.1"), "the range in the plugins' requirements"


def test_installed_halo_works(environment: Path, tmp_path: Path) -> None:
    halo = environment / "bin" / "halo"
    where = call(
        environment / "bin" / "python",
        "-c",
        "import halo_core; print(halo_core.__file__)",
        directory=tmp_path,
    )
    assert Path(where.strip()).is_relative_to(environment), "not the checkout"
    sources = json.loads(call(halo, "plugins", "--json", directory=tmp_path))
    assert {"halo-core", "halo-lr-policies", "halo-verifier-gcc"} < {row["distribution"] for row in sources}
    checked = json.loads(call(halo, "plugins", "check", "--json", "--kind", "verifier", directory=tmp_path))
    assert {row["name"] for row in checked} >= {"gcc", "jsonschema", "pytest", "sql", "sympy"}
    call(halo, "init", "gcc", directory=tmp_path)
    model = re.search(r"name: (\S+/demo/model)", (tmp_path / "halo.yaml").read_text())
    assert model is not None
    assert Path(model[1]).is_relative_to(environment)
    limits = ["-k", "1", "--limit", "2", "--max-new-tokens", "8"]
    shown = call(halo, "eval", model[1], "-v", "gcc", *limits, "-o", "e", directory=tmp_path)
    assert "pass@1" in shown
    assert (tmp_path / "e" / "report.html").is_file(), "the template of the report is in the wheel"
