"""Control groups, against a stand-in for the kernel's file system, and the real one where it is delegated."""

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
    """In place of `os` within the module: directories beneath `root` behave as control groups do.

    Files appear with a directory and go with it, processes move, and a group with processes of its own
    cannot enable controllers for its children, nor the other way round.
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


def prepare(kernel: Kernel) -> cgroups.Tree:
    return cgroups.Tree(str(kernel.root), TRAINER)


def numbered(name: str = "") -> str:
    return f"halo-{os.getpid()}{name}"


V1 = "40 31 0:36 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n"


@pytest.mark.parametrize(
    ("cgroup", "root", "found"),
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
def test_the_own_group_is_found(cgroup: str, root: str, found: str | None) -> None:
    mountinfo = f"{V1}41 31 0:38 {root} /fs rw,relatime shared:2 - cgroup2 cgroup2 rw,nsdelegate\n"
    if found is None:
        with pytest.raises(cgroups.NotDelegatedError, match="not mounted"):
            cgroups.find(cgroup, mountinfo)
    else:
        assert cgroups.find(cgroup, mountinfo) == found
    with pytest.raises(cgroups.NotDelegatedError, match="not mounted"):
        cgroups.find(cgroup, V1)


def test_processes_move_to_leaves_and_back(kernel: Kernel) -> None:
    tree = prepare(kernel)
    tree.group(3).close()
    assert kernel.groups() == {
        numbered(): [],
        numbered("/supervisor"): [os.getpid()],
        numbered("/worker-3"): [],
        "halo-trainer": [TRAINER],
    }
    assert (kernel.root / numbered("/worker-3/memory.max")).exists()
    tree.remove()
    assert kernel.groups() == {}
    assert sorted(kernel.processes(kernel.root)) == sorted([TRAINER, os.getpid()])
    assert (kernel.root / "cgroup.subtree_control").read_text() == ""


def test_what_a_killed_trainer_left_is_put_back_too(kernel: Kernel) -> None:
    tree = prepare(kernel)
    (kernel.root / "halo-trainer/cgroup.procs").write_text("77\n78\n")  # its children, itself gone
    tree.remove()
    assert kernel.groups() == {}
    assert set(kernel.processes(kernel.root)) == {77, 78, os.getpid()}


def test_a_second_sandbox_of_the_trainer_shares_its_leaf(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(kernel)
    monkeypatch.setattr(kernel, "getpid", lambda: 1, raising=False)  # a supervisor that lives
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

    def written(fd: int, data: bytes) -> int:
        own = Path(f"/proc/self/fd/{fd}").readlink().name == "cgroup.procs" and data == b"0"
        return write(fd, b"%d" % pid if own else data)

    return written


def test_groups_of_a_killed_supervisor_are_removed_at_the_next_start(kernel: Kernel) -> None:
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    for pid in (dead.pid, 1):
        kernel.mkdir(f"{kernel.root}/halo-{pid}")
        kernel.mkdir(f"{kernel.root}/halo-{pid}/worker-0")
    prepare(kernel)
    assert f"halo-{dead.pid}" not in kernel.groups()
    assert "halo-1/worker-0" in kernel.groups()


@pytest.mark.parametrize(("controllers", "lacking"), [("cpu pids", "memory"), ("hugetlb", "memory or pids")])
def test_a_group_without_the_controllers_is_left_alone(
    kernel: Kernel, controllers: str, lacking: str
) -> None:
    (kernel.root / "cgroup.controllers").write_text(controllers)
    with pytest.raises(cgroups.NotDelegatedError, match=f"control {lacking} here"):
        prepare(kernel)
    assert kernel.writes == []


def test_a_group_that_is_not_writable_is_left_alone(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "access", lambda path, _: not path.endswith("subtree_control"), raising=False)
    with pytest.raises(cgroups.NotDelegatedError, match="not writable"):
        prepare(kernel)
    assert kernel.writes == []


def test_processes_of_others_are_not_moved(kernel: Kernel) -> None:
    with (kernel.root / "cgroup.procs").open("a") as file:
        file.write("99\n")
    with pytest.raises(cgroups.NotDelegatedError, match="other processes are in it"):
        prepare(kernel)
    assert kernel.groups() == {}
    assert set(kernel.processes(kernel.root)) == {TRAINER, os.getpid(), 99}


def test_limits_are_written_only_when_they_change(kernel: Kernel) -> None:
    group = prepare(kernel).group(0)
    place = numbered("/worker-0/")
    folder = kernel.root / place
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
            (place + name, str({"memory.max": memory, "pids.max": processes}[name])) for name in written
        ]
        assert kernel.writes[-1] == (place + "cgroup.procs", "0")
    assert kernel.processes(folder) == [os.getpid()]
    group.kill()
    assert kernel.writes[-1] == (place + "cgroup.kill", "1")
    group.close()


def test_a_growing_count_of_kills_means_out_of_memory(kernel: Kernel) -> None:
    events = kernel.root / numbered("/worker-0/memory.events")
    tree = prepare(kernel)
    tree.group(0).close()
    events.write_text(EVENTS.replace("oom_kill 0", "oom_kill 2"))
    group = tree.group(0)  # for a worker that took the place of one that died
    assert not group.out_of_memory()
    events.write_text(EVENTS.replace("oom_kill 0", "oom_kill 3"))
    assert group.out_of_memory()
    assert not group.out_of_memory()
    group.close()


def test_older_kernels_have_fewer_files(kernel: Kernel) -> None:
    tree = prepare(kernel)
    tree.group(0).close()
    for name in ("memory.swap.max", "memory.oom.group", "cgroup.kill", "memory.events"):
        (kernel.root / numbered("/worker-0") / name).unlink()
    group = tree.group(0)
    group.limit(1 << 20, 1)
    group.join()
    group.kill()
    assert not group.out_of_memory()
    group.close()


@pytest.mark.parametrize("broken", ["memory.max", "pids.max", "cgroup.procs"])
def test_a_limit_that_cannot_be_set_keeps_the_program_out(kernel: Kernel, broken: str) -> None:
    tree = prepare(kernel)
    tree.group(0).close()
    (kernel.root / numbered("/worker-0") / broken).unlink()
    group = tree.group(0)
    group.limit(1 << 20, 1)
    with pytest.raises(OSError, match="control group") as refused:
        group.join()
    assert refused.value.errno == cgroups.LOST
    group.close()


PROGRAM = """
import os, socket, sys
from halo_core.sandbox import box, cgroups, confine, launch, tiers, worker, workspace

def run(*argv):
    request = {**tiers._PROBE, "main": "", "argv": argv, "memory_bytes": 1 << 29, "processes": 9}
    reply, blobs = worker.run(request, [], session, launcher, walls)
    return reply, bytes(blobs[0]) if blobs else b""

folder = sys.argv[1]
group = cgroups.Group(folder + "/group")
walls = confine.Confinement("none", box.Box(folder, 0, None), abi=0, group=group)
launcher = launch.Launcher()
session, _other = socket.socketpair()
reply, out = run("/bin/cat", *(f"{folder}/group/{n}" for n in ("cgroup.procs", "memory.max", "pids.max")))
assert (out, reply["limit"]) == (b"0" b"536870912" b"9", None), (reply, out)
reply, _ = run("/bin/sh", "-c", f"echo oom_kill 1 >{folder}/group/memory.events")
assert (reply["exit_code"], reply["limit"]) == (0, "memory"), reply
os.close(group._fds["cgroup.procs"])
reply, _ = run("/bin/touch", folder + "/started")
assert reply == {"failure": cgroups.LOST}, reply
assert "control group" in str(workspace._launch_error("touch", reply["failure"]))
"""


def test_a_worker_lets_no_program_start_outside_its_group(tmp_path: Path) -> None:
    """The way from a worker to a program, with plain files for a group."""
    group = tmp_path / "group"
    group.mkdir()
    for name in ("cgroup.procs", "memory.max", "pids.max", "memory.events"):
        (group / name).touch()
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert not (tmp_path / "started").exists()


def test_doctor_and_the_line_say_how_memory_is_limited() -> None:
    rows = {row.check: row for row in doctor()}
    if "cgroup v2" not in rows:
        pytest.skip("no tier that uses control groups")
    with start() as sandbox:
        assert ("no cgroup" in sandbox.describe()) is not rows["cgroup v2"].holds


def test_memory_of_all_processes_together_in_a_real_group() -> None:
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
