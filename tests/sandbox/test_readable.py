"""The paths that a caller names in `readable`, and the variables in `env`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, Sandbox, doctor

CAT = "/bin/cat"
Make = Callable[..., Path]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that every user can enter, with a program, a file and a directory with a file."""
    found = tmp_path_factory.mktemp("data")
    for place in (found, *found.parents):
        if place.stat().st_uid == os.getuid() and not place.stat().st_mode & 0o1:
            place.chmod(0o755)
    found.chmod(0o755)
    shutil.copy(CAT, found / "program")
    (found / "file").write_text("content")
    (found / "inner").mkdir()
    (found / "inner/file").write_text("inner content")
    return found


def test_a_program_reads_the_readable_directory_that_it_is_in(confined: Sandbox, folder: Path) -> None:
    program = str(folder / "program")
    assert confined.run([program, str(folder / "file")], readable=[folder]).stdout == b"content"
    assert confined.run([program, str(folder / "file")]).exit_code == 1
    with confined.workspace() as space:
        space.run([program])  # exposes the program alone
        assert space.run([program, str(folder / "file")], readable=[folder]).stdout == b"content"


def test_a_directory_is_readable_after_a_directory_in_it(confined: Sandbox, folder: Path) -> None:
    inner, outer = folder / "inner", folder
    assert confined.run([CAT, str(inner / "file")], readable=[inner]).stdout == b"inner content"
    assert confined.run([CAT, str(outer / "file")], readable=[outer]).stdout == b"content"
    both = [CAT, str(outer / "file"), str(inner / "file")]
    for readable in ([inner, outer], [outer, inner]):
        assert confined.run(both, readable=readable).stdout == b"contentinner content"
    assert confined.run([CAT, str(inner / "file")]).exit_code == 1


def test_a_toolchain_in_a_readable_directory(confined: Sandbox, folder: Path) -> None:
    (folder / "bin").mkdir()
    tool = shutil.copy(CAT, folder / "bin/tool")
    with confined.workspace() as space:
        outcome = space.run([str(tool), str(folder / "file")], toolchain=True, readable=[folder])
    assert outcome.stdout == b"content"


def test_a_symbolic_link_is_readable_with_its_target(confined: Sandbox, folder: Path) -> None:
    link, chain = folder.parent / "link", folder.parent / "chain"
    link.symlink_to("data-target")
    chain.symlink_to("link")
    target = folder.rename(folder.parent / "data-target")
    try:
        for path in (link, chain, target):
            outcome = confined.run([CAT, str(path / "file"), str(target / "file")], readable=[path])
            assert outcome.stdout == b"contentcontent", outcome.stderr
    finally:
        shutil.rmtree(target)
        link.unlink()
        chain.unlink()


def test_a_relative_path_is_below_the_working_directory(
    confined: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert confined.run([CAT, str(folder / "inner/file")], readable=["inner"]).stdout == b"inner content"


@pytest.mark.parametrize("path", ["/no/such/path", "/etc/hostname/below"])
def test_a_readable_path_that_does_not_exist_is_an_error_that_names_it(box: Sandbox, path: str) -> None:
    with pytest.raises(SandboxError, match=f"cannot read {path!r}"):
        box.run(["/bin/true"], readable=["/usr", path])
    with pytest.raises(SandboxError, match=f"cannot read {path!r}"):
        box.call("def f(): return 1", "f", [()], paths=[path])
    with pytest.raises(ValueError, match="empty"):
        box.run(["/bin/true"], readable=[""])
    assert box.run(["/bin/true"]).ok


def test_a_readable_path_without_permission_is_an_error_that_names_it(box: Sandbox, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("x")
    secret.chmod(0)
    with pytest.raises(SandboxError, match=f"cannot read '{secret}'.*Permission denied") as refused:
        box.run([CAT, str(secret)], readable=[secret])
    assert "chmod" in refused.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files that programs may not reach")
def test_a_directory_that_only_root_can_enter_is_no_obstacle(confined: Sandbox, folder: Path) -> None:
    (folder / "inner").chmod(0o755)
    folder.chmod(0o700)
    assert (
        confined.run([CAT, str(folder / "inner/file")], readable=[folder / "inner"]).stdout
        == b"inner content"
    )
    assert confined.run([CAT, str(folder / "file")], readable=[folder / "inner"]).exit_code == 1


def test_a_program_finds_its_own_links_in_proc(confined: Sandbox) -> None:
    """Loaders and runtimes find their libraries by `/proc/self/exe`, and many programs read `/dev/stdin`."""
    assert confined.run(["/bin/readlink", "/proc/self/exe"]).stdout == b"/usr/bin/readlink\n"
    assert confined.run([CAT, "/dev/stdin"], stdin=b"3 4").stdout == b"3 4"
    assert not confined.run(["/bin/readlink", "/proc/1/exe"]).stdout


def test_proc_cannot_be_opened_unless_it_is_readable(confined: Sandbox) -> None:
    for path in ("/proc/self/status", "/proc/cpuinfo", "/proc/1/environ"):
        assert confined.run([CAT, path]).exit_code == 1
    assert confined.run(["/bin/ls", "/proc"]).exit_code == 2
    outcome = confined.run([CAT, "/proc/self/status"], readable=["/proc"])
    assert b"Name:\tcat\n" in outcome.stdout
    assert confined.run([CAT, "/proc/cpuinfo"], readable=["/proc/cpuinfo"]).ok


def test_variables_are_added_and_replaced(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_TEST_SECRET", "x")
    with box.workspace() as space:
        argv = ["/usr/bin/env"]
        usual = space.run(argv).stdout.decode().splitlines()
        changed = (
            space.run(argv, env={"GOCACHE": "/box/a=b", "HOME": "/nowhere"}).stdout.decode().splitlines()
        )
        assert space.run(argv).stdout.decode().splitlines() == usual
    assert set(changed) - set(usual) == {"GOCACHE=/box/a=b", "HOME=/nowhere"}
    assert not any("HALO_TEST_SECRET" in line for line in [*usual, *changed])


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": "x\0y"}])
def test_a_variable_that_cannot_be_set_raises(box: Sandbox, env: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not an environment"):
        box.run(["/bin/true"], env=env, limits=Limits())


ORDINARY_USER = """
import sys
from halo_core import sandbox
for tier in sys.argv[2:]:
    with sandbox.start(tier) as box:
        try:
            box.run(["/bin/true"], readable=[sys.argv[1]])
        except Exception as error:
            print(error)
        print(box.run(["/bin/echo", "still usable"]).stdout.decode(), end="")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_path_that_an_ordinary_user_cannot_reach_is_an_error_that_names_it(folder: Path) -> None:
    secret = folder / "inner/file"
    secret.parent.chmod(0o700)
    script = folder / "script.py"
    script.write_text(ORDINARY_USER)
    tiers = [
        row.check.removeprefix("tier ") for row in doctor() if row.check.startswith("tier ") and row.holds
    ]
    as_user = Path(__file__).parent / "escapes/as_user.py"
    command = [sys.executable, str(as_user), "12345", str(script), str(secret), *tiers]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[1::2] == ["still usable"] * len(tiers), done.stderr
    assert all(f"cannot read '{secret}'" in line for line in lines[::2])
