import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Status, Verdict
from halo_verifier_sql import SQL

Check = Callable[..., Verdict]

SCHEMA = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT, price INTEGER, weight DOUBLE PRECISION);
CREATE TABLE sale (id INTEGER PRIMARY KEY, item_id INTEGER NOT NULL REFERENCES item (id), amount INTEGER NOT NULL);
"""
ROWS = {
    "item": [
        [1, "pen", "office", 3, 0.5],
        [2, "cup", "home", 8, 2.0],
        [3, "pot", "home", 8, 4.5],
        [4, "ink", "office", 5, 0.5],
        [5, "hat", None, 20, 1.0],
    ],
    "sale": [[1, 1, 10], [2, 1, 5], [3, 2, 1], [4, 4, 7], [5, 5, 1], [6, 4, 7]],
}


def reference(query: str, **more: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "rows": ROWS, "query": query, **more}


@pytest.fixture
def prompt() -> Callable[..., Prompt]:
    """Return a function that makes a prompt from a reference query on items and sales."""
    return lambda query, **more: Prompt("p", "task", reference=reference(query, **more))


@pytest.fixture
def check() -> Check:
    """Return a function that checks a completion against a reference query on items and sales."""

    def run(query: str, text: str, more: dict[str, Any] | None = None, **options: Any) -> Verdict:
        data = reference(query, **(more or {}))
        if "result" in data:
            del data["query"]
        return SQL(**options).check(Prompt("p", "task", reference=data), Completion("p", 0, text))

    return run


@pytest.fixture
def check_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[SQL, Attack], Verdict]:
    """Return a function that checks an attack.

    It asserts that the attack gets no further than its stage and writes nothing into the working directory.
    """
    monkeypatch.chdir(tmp_path)

    def run(verifier: SQL, attack: Attack) -> Verdict:
        verdict = verifier.check(attack.prompt, Completion(attack.prompt.id, 0, attack.text))
        assert verdict.stage.rank <= attack.stage.rank, verdict
        assert list(tmp_path.iterdir()) == []
        return verdict

    return run


@pytest.fixture
def check_references_and_mutants() -> Callable[[SQL], None]:
    """Return a function that asserts that references of the attacked prompts pass and that mutants fail."""

    def run(verifier: SQL) -> None:
        for prompt in {attack.prompt.id: attack.prompt for attack in verifier.attacks()}.values():
            for expected, texts in (
                (Status.PASS, verifier.references(prompt)),
                (Status.FAIL, verifier.mutants(prompt)),
            ):
                for text in texts:
                    assert verifier.check(prompt, Completion("p", 0, text)).status is expected, text

    return run


def binaries() -> Path | None:
    """Return the directory of PostgreSQL's programs."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None
    )


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Start a temporary PostgreSQL server and return its address."""
    for module in ("psycopg", "pglast"):
        pytest.importorskip(module, reason="the extra `postgres` is not installed")
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if user:
            shutil.chown(folder, "nobody")
        data, options = f"{folder}/data", f"-c listen_addresses= -k {folder} -F"
        made = [programs / "initdb", "-D", data, "-A", "trust", "-U", "owner", "--no-sync", "-E", "UTF8"]
        started = [programs / "pg_ctl", "-w", "-D", data, "-l", f"{folder}/log", "-o", options, "start"]
        for command in (made, started):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)  # type: ignore[call-overload]
        try:
            yield f"postgresql://owner@/postgres?host={folder}"
        finally:
            stop = [programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)  # type: ignore[call-overload]
