"""What stands around a program in each tier, made ready by the worker and entered by the child.

none      its own session, the fixed environment, closed descriptors, the deadlines
weak      with them resource limits, no new privileges, and as root a user of its own
standard  with them Landlock and seccomp
strong    with them namespaces, a root directory of its own and a tmpfs
"""

from __future__ import annotations

import math
import os
import pwd
import resource
import signal
import stat
import sys

from halo_core.sandbox import landlock, linux, namespaces, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from halo_core.sandbox.box import Box
    from halo_core.sandbox.cgroups import Group
    from halo_core.sandbox.wire import Message

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Trees of programs and libraries, the same for every user of the machine."""
FILES = ("/etc/ld.so.cache", "/etc/alternatives")
DEVICES = (("/dev/null", landlock.READ_FILE | landlock.WRITE_FILE), ("/dev/urandom", landlock.READ_FILE))
PYTHON = os.path.realpath(sys.base_prefix)
_LOADERS = ("/lib", "/lib64", "/usr/lib", f"/lib/{os.uname().machine}-linux-gnu")
_STACK = 64 << 20
_TOOLCHAIN_PROCESSES = 64
_CACHED = 64


class Confinement:
    """The walls of one box."""

    def __init__(self, tier: str, home: Box, *, abi: int, group: Group | None = None) -> None:
        self.tier = tier
        self.home = home
        self.group = group
        self.abi = abi
        self.walled = tier in ("standard", "strong")
        self._rulesets: dict[object, landlock.Ruleset] = {}
        self._filters: dict[object, seccomp.Filter] = {}
        self._loaders = _loaders()
        self._exposed: list[str] = []
        self._keep = _needed_capabilities() if home.uid is not None and tier == "standard" else 0

    def furnish(self) -> None:
        """Do what is done once: in tier strong, build the root directory."""
        if self.tier == "strong":
            namespaces.furnish(self.home, (*SYSTEM, *FILES, *(path for path, _ in DEVICES), PYTHON))

    def prepare(self, request: Message) -> Entry:
        """Get everything ready that a child will need for `request`."""
        program, trees, files = self._program(request)
        if self.group:
            self.group.limit(request["memory_bytes"], _processes(request))
        readable = tuple(request["readable"])
        if self.tier == "strong":
            for path in (*trees, *files, *readable):
                if namespaces.expose(self.home.root, path):
                    self._exposed.append(path)
            if request["writable"]:
                namespaces.resize(self.home, 4 * request["file_bytes"])
        spawn = request["toolchain"] or request["processes"] > 1
        kind = (request["writable"], request["toolchain"], spawn)
        if not self.walled:
            return Entry(self, program, None, None)
        key = (kind, trees, files, readable, *map(_identity, (*trees, *files, *readable)))
        if key not in self._rulesets:
            if len(self._rulesets) >= _CACHED:
                self._rulesets.pop(next(iter(self._rulesets))).close()
            self._rulesets[key] = landlock.Ruleset(self.abi, self._rules(kind, trees, files, readable))
        if kind not in self._filters:
            self._filters[kind] = seccomp.Filter(
                writable=kind[0], toolchain=kind[1], spawn=kind[2], landlock_abi=self.abi
            )
        return Entry(self, program, self._rulesets[key], self._filters[kind])

    def _program(self, request: Message) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Return what to execute, and the trees and files outside the box that it needs for that."""
        if request["main"]:  # a function of the worker's own
            return "", (PYTHON,), ()
        name: str = request["argv"][0]
        if not name.startswith("/"):
            return name, (), _interpreter(f"{self.home.inside}/{name}", self.home.fd)
        real = os.path.realpath(name)
        folder = os.path.dirname(real)
        prefix = os.path.dirname(folder) if os.path.basename(folder) == "bin" else folder
        settings = f"{os.path.dirname(os.path.dirname(name))}/pyvenv.cfg"
        wanted = request["toolchain"] or prefix == PYTHON
        if wanted and not _beneath(real, *SYSTEM) and not _precious(prefix):
            return real, (prefix,), (name, settings)
        return real, (), (real, *_interpreter(real))

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
        box = landlock.READ | (landlock.WRITE if writable else 0) | (0 if toolchain else run)
        root = self.home.root
        return [
            *((root + tree, system) for tree in (*SYSTEM, *FILES)),
            *((root + path, rights) for path, rights in DEVICES),
            *((root + path, landlock.READ_FILE | run) for path in (*self._loaders, *files)),
            *((root + tree, landlock.READ | run) for tree in trees),
            *((root + path, landlock.READ) for path in readable),
            (self.home.inside, box),
        ]

    def clear(self) -> None:
        """Make the box as good as new for the next session."""
        while self._exposed:
            namespaces.hide(self.home.root, self._exposed.pop())
        self.home.wipe()

    def sweep(self) -> None:
        """Kill and reap everything that this worker's programs left behind."""
        if self.tier == "strong":
            namespaces.kill_everything()
        elif linux.has_children():
            if self.group:
                self.group.kill()
            linux.kill_descendants()


class Entry:
    """The way in for one child: steps that each give something up, in an order that lets the next succeed."""

    def __init__(
        self,
        walls: Confinement,
        program: str,
        ruleset: landlock.Ruleset | None,
        filter: seccomp.Filter | None,
    ) -> None:
        self.program = program
        """What to execute, as seen from inside."""
        self.owned = not program.startswith("/")
        """Whether it lies in the box, so that its being no program is the sample's fault."""
        self._walls = walls
        self._ruleset = ruleset
        self._filter = filter

    def enter(self, request: Message) -> None:
        """Confine this process. Descriptors from 3 up are still open afterwards."""
        walls, home = self._walls, self._walls.home
        if walls.group:
            walls.group.join()
        _volunteer_for_the_oom_killer()
        os.fchdir(home.fd)
        if home.root:
            os.chroot(home.root)
        if walls.tier != "none":
            _become(home.uid, walls._keep)
            set_limits(request, walls)
            linux.no_new_privileges()
        linux.die_with_parent(signal.SIGKILL)
        linux.fix_address_space()
        if self._ruleset:
            self._ruleset.restrict_self()

    def seal(self) -> None:
        """Take away all system calls but those that a program needs: the last step."""
        if self._filter:
            self._filter.load()


def _volunteer_for_the_oom_killer() -> None:
    """If memory runs out, let the kernel end this program rather than the trainer."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    os.write(fd, b"1000")
    os.close(fd)


def _become(uid: int | None, keep: int) -> None:
    """Change to the box's own user and give up every capability but `keep`."""
    if uid is not None:
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    linux.set_capabilities(keep)


def set_limits(request: Message, walls: Confinement) -> None:
    """Set this process's resource limits, soft and hard alike."""
    seconds = math.ceil(request["cpu_seconds"]) + 1
    for what, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, request["memory_bytes"], request["memory_bytes"]),
        (resource.RLIMIT_FSIZE, request["file_bytes"], request["file_bytes"]),
        (resource.RLIMIT_NOFILE, request["open_files"], request["open_files"]),
        (resource.RLIMIT_STACK, _STACK, _STACK),
        (resource.RLIMIT_CORE, 1, 1),  # 0 would still start a handler that core_pattern pipes to
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_SIGPENDING, 64, 64),
    ):
        resource.setrlimit(what, (soft, hard))
    processes = _process_limit(request, walls)
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def _processes(request: Message) -> int:
    """Return how many processes and threads a run may have at once."""
    return max(int(request["processes"]), _TOOLCHAIN_PROCESSES if request["toolchain"] else 0)


def _process_limit(request: Message, walls: Confinement) -> int:
    """Return what RLIMIT_NPROC must be, 0 for unlimited. It counts all threads that the user has."""
    wanted = _processes(request)
    if walls.home.uid is not None:
        return wanted
    if walls.tier == "strong":  # counted within the user namespace, where the worker is too
        return wanted + 1
    if request["processes"] == 1:  # otherwise seccomp sees to it
        return 0 if walls.walled else 1
    return wanted + _threads_of_user(os.getuid())


def _interpreter(path: str, box: int | None = None) -> tuple[str, ...]:
    """Return the interpreter that the first line of the program at `path` names, if it does.

    The program may be a model's: what it names is of no account unless it is one of the system's. A program
    directly in the box is made executable on the way: the filter lets linkers only pretend to.
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
    return (named,) if _beneath(named, *SYSTEM, PYTHON) else ()


def _identity(path: str) -> tuple[int, int] | None:
    """Return what a path stands for at present: a ruleset holds on to that, not to the name."""
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
    """Return the dynamic loaders, which the kernel executes along with every dynamic program."""
    found = set()
    for folder in _LOADERS:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found |= {os.path.realpath(f"{folder}/{n}") for n in names if n.startswith("ld-") and ".so" in n}
    return tuple(sorted(found))


def _needed_capabilities() -> int:
    """Return CAP_DAC_READ_SEARCH if Python lies where only root may go (as beneath /root).

    Landlock still confines what can be read.
    """
    path = PYTHON
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return 1 << linux.CAP_DAC_READ_SEARCH
        path = os.path.dirname(path)
    return 0


def _beneath(path: str, *trees: str) -> bool:
    return any(path.startswith(tree + "/") for tree in trees)


def _precious(prefix: str) -> bool:
    """Whether `prefix` is, or holds, somebody's home, and so must not be opened as a whole."""
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = "/root"
    return prefix in ("/", "/home", "/root", home) or _beneath(home, prefix)
