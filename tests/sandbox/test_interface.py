from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, Sandbox, doctor, start

SH = "/bin/sh"
WaitUntil = Callable[[Callable[[], bool]], None]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(text: str) -> bool:
    """Return whether a process has `text` in its command line."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if text.encode() in file.read_bytes():
                return True
    return False


def test_exit_code_output_and_input(box: Sandbox) -> None:
    # A generous limit: without namespaces the kernel counts all processes of a user, which sandboxes may share.
    outcome = box.run(
        [SH, "-c", "cat; echo oops >&2; exit 3"], stdin=b"\0\xff\n", limits=Limits(processes=16)
    )
    assert (outcome.exit_code, outcome.signal, outcome.limit) == (3, None, None)
    assert (outcome.stdout, outcome.stderr) == (b"\0\xff\n", b"oops\n")
    assert not outcome.ok
    assert outcome.tier == box.tier


def test_a_signal_is_reported(box: Sandbox) -> None:
    outcome = box.run([SH, "-c", "kill -SEGV $$"])
    assert (outcome.exit_code, outcome.signal) == (None, signal.SIGSEGV)


def test_a_workspace_starts_empty(weak: Sandbox) -> None:
    with weak.workspace() as space:
        space.write("in.txt", b"old")
        space.write("in.txt", b"new")
        space.write("tool", b"#!/bin/sh\ncat in.txt > out.txt; mkdir -p d/e; chmod 0 d\n", executable=True)
        assert space.run(["./tool"], writable=True, limits=Limits(processes=9)).ok
        assert space.read("out.txt", max_bytes=2) == b"ne"
        path = space.path
    with weak.workspace() as space:
        assert space.path == path
        assert space.run(["/bin/ls", "-A"]).stdout == b""


def test_a_very_deep_tree_is_wiped(weak: Sandbox) -> None:
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd -P d || exit 1; i=$((i+1)); done"
    with weak.workspace() as space:
        space.run([SH, "-c", script], writable=True, limits=Limits(cpu_seconds=20, processes=100))
        path = space.path
    with weak.workspace() as space:
        assert space.path == path
        assert space.run(["/bin/ls", "-A"]).stdout == b""


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_names_that_are_not_plain_raise(box: Sandbox, name: str) -> None:
    with box.workspace() as space:
        with pytest.raises(ValueError, match="plain file name"):
            space.read(name, max_bytes=1)
        with pytest.raises(ValueError, match="plain file name"):
            space.write(name, b"")


@pytest.mark.parametrize("make", ["ln -s /etc/passwd x", "mkfifo x", "mkdir x", "echo >y; ln y x"])
def test_read_accepts_only_regular_files(weak: Sandbox, make: str) -> None:
    with weak.workspace() as space:
        assert space.run([SH, "-c", make], writable=True, limits=Limits(processes=100)).ok
        with pytest.raises(SandboxError, match="regular file"):
            space.read("x", max_bytes=1)


def test_the_cpu_limit_ends_a_program(box: Sandbox) -> None:
    outcome = box.run([SH, "-c", "while :; do :; done"], limits=Limits(cpu_seconds=0.2))
    assert outcome.limit == "cpu"
    assert not outcome.inconclusive
    assert outcome.cpu_seconds >= 0.2


def test_a_sleeping_program_exceeds_the_wall_limit_conclusively(box: Sandbox) -> None:
    outcome = box.run(["/bin/sleep", "60"], limits=Limits(wall_seconds=0.2))
    assert (outcome.limit, outcome.inconclusive) == ("wall", False)


def test_stdout_beyond_its_limit_ends_the_program(box: Sandbox) -> None:
    outcome = box.run(["/usr/bin/yes"], limits=Limits(stdout_bytes=100_000))
    assert (outcome.limit, len(outcome.stdout), outcome.stdout_truncated) == ("output", 100_000, True)


def test_stderr_beyond_its_limit_is_dropped_and_the_program_continues(weak: Sandbox) -> None:
    outcome = weak.run([SH, "-c", "head -c 300000 /dev/zero >&2; echo done"], limits=Limits(processes=100))
    assert outcome.ok
    assert (len(outcome.stderr), outcome.stderr_truncated, outcome.stdout) == (64 << 10, True, b"done\n")


def test_file_size_limit(box: Sandbox) -> None:
    with box.workspace() as space:
        outcome = space.run(
            ["/bin/dd", "if=/dev/urandom", "of=big", "bs=65536"],
            writable=True,
            limits=Limits(file_bytes=1 << 20),
        )
        assert outcome.limit == "file"
        assert len(space.read("big", max_bytes=1 << 30)) == 1 << 20


def test_a_daemon_does_not_outlive_its_run(weak: Sandbox, tmp_path: Path) -> None:
    mark = f"{31536000 + os.getpid()}"
    outcome = weak.run(
        [SH, "-c", f"(setsid sh -c 'sleep {mark} & sleep {mark}' >/dev/null 2>&1 &); exit 0"],
        limits=Limits(processes=100),
    )
    assert outcome.ok
    assert not is_running(mark)


def test_a_missing_program_raises(box: Sandbox) -> None:
    with pytest.raises(SandboxError, match="No such file"):
        box.run(["/no/such/program"])


def test_the_environment_and_descriptors_are_clean(weak: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_TEST_SECRET", "x")
    with Path("/etc/passwd").open("rb") as leak:
        os.set_inheritable(leak.fileno(), True)
        seen = weak.run([SH, "-c", "env; ls /proc/self/fd"], limits=Limits(processes=100)).stdout.decode()
    assert "SECRET" not in seen
    assert "LC_ALL=C.UTF-8" in seen
    assert seen.split()[-4:] == ["0", "1", "2", "3"]  # 3 is ls's own


def test_many_threads_run_programs_concurrently(box: Sandbox) -> None:
    def echo(n: int) -> bytes:
        return box.run(["/bin/cat"], stdin=b"%d" % n).stdout

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(echo, range(100))) == [b"%d" % n for n in range(100)]


def open_to_all(folder: Path) -> None:
    """Make `folder` accessible to every user, so that only the sandbox keeps a program out."""
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and not place.stat().st_mode & 0o1:
            place.chmod(0o755)


def test_a_worker_that_dies_is_replaced_and_its_program_is_killed(
    box: Sandbox, wait_until: WaitUntil
) -> None:
    mark = "86399"

    def busy_workers() -> list[int]:
        return [
            worker
            for worker in children(box.supervisor_pid)
            if any(mark.encode() in Path(f"/proc/{p}/cmdline").read_bytes() for p in children(worker))
        ]

    def kill_worker() -> None:
        wait_until(lambda: bool(busy_workers()))
        (worker,) = busy_workers()
        os.kill(worker, signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool, box.workspace() as space:
        killer = pool.submit(kill_worker)
        with pytest.raises(SandboxError, match="worker died"):
            space.run(["/bin/sleep", mark], limits=Limits(wall_seconds=20))
        killer.result()
    assert box.run(["/bin/true"]).ok
    wait_until(lambda: not is_running(mark))


def test_using_a_closed_sandbox_raises() -> None:
    closed = start("weak")
    closed.close()
    closed.close()
    with pytest.raises(SandboxError, match="closed"):
        closed.run(["/bin/true"])


def test_nothing_survives_a_killed_trainer(box: Sandbox, wait_until: WaitUntil) -> None:
    mark = f"{41536000 + os.getpid()}"
    program = (
        f"from halo_core import sandbox; s = sandbox.start('{box.tier}')\n"
        "with s.workspace() as w:\n"
        "    print(s.directory, flush=True)\n"
        f"    w.run(['/bin/sleep', '{mark}'], limits=sandbox.Limits(wall_seconds=100))\n"
    )
    trainer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    directory = Path(trainer.stdout.readline().strip())
    wait_until(lambda: is_running(f"/bin/sleep\0{mark}"))
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    wait_until(lambda: not is_running(mark))
    wait_until(lambda: not is_running(str(directory)))
    wait_until(lambda: not directory.exists())


def test_nothing_survives_a_killed_supervisor(wait_until: WaitUntil) -> None:
    mark = f"{51536000 + os.getpid()}"
    with start("auto") as sandbox, ThreadPoolExecutor(1) as pool:
        run = pool.submit(sandbox.run, ["/bin/sleep", mark], limits=Limits(wall_seconds=600))
        wait_until(lambda: is_running(mark))
        os.kill(sandbox.supervisor_pid, signal.SIGKILL)
        with pytest.raises(SandboxError):
            run.result(timeout=100)
        wait_until(lambda: not is_running(mark))
        with pytest.raises(SandboxError, match=r"gone|died"):
            sandbox.run(["/bin/true"])
    assert not Path(sandbox.directory).exists()


def test_an_abandoned_directory_is_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o755)
    abandoned = tmp_path / "halo-sandbox-abandoned"
    (abandoned / "0").mkdir(parents=True)
    fresh = tmp_path / "halo-sandbox-fresh"
    fresh.mkdir()
    os.utime(abandoned, (1, 1))
    start("none").close()
    assert not abandoned.exists()
    assert fresh.exists()


def test_a_forked_process_cannot_use_its_parents_sandbox(weak: Sandbox) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            weak.run(["/bin/true"])
        except SandboxError as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert weak.run(["/bin/true"]).ok


def test_an_unavailable_tier_raises_with_reason_and_remedy() -> None:
    with pytest.raises(SandboxError, match="Landlock") as refused:
        Sandbox("auto", landlock_abi=0)
    assert "--sandbox weak" in refused.value.hint
    with pytest.raises(SandboxError, match="Landlock"):
        Sandbox("strong", landlock_abi=0)


def test_doctor_checks_every_tier() -> None:
    rows = {row.check: row for row in doctor()}
    assert {"architecture", "landlock", "tier strong", "tier standard"} <= rows.keys()
    assert all(row.detail for row in rows.values())


def test_describe_returns_one_line_with_the_tier(box: Sandbox) -> None:
    line = box.describe()
    assert line.startswith(f"sandbox: {box.tier} (")
    assert "\n" not in line


def test_importing_the_sandbox_loads_neither_torch_nor_subprocess() -> None:
    program = "import halo_core.sandbox, sys; sys.exit('torch' in sys.modules or 'subprocess' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("content", [b"", b"not a program", b"\x7fELFgarbage", b"#!/no/such/interpreter\n"])
def test_a_sample_that_cannot_be_executed_ends_with_exit_code_126(box: Sandbox, content: bytes) -> None:
    with box.workspace() as space:
        space.write("program", content, executable=True)
        outcome = space.run(["./program"])
        assert (outcome.exit_code, outcome.stdout) == (126, b"")
        with pytest.raises(SandboxError, match="No such file"):
            space.run(["./missing"])


def test_a_sample_cannot_read_a_file_by_naming_it_as_its_interpreter(
    confined: Sandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("#!/bin/cat\nsecret")
    secret.chmod(0o755)
    open_to_all(tmp_path)
    with confined.workspace() as space:
        space.write("program", f"#!{secret}\n".encode(), executable=True)
        outcome = space.run(["./program"])
        assert b"secret\n" not in outcome.stdout
        assert outcome.exit_code == 126


def test_readable_paths_are_resolved_at_each_run(
    confined: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("data")
    for content in (b"one", b"two"):
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "x").write_bytes(content)
        open_to_all(folder)
        assert confined.run(["/bin/cat", str(folder / "x")], readable=[folder]).stdout == content
    assert confined.run(["/bin/cat", str(folder / "x")]).exit_code == 1


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="cpu_seconds"):
        Limits(cpu_seconds=0)
    with pytest.raises(ValueError, match="processes"):
        Limits(processes=-1)


@pytest.mark.parametrize("toolchain", [False, True])
def test_a_pair_of_sockets_cannot_be_connected_elsewhere(confined: Sandbox, toolchain: bool) -> None:
    talk = """
import os, socket
a, b = socket.socketpair()
a.send(b"x")
os.write(b.fileno(), b.recv(9) + b"y")
print(a.recv(9, socket.MSG_DONTWAIT))
"""
    others = [
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socket(socket.AF_INET)",
        "import socket; socket.socketpair(socket.AF_NETLINK)",
        "import socket; socket.socketpair()[0].connect('/run/docker.sock')",
        "import socket; socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'x', '/dev/log')",
        "import socket; socket.socketpair()[0].sendto(b'x', socket.MSG_OOB, '/dev/log')",
        "import socket; socket.socketpair()[0].send(b'x', socket.MSG_OOB)",
        "import socket; socket.socketpair()[0].recv(1, socket.MSG_OOB)",
        "import array, socket; socket.send_fds(socket.socketpair()[0], [b'x'], [0])",
        "import socket; socket.socketpair()[0].bind('x')",
    ]
    with confined.workspace() as space:
        outcome = space.run([sys.executable, "-c", talk], toolchain=toolchain)
        assert outcome.stdout == b"b'xy'\n", outcome.stderr
        for code in others:
            outcome = space.run([sys.executable, "-c", code], toolchain=toolchain, writable=True)
            assert outcome.exit_code == 1, code
            assert (
                b"Permission" in outcome.stderr
                or b"not permitted" in outcome.stderr
                or b"not impl" in outcome.stderr
            ), code


def test_coroutines_and_threads_of_a_program_talk_through_pairs_of_sockets(confined: Sandbox) -> None:
    code = """
import asyncio, multiprocessing
async def double(n):
    await asyncio.sleep(0.01)
    return 2 * n
async def main():
    print(await asyncio.gather(*map(double, range(3))), await asyncio.to_thread(sum, [1, 2]))
asyncio.run(main())
a, b = multiprocessing.Pipe()
a.send("x")
print(b.recv())
"""
    outcome = confined.run([sys.executable, "-c", code], limits=Limits(processes=8))
    assert outcome.stdout == b"[0, 2, 4] 3\nx\n", outcome.stderr


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("-c 0 -i 9 -l 0", "ok\n"),
        (
            "-f 100",
            "no program can be run: `ulimit -f` was set to 102400 bytes before halo started; programs need",
        ),
        ("-v 2000000", "cannot run '/bin/echo': `ulimit -v` was set to 2048000000 bytes before halo started"),
    ],
)
def test_limits_that_halo_was_started_with_are_kept_or_named(limit: str, expected: str) -> None:
    """Only limits that programs are judged by must not be lower than those of a run."""
    code = (
        "from halo_core.sandbox import Limits, start\n"
        "try:\n"
        "    with start() as box:\n"
        "        print(box.run(['/bin/echo', 'ok'], limits=Limits(memory_bytes=1 << 31)).stdout.decode())\n"
        "except Exception as error: print(error, error.hint)\n"
    )
    ulimits = "; ".join(f"ulimit -{each}" for each in limit.removeprefix("-").split(" -"))
    done = subprocess.run(
        ["bash", "-c", f'{ulimits}; exec "$0" -c "$1"', sys.executable, code], capture_output=True, text=True
    )
    assert expected in done.stdout, done
    assert ("ulimit -S" in done.stdout) == ("ulimit" in expected)
