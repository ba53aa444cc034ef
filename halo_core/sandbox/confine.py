"""The confinement of a program in each tier: prepared by the worker, entered by the child process.

none      a new session, the fixed environment, closed descriptors, the deadlines
weak      also resource limits, no new privileges, and under root a separate user
standard  also Landlock and seccomp
strong    also namespaces, a separate root directory and a tmpfs
"""

from __future__ import annotations

import math
import os
import pwd
import resource
import signal
import stat
import sys

from halo_core.sandbox import cgroups, landlock, linux, namespaces, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from halo_core.sandbox.box import Box
    from halo_core.sandbox.cgroups import Group
    from halo_core.sandbox.wire import Message

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Trees of programs and libraries that every user of the machine may read."""
FILES = ("/etc/ld.so.cache", "/etc/alternatives")
DEVICES = (("/dev/null", landlock.READ_FILE | landlock.WRITE_FILE), ("/dev/urandom", landlock.READ_FILE))
PYTHON = os.path.realpath(sys.base_prefix)
_LOADERS = ("/lib", "/lib64", "/usr/lib", f"/lib/{os.uname().machine}-linux-gnu")
_STACK = 64 << 20
_UNITS = {"t": " seconds", "n": ""}
_TOOLCHAIN_PROCESSES = 64
_MAX_RULESETS = 64


class Confinement:
    """The confinement of one box."""

    def __init__(self, tier: str, box: Box, *, abi: int, group: Group | None = None) -> None:
        self.tier = tier
        self.box = box
        self.group = group
        self.abi = abi
        self.restricted = tier in ("standard", "strong")
        self._rulesets: dict[object, landlock.Ruleset] = {}
        self._filters: dict[object, seccomp.Filter] = {}
        self._loaders = _loaders()
        self._exposed: list[str] = []

    def set_up(self) -> None:
        """Do the one-time setup: in tier strong, build the root directory."""
        if self.tier == "strong":
            namespaces.build_root(self.box, (*SYSTEM, *FILES, *(path for path, _ in DEVICES), PYTHON))

    def prepare(self, request: Message) -> Entry:
        """Prepare the confinement of a child process for `request`."""
        program, trees, files = self._program(request)
        if self.group:
            self.group.limit(request["memory_bytes"], _processes(request))
        readable = tuple(request["readable"])
        if self.tier == "strong":
            # Programs find their own links in /proc, but Landlock keeps them from opening anything there. The worker's
            # functions need none, and DuckDB ends the process if it can see such a file but not open it.
            proc = () if request["main"] else ("/proc",)
            for path in (*trees, *files, *readable, *proc):
                self._exposed += namespaces.expose(self.box.root, path)
            if request["writable"]:
                namespaces.resize(self.box, 4 * request["file_bytes"])
        spawn = request["toolchain"] or request["processes"] > 1
        kind = (request["writable"], request["toolchain"], spawn)
        if not self.restricted:
            return Entry(self, program, None, None)
        may_need = self.tier == "standard" and self.box.uid is not None
        capabilities = _needed_capabilities(*trees, *files, *readable) if may_need else 0
        if kind not in self._filters:
            self._filters[kind] = seccomp.Filter(
                writable=kind[0], toolchain=kind[1], spawn=kind[2], landlock_abi=self.abi
            )
        rules = self._rules(kind, trees, files, readable)
        if self.tier == "standard" and request["main"] == "serving":
            return Entry(self, program, None, self._filters[kind], capabilities, rules)
        key = (kind, trees, files, readable, *map(_identity, (*trees, *files, *readable)))
        if key not in self._rulesets:
            if len(self._rulesets) >= _MAX_RULESETS:
                self._rulesets.pop(next(iter(self._rulesets))).close()
            self._rulesets[key] = landlock.Ruleset(self.abi, rules)
        return Entry(self, program, self._rulesets[key], self._filters[kind], capabilities)

    def _program(self, request: Message) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Return the program to execute, and the trees and files outside the box that it needs to start."""
        if request["main"]:  # one of the worker's own functions
            return "", (PYTHON,), ()
        name: str = request["argv"][0]
        if not name.startswith("/"):
            return name, (), _shebang_interpreter(f"{self.box.worker_path}/{name}", self.box.fd)
        real = os.path.realpath(name)
        folder = os.path.dirname(real)
        prefix = os.path.dirname(folder) if os.path.basename(folder) == "bin" else folder
        settings = f"{os.path.dirname(os.path.dirname(name))}/pyvenv.cfg"
        wanted = request["toolchain"] or prefix == PYTHON
        if wanted and not _is_below(real, *SYSTEM) and not _exposes_home(prefix):
            return real, (prefix,), (name, settings)
        return real, (), (real, *_shebang_interpreter(real))

    def _rules(
        self,
        kind: tuple[bool, bool, bool],
        trees: tuple[str, ...],
        files: tuple[str, ...],
        readable: tuple[str, ...],
    ) -> list[tuple[str, int]]:
        writable, toolchain, spawn = kind
        run = landlock.EXECUTE
        system = landlock.READ | (run if spawn else 0)
        box_rights = landlock.READ | (landlock.WRITE if writable else 0) | (0 if toolchain else run)
        root = self.box.root
        return [
            *((root + tree, system) for tree in (*SYSTEM, *FILES)),
            *((root + path, rights) for path, rights in DEVICES),
            *((root + path, landlock.READ_FILE | run) for path in (*self._loaders, *files)),
            *((root + tree, landlock.READ | run) for tree in trees),
            *((root + path, landlock.READ) for path in readable),
            (self.box.worker_path, box_rights),
        ]

    def clear(self) -> None:
        """Restore the box to its initial state for the next session."""
        while self._exposed:
            namespaces.hide(self.box.root, self._exposed.pop())
        self.box.wipe()

    def sweep(self) -> None:
        """Kill and reap all processes that this worker's programs left."""
        if self.tier == "strong":
            namespaces.kill_everything()
        elif linux.has_children():
            if self.group:
                self.group.kill()
            linux.kill_descendants()


class Entry:
    """The confinement steps of one child process. Each drops privileges that the later steps do not need."""

    def __init__(
        self,
        confinement: Confinement,
        program: str,
        ruleset: landlock.Ruleset | None,
        filter: seccomp.Filter | None,
        capabilities: int = 0,
        rules: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.program = program
        """Path of the executable as seen by the child; empty for one of the worker's own functions."""
        self.in_box = not program.startswith("/")
        """The executable lies in the box, so the sample is at fault if it cannot be executed."""
        self._confinement = confinement
        self._ruleset = ruleset
        self._filter = filter
        self._capabilities = capabilities
        self._rules = rules
        """Rules of a ruleset that the process makes itself, because it also names its own files in /proc."""

    def enter(self, request: Message) -> None:
        """Confine this process. Descriptors from 3 up are still open afterwards."""
        confinement, box = self._confinement, self._confinement.box
        if confinement.group:
            confinement.group.join()
        _prefer_for_oom_kill()
        os.fchdir(box.fd)
        if self._rules:
            own = ((path, landlock.READ_FILE) for path in cgroups.limit_files())
            self._ruleset = landlock.Ruleset(confinement.abi, (*self._rules, *own))
        if box.root:
            os.chroot(box.root)
        if confinement.tier != "none":
            _switch_user(box.uid, self._capabilities)
            set_limits(request, confinement)
            linux.no_new_privileges()
        linux.die_with_parent(signal.SIGKILL)
        linux.fix_address_space()
        if self._ruleset:
            self._ruleset.restrict_self()

    def seal(self) -> None:
        """Block all system calls that a program does not need. This is the last step."""
        if self._rules:
            cgroups.keep_readable()
        if self._filter:
            self._filter.load()


def _prefer_for_oom_kill() -> None:
    """Make the kernel kill this process rather than the trainer when memory runs out."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    os.write(fd, b"1000")
    os.close(fd)


def _switch_user(uid: int | None, keep: int) -> None:
    """Change to the box's user and drop every capability except `keep`."""
    if uid is not None:
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    linux.set_capabilities(keep)


def set_limits(request: Message, confinement: Confinement) -> None:
    """Set this process's resource limits, soft and hard."""
    for _, what, soft, hard in _needed(request):
        resource.setrlimit(what, (soft, hard))
    for what, most in (
        (resource.RLIMIT_CORE, 1),  # 0 would still start a handler that core_pattern pipes to
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 64),
    ):
        inherited = resource.getrlimit(what)[1]
        value = most if inherited == resource.RLIM_INFINITY else min(most, inherited)
        resource.setrlimit(what, (value, value))
    processes = _process_limit(request, confinement)
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def shortage(request: Message) -> str:
    """Return which limit that halo was started with is lower than a program's; empty if none is.

    No process may raise such a limit, and with a lower one right programs would fail.
    """
    for flag, what, _, needed in _needed(request):
        inherited = resource.getrlimit(what)[1]
        if inherited != resource.RLIM_INFINITY and inherited < needed:
            unit = _UNITS.get(flag, " bytes")
            return f"`ulimit -{flag}` was set to {inherited}{unit} before halo started; programs need {needed}{unit}"
    return ""


def _needed(request: Message) -> tuple[tuple[str, int, int, int], ...]:
    """Return the limits that programs are judged by: the flag of ulimit, resource, soft limit, hard limit."""
    seconds = math.ceil(request["cpu_seconds"]) + 1
    memory, file, files = request["memory_bytes"], request["file_bytes"], request["open_files"]
    return (
        ("t", resource.RLIMIT_CPU, seconds, seconds + 1),
        ("v", resource.RLIMIT_AS, memory, memory),
        ("f", resource.RLIMIT_FSIZE, file, file),
        ("n", resource.RLIMIT_NOFILE, files, files),
        ("s", resource.RLIMIT_STACK, _STACK, _STACK),
    )


def _processes(request: Message) -> int:
    """Return the maximum number of processes and threads that a run may have at once."""
    return max(int(request["processes"]), _TOOLCHAIN_PROCESSES if request["toolchain"] else 0)


def _process_limit(request: Message, confinement: Confinement) -> int:
    """Return the value of RLIMIT_NPROC, 0 for unlimited. The kernel counts all threads of the user."""
    wanted = _processes(request)
    if confinement.box.uid is not None:
        return wanted
    if confinement.tier == "strong":  # counted within the user namespace, which includes the worker
        return wanted + 1
    if request["processes"] == 1:  # seccomp blocks forking in the restricted tiers
        return 0 if confinement.restricted else 1
    return wanted + _threads_of_user(os.getuid())


def _shebang_interpreter(path: str, box: int | None = None) -> tuple[str, ...]:
    """Return the interpreter named in the first line of the program at `path`, if there is one.

    The program may be a model's, so an interpreter that is not part of the system is ignored. A program directly
    in `box` is also made executable, because the filter makes a linker's chmod a no-op.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return ()
        if box is not None and os.path.samestat(os.stat(os.path.dirname(path)), os.fstat(box)):
            os.fchmod(fd, 0o755)
        line = os.read(fd, 256).partition(b"\n")[0]
    finally:
        os.close(fd)
    words = line[2:].split() if line.startswith(b"#!") else []
    named = os.path.realpath(os.fsdecode(words[0])) if words else ""
    return (named,) if _is_below(named, *SYSTEM, PYTHON) else ()


def _identity(path: str) -> tuple[int, int] | None:
    """Return the device and inode of `path`: a ruleset refers to them, not to the name."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _threads_of_user(uid: int) -> int:
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid:
                    total += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return total


def _loaders() -> tuple[str, ...]:
    """Return the dynamic loaders, which the kernel executes for every dynamically linked program."""
    found = set()
    for folder in _LOADERS:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found |= {os.path.realpath(f"{folder}/{n}") for n in names if n.startswith("ld-") and ".so" in n}
    return tuple(sorted(found))


def _needed_capabilities(*paths: str) -> int:
    """Return CAP_DAC_READ_SEARCH if only root can reach one of `paths` (for example below /root), else 0.

    Landlock still limits which files can be read.
    """
    for path in paths:
        while path != "/":
            path = os.path.dirname(path)
            try:
                if not os.stat(path).st_mode & 0o001:
                    return 1 << linux.CAP_DAC_READ_SEARCH
            except OSError:
                break
    return 0


def _is_below(path: str, *trees: str) -> bool:
    return any(path.startswith(tree + "/") for tree in trees)


def _exposes_home(prefix: str) -> bool:
    """Return whether `prefix` is or contains a home directory, and so must not be readable as a whole."""
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = "/root"
    return prefix in ("/", "/home", "/root", home) or _is_below(home, prefix)
