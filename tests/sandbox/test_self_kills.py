"""Programs that try to be ended by SIGKILL, which would make their outcome inconclusive instead of a failure."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from halo_core.sandbox import Limits, Outcome, Sandbox

COLUMN = ("x86_64", "aarch64").index(os.uname().machine) if os.uname().machine in ("x86_64", "aarch64") else 0
NUMBERS = {
    "clone": (56, 220),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "seccomp": (317, 277),
    "setrlimit": (160, 164),
    "tgkill": (234, 131),
    "timer_create": (222, 107),
    "timer_settime": (223, 110),
    "tkill": (200, 130),
}
SPIN = "while True: pass"
PRELUDE = f"""
import ctypes, os, resource, signal, struct, sys, threading, time
sys.setrecursionlimit(10**9)
me = os.getpid()
libc = ctypes.CDLL(None)
def call(number, *words):
    return libc.syscall(*map(ctypes.c_long, (number, *words)))
def at(data):
    kept.append(ctypes.create_string_buffer(data, len(data)))
    return ctypes.addressof(kept[-1])
kept = []
{"".join(f"{name} = {numbers[COLUMN]}; " for name, numbers in NUMBERS.items())}
"""
TIMER = """
event = struct.pack("<Qii48x", 0, 9, 0)
if call(timer_create, CLOCK, at(event), at(bytes(4))) == 0:
    call(timer_settime, 0, 0, at(struct.pack("<4q", 0, 0, 0, 1)), 0)
    while True: pass
"""
ALONE = {
    "setrlimit": f"resource.setrlimit(resource.RLIMIT_CPU, (0, 0))\n{SPIN}",
    "setrlimit of one second": f"resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n{SPIN}",
    "setrlimit, ignoring SIGXCPU": "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
    f"resource.setrlimit(resource.RLIMIT_CPU, (0, 1))\n{SPIN}",
    "prlimit": f"resource.prlimit(0, resource.RLIMIT_CPU, (0, 0))\n{SPIN}",
    "prlimit of its own pid": f"resource.prlimit(me, resource.RLIMIT_CPU, (0, 0))\n{SPIN}",
    "a raw setrlimit": f"if call(setrlimit, 0, at(bytes(16))) == 0:\n    {SPIN}",
    "a raw setrlimit with a high half": f"if call(setrlimit, 1 << 32, at(bytes(16))) == 0:\n    {SPIN}",
    "prlimit from an address without a low half": "libc.mmap.argtypes = [ctypes.c_long] * 6\n"
    f"libc.mmap.restype = ctypes.c_long\nif libc.mmap(1 << 32, 4096, 3, 0x32, -1, 0) == 1 << 32:\n"
    f"    if call(prlimit64, 0, 0, 1 << 32, 0) == 0:\n        {SPIN}\nelse:\n    sys.exit(0)",
    "kill": "os.kill(me, 9)",
    "kill of its group": "os.kill(0, 9)",
    "kill with a high half": "call(62 if os.uname().machine == 'x86_64' else 129, me, 9 | 1 << 32)",
    "raise": "signal.raise_signal(9)",
    "pthread_kill": "signal.pthread_kill(threading.get_ident(), 9)",
    "tgkill": "call(tgkill, me, me, 9)",
    "tkill": "call(tkill, me, 9)",
    "rt_sigqueueinfo": "call(rt_sigqueueinfo, me, 9, at(struct.pack('<iii116x', 9, 0, -1)))",
    "rt_tgsigqueueinfo": "call(rt_tgsigqueueinfo, me, me, 9, at(struct.pack('<iii116x', 9, 0, -1)))",
    "pidfd_send_signal": "call(pidfd_send_signal, call(pidfd_open, me, 0), 9, 0, 0)",
    "a timer": TIMER.replace("CLOCK", "1"),
    "a timer of CPU time": TIMER.replace("CLOCK", "2"),
    "strict seccomp by prctl": "libc.prctl(22, 1, 0, 0, 0)\ntime.time_ns()\nos.getpid()",
    "strict seccomp": "call(seccomp, 0, 0, 0)\nos.getpid()",
    "a filter that kills": "libc.prctl(38, 1, 0, 0, 0)\n"
    "code = at(struct.pack('<HBBI', 6, 0, 0, 0))\ncall(seccomp, 1, 0, at(struct.pack('<HxxxxxxQ', 1, code)))",
    "the death of its parent": "libc.prctl(1, 9, 0, 0, 0)",
    "a foreign system call": "call(39 | 1 << 30)",
    "memory": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "memory that cannot grow": "resource.setrlimit(resource.RLIMIT_AS, (0, 0))\nx = bytearray(1 << 24)",
    "a stack that cannot grow": "resource.setrlimit(resource.RLIMIT_STACK, (4096, 4096))\n"
    "def f(n): return max([n], key=f)\nf(0)",
    "exec without memory": "resource.setrlimit(resource.RLIMIT_AS, (1 << 16, 1 << 16))\n"
    "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "exec without a stack": "resource.setrlimit(resource.RLIMIT_STACK, (1, 1))\n"
    "os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', '1 / 0'])",
    "exec of itself": "os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', "
    "'import os; os.kill(os.getpid(), 9)'])",
    "SIGSEGV without a handler's stack": "libc.sigaltstack(0, 0)\nctypes.string_at(0)",
}
CHILD = "if os.fork() == 0:\n    {}\n    os._exit(0)\nstatus = os.wait()[1]\n"
THREAD = """
ids = []
threading.Thread(target=lambda: (ids.append(threading.get_native_id()), time.sleep(9)), daemon=True).start()
while not ids: pass
"""
WITH_OTHERS = {
    **{name: ALONE[name] for name in ("prlimit", "kill", "kill of its group", "tgkill", "a timer")},
    "a child that kills": CHILD.format("os.kill(me, 9)"),
    "a child that kills the group": CHILD.format("os.killpg(0, 9)"),
    "a child that kills everything": CHILD.format("os.kill(-1, 9)"),
    "a child that sets a limit": CHILD.format("resource.prlimit(me, resource.RLIMIT_CPU, (0, 0))")
    + f"if status == 0:\n    {SPIN}",
    "a grandchild that kills": CHILD.format("os.fork() or os.kill(me, 9)"),
    "a child whose end kills": "if call(clone, 9, 0, 0, 0, 0) == 0:\n    os._exit(0)\ntime.sleep(0.2)",
    "a child whose end kills, in shared memory": "if call(clone, 9 | 0x4000, 0, 0, 0, 0) == 0:\n    os._exit(0)\n"
    "time.sleep(0.2)",
    "tgkill of a thread": THREAD + "call(tgkill, me, ids[0], 9)",
    "kill of a thread": THREAD + "os.kill(ids[0], 9)",
    "a thread that kills": "t = threading.Thread(target=lambda: os.kill(threading.get_native_id(), 9))\n"
    "t.start()\nt.join()",
    "a worker that kills": "os.fork() or os.kill(os.getppid(), 9)",
    "the sandbox's worker": "os.kill(os.getppid(), 9)",
    "a shared core dump": "if call(clone, 17 | 0x100, 0, 0, 0, 0) == 0:\n    libc.abort()\ntime.sleep(0.2)",
}


def attempt(box: Sandbox, code: str, processes: int) -> Outcome:
    limits = Limits(cpu_seconds=4.0, wall_seconds=20.0, memory_bytes=1 << 28, processes=processes)
    code = f"{PRELUDE}\n{code}\nraise SystemExit(3)"
    return box.run([sys.executable, "-I", "-S", "-c", code], limits=limits)


@pytest.mark.parametrize("name", ALONE)
def test_a_program_cannot_end_itself_by_sigkill(confined: Sandbox, name: str) -> None:
    outcome = attempt(confined, ALONE[name], 1)
    assert not outcome.ok
    assert not outcome.inconclusive, outcome


@pytest.mark.parametrize("name", WITH_OTHERS)
def test_its_children_and_threads_cannot_end_a_program_by_sigkill(confined: Sandbox, name: str) -> None:
    outcome = attempt(confined, WITH_OTHERS[name], 8)
    assert not outcome.ok
    assert not outcome.inconclusive, outcome


def test_a_program_without_a_filter_fails_if_it_kills_itself(weak: Sandbox) -> None:
    outcome = weak.run(["/bin/sh", "-c", "kill -9 $$"])
    assert (outcome.signal, outcome.inconclusive) == (signal.SIGKILL, False)


@pytest.mark.parametrize("processes", [1, 8])
def test_a_program_may_read_all_limits_and_set_all_but_that_of_cpu_time(
    confined: Sandbox, processes: int
) -> None:
    code = (
        "import resource as r\nlimits = [r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_STACK, r.RLIMIT_AS]\n"
        "assert r.getrlimit(r.RLIMIT_CPU) == r.prlimit(0, r.RLIMIT_CPU) == (5, 6)\n"
        "for each in limits:\n    soft, hard = r.getrlimit(each)\n    r.setrlimit(each, (soft // 2, hard))\n"
        "    assert r.getrlimit(each) == (soft // 2, hard)"
    )
    limits = Limits(cpu_seconds=4.0, memory_bytes=1 << 29, processes=processes)
    outcome = confined.run([sys.executable, "-I", "-S", "-c", code], limits=limits)
    assert outcome.ok, outcome.stderr
