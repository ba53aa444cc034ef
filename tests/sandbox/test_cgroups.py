"""Control groups, tested with a fake of the kernel's file system, and with the real one where it is delegated."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.sandbox import Limits, cgroups, doctor, start

FILES = {"memory.max": "max", "pids.max": "max", "memory.swap.max": "max", "memory.oom.group": "0"}
EVENTS = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"
TRAINER = 4242


class Kernel:
    """A replacement for `os` in the module: directories below `root` behave like control groups.

    Creating and removing a directory creates and removes its files, processes move, a group with processes cannot
    enable controllers for its children, and a group with enabled controllers takes no processes.
    """

    def __init__(self, root: Path, controllers: str = "cpu memory pids") -> None:
        self.root = root
        self.writes: list[tuple[str, str]] = []
        root.mkdir()
        self._fill(root, controllers)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _fill(self, folder: Path, controllers: str) -> None:
        files = {"cgroup.procs": "", "cgroup.subtree_control": "", "cgroup.controllers": controllers}
        files |= {"cgroup.kill": ""}
        if "memory" in controllers and folder != self.root:
            files |= FILES | {"memory.events": EVENTS}
        for name, text in files.items():
            (folder / name).write_text(text)

    def mkdir(self, path: str) -> None:
        Path(path).mkdir()
        self._fill(Path(path), (Path(path).parent / "cgroup.subtree_control").read_text())

    def rmdir(self, path: str) -> None:
        folder = Path(path)
        if self.processes(folder) or any(each.is_dir() for each in folder.iterdir()):
            raise OSError(errno.EBUSY, "busy")
        shutil.rmtree(folder)

    def write(self, fd: int, data: bytes) -> int:
        file = Path(f"/proc/self/fd/{fd}").readlink() if fd >= 0 else None
        if file is None:
            raise OSError(errno.EBADF, "bad descriptor")
        text = data.decode()
        self.writes.append((str(file.relative_to(self.root)), text))
        if file.name == "cgroup.procs":
            self._move(int(text) or os.getpid(), file)
        elif file.name == "cgroup.subtree_control":
            self._control(file, text)
        else:
            file.write_text(text)
        return len(data)

    def _move(self, pid: int, target: Path) -> None:
        if (target.parent / "cgroup.subtree_control").read_text():
            raise OSError(errno.EBUSY, "has controllers enabled")
        for procs in self.root.rglob("cgroup.procs"):
            procs.write_text("".join(f"{p}\n" for p in self.processes(procs.parent) if p != pid))
        target.write_text(target.read_text() + f"{pid}\n")

    def _control(self, file: Path, text: str) -> None:
        folder = file.parent
        enabled = set(file.read_text().split())
        for word in text.split():
            enabled = enabled | {word[1:]} if word[0] == "+" else enabled - {word[1:]}
        below = [each / "cgroup.subtree_control" for each in folder.iterdir() if each.is_dir()]
        if self.processes(folder) or any(set(each.read_text().split()) - enabled for each in below):
            raise OSError(errno.EBUSY, "busy")
        file.write_text(" ".join(sorted(enabled)))

    def processes(self, folder: Path) -> list[int]:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]

    def groups(self) -> dict[str, list[int]]:
        return {
            str(each.relative_to(self.root)): self.processes(each)
            for each in sorted(self.root.rglob("*"))
            if each.is_dir()
        }


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A delegated group that holds a trainer and this process, its supervisor."""
    kernel = Kernel(tmp_path / "own")
    (kernel.root / "cgroup.procs").write_text(f"{TRAINER}\n{os.getpid()}\n")
    monkeypatch.setattr(cgroups, "os", kernel)
    return kernel


def make_tree(kernel: Kernel) -> cgroups.Tree:
    return cgroups.Tree(str(kernel.root), TRAINER)


def own_group(name: str = "") -> str:
    return f"halo-{os.getpid()}{name}"


V1 = "40 31 0:36 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n"


@pytest.mark.parametrize(
    ("cgroup", "root", "expected"),
    [
        ("0::/user.slice/halo.scope", "/", "/fs/user.slice/halo.scope"),
        ("4:memory:/a\n0::/\n", "/", "/fs"),
        ("0::/docker/abc/x", "/docker/abc", "/fs/x"),
        ("0::/docker/abc", "/docker/abc", "/fs"),
        ("0::/docker/abcd", "/docker/abc", None),
        ("0::/../outside", "/", None),
        ("4:memory:/a", "/", None),
    ],
)
def test_find_returns_the_directory_of_the_group(cgroup: str, root: str, expected: str | None) -> None:
    mountinfo = f"{V1}41 31 0:38 {root} /fs rw,relatime shared:2 - cgroup2 cgroup2 rw,nsdelegate\n"
    if expected is None:
        with pytest.raises(cgroups.NotDelegatedError, match="not mounted"):
            cgroups.find(cgroup, mountinfo)
    else:
        assert cgroups.find(cgroup, mountinfo) == expected
    with pytest.raises(cgroups.NotDelegatedError, match="not mounted"):
        cgroups.find(cgroup, V1)


def test_processes_move_to_leaves_and_back(kernel: Kernel) -> None:
    tree = make_tree(kernel)
    tree.group(3).close()
    assert kernel.groups() == {
        own_group(): [],
        own_group("/supervisor"): [os.getpid()],
        own_group("/worker-3"): [],
        "halo-trainer": [TRAINER],
    }
    assert (kernel.root / own_group("/worker-3/memory.max")).exists()
    tree.remove()
    assert kernel.groups() == {}
    assert sorted(kernel.processes(kernel.root)) == sorted([TRAINER, os.getpid()])
    assert (kernel.root / "cgroup.subtree_control").read_text() == ""


def test_the_children_of_a_killed_trainer_move_back_too(kernel: Kernel) -> None:
    tree = make_tree(kernel)
    (kernel.root / "halo-trainer/cgroup.procs").write_text(
        "77\n78\n"
    )  # its children; the trainer itself is gone
    tree.remove()
    assert kernel.groups() == {}
    assert set(kernel.processes(kernel.root)) == {77, 78, os.getpid()}


def test_two_sandboxes_of_one_trainer_share_its_leaf(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_tree(kernel)
    monkeypatch.setattr(kernel, "getpid", lambda: 1, raising=False)  # a live supervisor
    (kernel.root / "halo-trainer/cgroup.procs").write_text(f"{TRAINER}\n1\n")
    real = kernel._move
    monkeypatch.setattr(kernel, "_move", lambda pid, target: real(1 if pid == os.getpid() else pid, target))
    monkeypatch.setattr(kernel, "write", _as_pid(kernel, 1))
    second = cgroups.Tree(str(kernel.root / "halo-trainer"), TRAINER)
    assert kernel.groups()["halo-1/supervisor"] == [1]
    second.remove()
    assert kernel.groups()["halo-trainer"] == [TRAINER, 1]  # the first still needs it
    monkeypatch.undo()
    monkeypatch.setattr(cgroups, "os", kernel)
    first.remove()
    assert kernel.groups() == {}
    assert set(kernel.processes(kernel.root)) == {TRAINER, 1, os.getpid()}


def _as_pid(kernel: Kernel, pid: int) -> Any:
    write = kernel.write

    def write_as_pid(fd: int, data: bytes) -> int:
        own = Path(f"/proc/self/fd/{fd}").readlink().name == "cgroup.procs" and data == b"0"
        return write(fd, b"%d" % pid if own else data)

    return write_as_pid


def test_groups_of_a_killed_supervisor_are_removed_at_the_next_start(kernel: Kernel) -> None:
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    for pid in (dead.pid, 1):
        kernel.mkdir(f"{kernel.root}/halo-{pid}")
        kernel.mkdir(f"{kernel.root}/halo-{pid}/worker-0")
    make_tree(kernel)
    assert f"halo-{dead.pid}" not in kernel.groups()
    assert "halo-1/worker-0" in kernel.groups()


@pytest.mark.parametrize(("controllers", "missing"), [("cpu pids", "memory"), ("hugetlb", "memory or pids")])
def test_a_group_without_the_controllers_is_not_changed(
    kernel: Kernel, controllers: str, missing: str
) -> None:
    (kernel.root / "cgroup.controllers").write_text(controllers)
    with pytest.raises(cgroups.NotDelegatedError, match=f"control {missing} here"):
        make_tree(kernel)
    assert kernel.writes == []


def test_a_group_that_is_not_writable_is_not_changed(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "access", lambda path, _: not path.endswith("subtree_control"), raising=False)
    with pytest.raises(cgroups.NotDelegatedError, match="not writable"):
        make_tree(kernel)
    assert kernel.writes == []


def test_foreign_processes_are_not_moved(kernel: Kernel) -> None:
    with (kernel.root / "cgroup.procs").open("a") as file:
        file.write("99\n")
    with pytest.raises(cgroups.NotDelegatedError, match="other processes are in it"):
        make_tree(kernel)
    assert kernel.groups() == {}
    assert set(kernel.processes(kernel.root)) == {TRAINER, os.getpid(), 99}


def test_limits_are_written_only_when_they_change(kernel: Kernel) -> None:
    group = make_tree(kernel).group(0)
    prefix = own_group("/worker-0/")
    folder = kernel.root / prefix
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "memory.oom.group").read_text() == "1"
    for memory, processes, written in (
        (1 << 20, 4, ["memory.max", "pids.max"]),
        (1 << 20, 4, []),
        (1 << 20, 64, ["pids.max"]),
    ):
        kernel.writes.clear()
        group.limit(memory, processes)
        group.join()
        assert kernel.writes[:-1] == [
            (prefix + name, str({"memory.max": memory, "pids.max": processes}[name])) for name in written
        ]
        assert kernel.writes[-1] == (prefix + "cgroup.procs", "0")
    assert kernel.processes(folder) == [os.getpid()]
    group.kill()
    assert kernel.writes[-1] == (prefix + "cgroup.kill", "1")
    group.close()


def test_a_rising_kill_count_means_out_of_memory(kernel: Kernel) -> None:
    events = kernel.root / own_group("/worker-0/memory.events")
    tree = make_tree(kernel)
    tree.group(0).close()
    events.write_text(EVENTS.replace("oom_kill 0", "oom_kill 2"))
    group = tree.group(0)  # for a worker that replaces a dead one
    assert not group.out_of_memory()
    events.write_text(EVENTS.replace("oom_kill 0", "oom_kill 3"))
    assert group.out_of_memory()
    assert not group.out_of_memory()
    group.close()


def test_files_that_older_kernels_lack_are_optional(kernel: Kernel) -> None:
    tree = make_tree(kernel)
    tree.group(0).close()
    for name in ("memory.swap.max", "memory.oom.group", "cgroup.kill", "memory.events"):
        (kernel.root / own_group("/worker-0") / name).unlink()
    group = tree.group(0)
    group.limit(1 << 20, 1)
    group.join()
    group.kill()
    assert not group.out_of_memory()
    group.close()


@pytest.mark.parametrize("broken", ["memory.max", "pids.max", "cgroup.procs"])
def test_join_fails_if_a_limit_cannot_be_set(kernel: Kernel, broken: str) -> None:
    tree = make_tree(kernel)
    tree.group(0).close()
    (kernel.root / own_group("/worker-0") / broken).unlink()
    group = tree.group(0)
    group.limit(1 << 20, 1)
    with pytest.raises(OSError, match="control group") as refused:
        group.join()
    assert refused.value.errno == cgroups.LOST
    group.close()


PROGRAM = """
import os, socket, sys
from halo_core.sandbox import box, cgroups, confine, launch, session, tiers, worker

def run(*argv):
    request = {**tiers.PROBE_REQUEST, "main": "", "argv": argv, "memory_bytes": 1 << 29, "processes": 9}
    reply, blobs = worker.run(request, [], sock, launcher, confinement)
    return reply, bytes(blobs[0]) if blobs else b""

folder = sys.argv[1]
group = cgroups.Group(folder + "/group")
confinement = confine.Confinement("none", box.Box(folder, 0, None), abi=0, group=group)
launcher = launch.Launcher()
sock, _other = socket.socketpair()
reply, out = run("/bin/cat", *(f"{folder}/group/{n}" for n in ("cgroup.procs", "memory.max", "pids.max")))
assert (out, reply["limit"]) == (b"0" b"536870912" b"9", None), (reply, out)
reply, _ = run("/bin/sh", "-c", f"echo oom_kill 1 >{folder}/group/memory.events")
assert (reply["exit_code"], reply["limit"]) == (0, "memory"), reply
group.close()
reply, _ = run("/bin/touch", folder + "/started")
assert reply == {"failure": cgroups.LOST}, reply
assert "control group" in str(session.launch_error("touch", reply["failure"]))
"""


def test_a_worker_starts_no_program_outside_its_group(tmp_path: Path) -> None:
    """Run real programs through a worker, with plain files as the group."""
    group = tmp_path / "group"
    group.mkdir()
    for name in ("cgroup.procs", "memory.max", "pids.max", "memory.events"):
        (group / name).touch()
    process = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert not (tmp_path / "started").exists()


def test_doctor_and_describe_agree_on_cgroups() -> None:
    rows = {row.check: row for row in doctor()}
    if "cgroup v2" not in rows:
        pytest.skip("no tier that uses control groups")
    with start() as sandbox:
        assert ("no cgroup" in sandbox.describe()) is not rows["cgroup v2"].holds


def test_a_real_group_limits_the_memory_of_all_processes_together() -> None:
    found = {row.check: row for row in doctor()}.get("cgroup v2")
    if found is None or not found.holds:
        pytest.skip(f"needs a delegated cgroup: {found and found.detail}")
    before = Path("/proc/self/cgroup").read_text()
    hog = "x=$(head -c 40000000 /dev/zero | tr '\\0' x); sleep 1; echo $x"
    script = f"({hog}) & ({hog}) & ({hog}) & wait"
    with start() as sandbox:
        limits = Limits(cpu_seconds=20, memory_bytes=100_000_000, processes=20)
        assert sandbox.run(["/bin/sh", "-c", script], limits=limits).limit == "memory"
        assert sandbox.run(["/bin/true"]).ok
    assert Path("/proc/self/cgroup").read_text() == before
