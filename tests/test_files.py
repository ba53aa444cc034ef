"""Files and directories that are complete or absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from halo_core import files
from halo_core.errors import RunError


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def only_for_the_owner(directory: Path) -> None:
    (directory / "sub").mkdir()
    for name in ("weights", "sub/more"):
        (directory / name).write_bytes(b"x")
        (directory / name).chmod(0o600)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_follow_the_umask(tmp_path: Path, umask: None, mask: int, mode: int) -> None:
    os.umask(mask)
    files.write_directory(tmp_path / "adapter", only_for_the_owner)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "adapter").rglob("*") if path.is_file()} == {
        mode
    }


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """So does a device: as root, a renamed file would replace /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.write(tmp_path / "pipe", "text")
    assert os.read(reader, 99) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    with pytest.raises(RunError, match="Is a directory"):
        files.write(tmp_path, "text")


@pytest.mark.parametrize("target", ["/proc/model", "note/model"])
def test_a_place_that_cannot_be_written_to_is_noticed_at_once(target: str, tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    with pytest.raises(RunError, match=target):
        files.check_writable(tmp_path / target)
    files.check_writable(tmp_path / "new" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["note"], "nothing is created"


@pytest.mark.parametrize(
    "create",
    [
        files.make_directory,
        files.check_writable,
        lambda place: files.write(place, "text"),
        lambda place: files.write_directory(place, only_for_the_owner),
    ],
    ids=["directory", "check", "file", "weights"],
)
def test_a_place_without_room_for_files_is_no_damaged_file(create: Callable[[Path], object]) -> None:
    for name in ("new", "new/deeper"):
        with pytest.raises(RunError) as caught:
            create(Path("/proc") / name)
        assert str(caught.value) == f"/proc/{name}: cannot be created"
        assert caught.value.hint == "choose a place where files can be created"


def interrupted(directory: Path) -> None:
    (directory / "weights").touch()
    raise KeyboardInterrupt


def test_a_full_disk_and_ctrl_c_leave_nothing_partial_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: object) -> None:
        raise OSError(28, "No space left on device")

    files.write(tmp_path / "note", "old")
    files.write_directory(tmp_path / "adapter", only_for_the_owner)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        files.write(tmp_path / "note", "new")
    with pytest.raises(RunError, match="No space left on device"):
        files.write_directory(tmp_path / "adapter", only_for_the_owner)
    with pytest.raises(KeyboardInterrupt):
        files.write_directory(tmp_path / "adapter", interrupted)
    assert (tmp_path / "note").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "note"]
    assert (tmp_path / "adapter" / "weights").is_file()
