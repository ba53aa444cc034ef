"""Precompiled headers: used when they save time, without any other effect."""

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
from halo_verifier_gcc.precompiled import HeaderCache, leading_headers

HEAD = "#include <iostream>\n"
BODY = "int main() { int a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }\n"
PROGRAMS = {
    "right": HEAD + BODY,
    "has a warning": HEAD + BODY.replace("int a", "int unused; int a"),
    "lacks an include": HEAD + BODY.replace("a + b", "std::accumulate(&a, &a + 1, b)"),
    "includes another header later": HEAD + "int before;\n#include <numeric>\n" + BODY,
    "reuses a name from another header": HEAD + "using namespace std;\nint gcd, clamp;\n" + BODY,
    "broken": HEAD + BODY.replace("a + b", "a +"),
    "silences a warning with _Pragma": HEAD
    + '_Pragma("GCC diagnostic ignored \\"-Wunused-variable\\"")\n'
    + BODY.replace("int a", "int unused; int a"),
    "recurses in templates": HEAD + "template <int n> struct T { T<n + 1> t; };\nint main() { T<0> t; }\n",
}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> HeaderCache:
    cache = HeaderCache()
    monkeypatch.setattr(building, "HEADERS", cache)
    return cache


def built(cache: HeaderCache) -> int:
    return sum(found is not None for found in cache._headers.values())


def warm_up(check: Any, **options: Any) -> None:
    for n in range(3):
        check(f"{HEAD}// {n}\n{BODY}", tests=[], **options)


def summary(verdict: Verdict) -> tuple[object, ...]:
    return verdict.status, verdict.stage, verdict.score, verdict.warnings, verdict.detail


@pytest.mark.parametrize(
    ("compiler", "standard", "names"),
    [("gcc", "c++20", list(PROGRAMS)), ("clang", "c++17", ["has a warning", "lacks an include"])],
    ids=["gcc", "clang"],
)
def test_verdicts_are_the_same_without_precompiled_headers(
    check: Any, cache: HeaderCache, compiler: str, standard: str, names: list[str]
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    options = {"compiler": compiler, "standard": standard}
    warm_up(check, **options)
    assert built(cache) == 1
    for name in names:
        with_it, without = (check(PROGRAMS[name], precompile=each, **options) for each in (True, False))
        assert summary(with_it) == summary(without), name
    assert built(cache) == 1


def test_header_is_precompiled_on_third_use(
    check: Any, cache: HeaderCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_run, used = sandbox.Workspace.run, []

    def recording(self: sandbox.Workspace, argv: Any, **options: Any) -> sandbox.Outcome:
        used.append("-include" in argv)
        return true_run(self, argv, **options)

    monkeypatch.setattr(sandbox.Workspace, "run", recording)
    for n in range(4):
        check(f"{HEAD}// {n}\n{BODY}", tests=[])
    assert used == [False, False, False, True, True]  # the third call precompiles the header itself


def test_compiler_reads_headers_under_any_umask(check: Any, cache: HeaderCache) -> None:
    """Under root it runs as another user."""
    before = os.umask(0o077)
    try:
        warm_up(check)
        verdict = check(PROGRAMS["right"])
    finally:
        os.umask(before)
    assert built(cache) == 1
    assert verdict.stage is Stage.CORRECT


def test_program_compiles_after_headers_are_deleted_from_disk(check: Any, cache: HeaderCache) -> None:
    warm_up(check)
    (found,) = cache._headers.values()
    assert found is not None
    shutil.rmtree(found.directory)
    assert check(PROGRAMS["right"]).stage is Stage.CORRECT


def test_functions_use_separate_headers(check: Any, cache: HeaderCache) -> None:
    """A header must be precompiled with the same -fPIC setting as the code that includes it."""
    reference = {
        "harness": HEAD + "int half(int);\nint main() { int n; std::cin >> n; std::cout << half(n); }",
        "symbols": ["half"],
        "tests": [{"stdin": "8", "stdout": "4"}, {"stdin": "2", "stdout": "1"}],
    }
    warm_up(check)
    for n in range(3):
        assert check(f"{HEAD}// {n}\nint half(int n) {{ return n / 2; }}", **reference).stage is Stage.CORRECT
    assert built(cache) == 2


def test_header_with_warnings_is_not_precompiled(check: Any, cache: HeaderCache) -> None:
    for n in range(3):
        check(f"#include <strstream>\n// {n}\n{BODY}", tests=[])
    assert len(cache._headers) == 1
    assert built(cache) == 0


def test_directory_of_a_killed_process_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    locked, stale = precompiled._make_root(), tmp_path / "halo-headers-left"
    stale.mkdir()
    (stale / "big").write_bytes(b"x")
    (tmp_path / "halo-headers-link").symlink_to(tmp_path)
    os.utime(stale, (0, 0))
    os.utime(locked, (0, 0))
    second = precompiled._make_root()
    assert sorted(tmp_path.iterdir()) == sorted([locked, second, tmp_path / "halo-headers-link"])


def test_directory_is_removed_at_exit(tmp_path: Path) -> None:
    script = "from halo_verifier_gcc import precompiled as p; print(p._make_root().is_dir())"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert (done.stdout, list(tmp_path.iterdir())) == (b"True\n", [])


def test_full_disk_is_not_an_error(check: Any, cache: HeaderCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    warm_up(check)
    assert check(PROGRAMS["right"]).stage is Stage.CORRECT


def test_c_and_programs_without_headers_are_not_precompiled(check: Any, cache: HeaderCache) -> None:
    for _ in range(4):
        check("#include <stdio.h>\nint main(void) { return 0; }", tests=[])
        check("int main() { return 0; }", tests=[], language="c++")
    assert not cache._requests


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
