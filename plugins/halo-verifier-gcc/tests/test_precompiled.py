"""Precompiled headers: used where they help, and nothing but the time shows it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.types import Stage, Verdict
from halo_verifier_gcc import building, precompiled
from halo_verifier_gcc.precompiled import Shelf, leading_headers

HEAD = "#include <iostream>\n"
BODY = "int main() { int a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }\n"
PROGRAMS = {
    "right": HEAD + BODY,
    "warned about": HEAD + BODY.replace("int a", "int unused; int a"),
    "lacks an include": HEAD + BODY.replace("a + b", "std::accumulate(&a, &a + 1, b)"),
    "includes more later": HEAD + "int before;\n#include <numeric>\n" + BODY,
    "has a name of its own that another header has": HEAD + "using namespace std;\nint gcd, clamp;\n" + BODY,
    "broken": HEAD + BODY.replace("a + b", "a +"),
    "silenced by an operator": HEAD
    + '_Pragma("GCC diagnostic ignored \\"-Wunused-variable\\"")\n'
    + BODY.replace("int a", "int unused; int a"),
    "a bomb": HEAD + "template <int n> struct T { T<n + 1> t; };\nint main() { T<0> t; }\n",
}


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setattr(building, "SHELF", shelf)
    return shelf


def ready(shelf: Shelf) -> int:
    return sum(found is not None for found in shelf._ready.values())


def warm(check: Any, **options: Any) -> None:
    for n in range(3):
        check(f"{HEAD}// {n}\n{BODY}", tests=[], **options)


def known(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.stage, verdict.score, verdict.warnings, verdict.detail


@pytest.mark.parametrize(
    ("compiler", "standard", "names"),
    [("gcc", "c++20", list(PROGRAMS)), ("clang", "c++17", ["warned about", "lacks an include"])],
    ids=["gcc", "clang"],
)
def test_verdicts_are_the_same_as_without(
    check: Any, shelf: Shelf, compiler: str, standard: str, names: list[str]
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    options = {"compiler": compiler, "standard": standard}
    warm(check, **options)
    assert ready(shelf) == 1
    for name in names:
        with_it, without = (check(PROGRAMS[name], precompile=each, **options) for each in (True, False))
        assert known(with_it) == known(without), name
    assert ready(shelf) == 1


def test_it_is_used_once_it_is_worth_it(check: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    true_run, used = sandbox.Workspace.run, []

    def watching(self: sandbox.Workspace, argv: Any, **options: Any) -> sandbox.Outcome:
        used.append("-include" in argv)
        return true_run(self, argv, **options)

    monkeypatch.setattr(sandbox.Workspace, "run", watching)
    for n in range(4):
        check(f"{HEAD}// {n}\n{BODY}", tests=[])
    assert used == [False, False, False, True, True]  # the third is of the header itself


def test_headers_gone_from_the_disk_are_done_without(check: Any, shelf: Shelf) -> None:
    warm(check)
    (found,) = shelf._ready.values()
    assert found is not None
    shutil.rmtree(found.directory)
    assert check(PROGRAMS["right"]).stage is Stage.CORRECT


def test_functions_get_headers_of_their_own(check: Any, shelf: Shelf) -> None:
    """Code for a library is compiled in another way, and a precompiled header must be, too."""
    reference = {
        "harness": HEAD + "int half(int);\nint main() { int n; std::cin >> n; std::cout << half(n); }",
        "symbols": ["half"],
        "tests": [{"stdin": "8", "stdout": "4"}, {"stdin": "2", "stdout": "1"}],
    }
    warm(check)
    for n in range(3):
        assert check(f"{HEAD}// {n}\nint half(int n) {{ return n / 2; }}", **reference).stage is Stage.CORRECT
    assert ready(shelf) == 2


def test_a_header_that_warns_is_not_precompiled(check: Any, shelf: Shelf) -> None:
    for n in range(3):
        check(f"#include <strstream>\n// {n}\n{BODY}", tests=[])
    assert len(shelf._ready) == 1
    assert ready(shelf) == 0


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held, left = precompiled._own_directory(), tmp_path / "halo-headers-left"
    left.mkdir()
    (left / "big").write_bytes(b"x")
    (tmp_path / "halo-headers-link").symlink_to(tmp_path)
    os.utime(left, (0, 0))
    os.utime(held, (0, 0))
    again = precompiled._own_directory()
    assert sorted(tmp_path.iterdir()) == sorted([held, again, tmp_path / "halo-headers-link"])


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    script = "from halo_verifier_gcc import precompiled as p; print(p._own_directory().is_dir())"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert (done.stdout, list(tmp_path.iterdir())) == (b"True\n", [])


def test_no_room_is_no_error(check: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    warm(check)
    assert check(PROGRAMS["right"]).stage is Stage.CORRECT


def test_c_and_programs_without_headers_are_left_alone(check: Any, shelf: Shelf) -> None:
    for _ in range(4):
        check("#include <stdio.h>\nint main(void) { return 0; }", tests=[])
        check("int main() { return 0; }", tests=[], language="c++")
    assert not shelf._seen


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        ("#include <vector>\n#include <iostream>\n", ("iostream", "vector")),
        ("// hello\n\n  #  include<map>  // why\nint x;\n#include <set>\n", ("map",)),
        ("#define NDEBUG\n#include <cassert>\n", ()),
        ("#include <map>\n#define NDEBUG\n#include <cassert>\n", ("map",)),
        ("#include <map>\n#include <own.h>\n#include <set>\n", ("map",)),
        ('#include <map>\n#include "own.h"\n#include <set>\n', ("map",)),
        ("// a \\\n#include <map>\n", ()),
        ("// a ??/\n#include <map>\n", ()),
        ("/*\n#include <map>\n*/", ()),
        ("%:include <map>\n", ()),
        ("#include <../vector>\n", ()),
        ("#if 0\n#include <map>\n#endif", ()),
    ],
)
def test_leading_headers(code: str, headers: tuple[str, ...]) -> None:
    assert leading_headers(code) == headers
