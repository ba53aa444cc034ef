"""Programs and sources that try to exhaust the machine: each ends within its limits and leaves no process."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from halo_core.sandbox import Limits, Outcome, Sandbox

GCC = shutil.which("gcc")
GXX = shutil.which("g++")
MB = 1 << 20

RUN_LIMITS = Limits(
    cpu_seconds=0.5, wall_seconds=2, memory_bytes=128 * MB, file_bytes=MB, processes=16, stdout_bytes=MB
)
RUN_BOMBS = {
    "spin": ("while True: pass", "cpu"),
    "spin in C code": ("9**9**9", "cpu"),
    "backtrack": ("import re; re.match('(a+)+$', 'a' * 40 + 'b')", "cpu"),
    "sleep": ("import time; time.sleep(999)", "wall"),
    "stop itself": ("import os; os.kill(os.getpid(), 19)", "wall"),
    "ignore every signal": (
        "import signal\nfor s in range(1, 32):\n    if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\n"
        "while True: pass",
        "cpu",
    ),
    "fork": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "cpu"),
    "leave daemons": (
        "import os, time\nfor _ in range(9):\n    try:\n        if os.fork() == 0:\n            os.setsid()\n"
        "            if os.fork(): os._exit(0)\n            time.sleep(99)\n    except OSError: pass",
        None,
    ),
    "threads": (
        "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(99,)).start()\n"
        "    except RuntimeError: pass",
        "cpu",
    ),
    "memory": ("x = []\nwhile True: x.append(bytearray(1 << 20))", "memory"),
    "memory in one allocation": ("bytearray(1 << 40)", None),
    "memory by mapping": ("import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 1 << 20))", None),
    "recursion": ("import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1) + 1\nf(0)", None),
    "one large file": ("f = open('x', 'wb')\nwhile True: f.write(bytes(1 << 16))", None),
    "a sparse file": ("import os\nos.ftruncate(os.open('x', 66, 420), 1 << 40)", None),
    "many files": (
        "n = 0\nwhile True:\n    n += 1\n    open(f'x{n}', 'wb').write(bytes(1 << 19))",
        None,
    ),
    "a deep directory": ("import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')", None),
    "stdout": ("import os\nwhile True: os.write(1, bytes(1 << 16))", "output"),
    "stderr": ("import os\nwhile True: os.write(2, bytes(1 << 16))", "output"),
    "descriptors": ("import os\nwhile True: os.dup(0)", None),
    "full pipes": (
        "import os, fcntl\nwhile True:\n    r, w = os.pipe()\n    fcntl.fcntl(w, 1031, 1 << 20)\n"
        "    os.write(w, bytes(1 << 20))",
        None,
    ),
    "exec itself repeatedly": (
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-I', '-S', 'bomb.py'])",
        None,
    ),
    "dump core": ("import os\nos.abort()", None),
}


def leftovers(box: Sandbox) -> list[Path]:
    """Return the descendants of the supervisor that are not its workers."""
    found, pending = [], [(box.supervisor_pid, 0)]
    while pending:
        pid, depth = pending.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        pending += [(int(child), depth + 1) for child in children]
        found += [Path(f"/proc/{child}") for child in children if depth >= 1]
    return found


@pytest.mark.parametrize("bomb", RUN_BOMBS)
def test_a_hostile_program_ends_within_its_limits(confined: Sandbox, bomb: str) -> None:
    source, limit = RUN_BOMBS[bomb]
    with confined.workspace() as space:
        space.write("bomb.py", source.encode())
        outcome = space.run(
            [sys.executable, "-I", "-S", "bomb.py"],
            writable=True,
            limits=RUN_LIMITS,
        )
    assert outcome.cpu_seconds < 10 * RUN_LIMITS.cpu_seconds  # without the limit: minutes, or no end
    assert len(outcome.stdout) <= MB
    if limit is not None and not outcome.inconclusive:
        assert outcome.limit == limit
    assert outcome.limit or not outcome.ok or bomb in ("leave daemons", "a deep directory")
    assert leftovers(confined) == []


COMPILE_LIMITS = Limits(cpu_seconds=1, memory_bytes=512 * MB, file_bytes=16 * MB, stderr_bytes=64 << 10)
C_BOMBS = {
    "include an endless device": '#include "/dev/zero"',
    "include random bytes": '#include "/dev/urandom"',
    "include standard input": '#include "/dev/stdin"',
    "include itself": '#include "bomb.c"',
    "include itself twice": '#include "bomb.c"\n#include "bomb.c"',
    "a billion laughs": "#define A0 x x x x x x x x x x\n"
    + "".join(f"#define A{n} {' '.join([f'A{n - 1}'] * 10)}\n" for n in range(1, 10))
    + "int x = A9;",
    "a large array": "char x[2147483647] = {1};",
    "a larger array": "char x[1L << 40] = {1};",
    "assembler repetition": 'asm(".rept 2000000000\\n.byte 1\\n.endr");',
    "assembler fill": 'asm(".fill 1 << 40");',
    "assembler includes a device": 'asm(".incbin \\"/dev/zero\\"");',
    "parentheses": "int x = " + "(" * 200_000 + "1" + ")" * 200_000 + ";",
    "braces": "int main(){" + "{" * 200_000 + "}" * 200_000 + "}",
    "a long switch": "int f(int x){switch(x){"
    + "".join(f"case {7 * n}: return x*{n};" for n in range(60_000))
    + "}return 0;}",
    "many errors": "int main(){\n" + "x;\n" * 100_000 + "}",
    "many declarations": "".join(f"int f{n}(int x){{return x+{n};}}\n" for n in range(60_000)),
    "deep pointers": "int " + "*" * 200_000 + "p;",
}
CXX_BOMBS = {
    "template recursion": "template<int n> struct T { T<n+1> t; }; T<0> x;",
    "exponential templates": "template<int n, class A> struct T { T<n-1, T<n, A>> a; T<n-1, A*> b; };\n"
    "template<class A> struct T<0, A> {}; T<60, int> x;",
    "endless constexpr": 'constexpr long f(){ long n = 0; while (true) ++n; return n; } static_assert(f(), "");',
    "exponential constexpr": "constexpr int f(int n){ return n < 2 ? n : f(n-1) + f(n-2); } int x[f(60)];",
    "overloads": "struct A{};"
    + "".join(f"A operator+(A, int(*)[{n + 1}]);" for n in range(2000))
    + "auto x = A{}"
    + " + nullptr" * 500
    + ";",
}


def compile_bomb(box: Sandbox, compiler: str, name: str, source: str) -> tuple[Outcome, bool]:
    with box.workspace() as space:
        space.write(name, source.encode())
        outcome = space.run(
            [
                compiler,
                "-O1",
                "-ftemplate-depth=100000" if name.endswith("cc") else "-O1",
                "-o",
                "a.out",
                name,
            ],
            limits=COMPILE_LIMITS,
            writable=True,
            toolchain=True,
        )
        try:
            leaked = b"root:" in space.read("a.out", max_bytes=64 * MB)
        except FileNotFoundError:
            leaked = False
    return outcome, leaked


@pytest.mark.skipif(GCC is None, reason="needs gcc")
@pytest.mark.parametrize("bomb", [*C_BOMBS, *CXX_BOMBS])
def test_a_hostile_source_ends_within_its_limits(best: Sandbox, bomb: str) -> None:
    compiler, name = (GCC, "bomb.c") if bomb in C_BOMBS else (GXX, "bomb.cc")
    if compiler is None:
        pytest.skip("needs g++")
    outcome, _ = compile_bomb(best, compiler, name, (C_BOMBS | CXX_BOMBS)[bomb])
    assert outcome.cpu_seconds < 10 * COMPILE_LIMITS.cpu_seconds
    assert len(outcome.stderr) <= COMPILE_LIMITS.stderr_bytes
    assert leftovers(best) == []


@pytest.mark.skipif(GCC is None, reason="needs gcc")
@pytest.mark.parametrize(
    "source",
    [
        '#include "/etc/passwd"',
        '#define f(x) #x\nconst char *s = f(\n#include "/etc/passwd"\n);',
        'asm(".data\\n.incbin \\"/etc/passwd\\"");',
        "#if __has_include(</etc/passwd>)\n#include </etc/passwd>\n#endif",
    ],
)
def test_a_compiler_does_not_leak_files(confined: Sandbox, source: str) -> None:
    assert GCC is not None
    outcome, leaked = compile_bomb(confined, GCC, "bomb.c", source + "\nint main(void){return 0;}")
    assert b"root:" not in outcome.stderr
    assert not leaked


def memory_of(box: Sandbox, field: str) -> int:
    """Return the sum of a field of /proc/PID/status over the supervisor and its workers, in bytes."""
    supervisor = box.supervisor_pid
    pids = [supervisor, *map(int, Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split())]
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    return total


def test_400_mb_of_output_cost_the_supervisor_at_most_2_mb(confined: Sandbox) -> None:
    limits = Limits(cpu_seconds=20)
    for stream in (1, 2):
        confined.run(["/bin/true"])
        before = memory_of(confined, "VmHWM")
        program = f"import os\nfor _ in range(400): os.write({stream}, bytes(1 << 20))"
        outcome = confined.run([sys.executable, "-I", "-S", "-c", program], limits=limits)
        assert outcome.limit == "output"
        assert memory_of(confined, "VmHWM") - before <= 2 * MB
    assert leftovers(confined) == []
