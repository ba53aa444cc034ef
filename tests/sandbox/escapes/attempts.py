"""Escape attempts, one per run: `attempts.py NAME TARGETS`. Harmless and self-contained.

A successful attempt returns; a blocked attempt raises `OSError`, or the process dies. TARGETS describes the files,
sockets and processes that `campaign.py` set up outside and that no sample may touch.
"""

# ruff: noqa: PTH101, PTH104, PTH108, PTH116, PTH208, PTH211 - the system calls are the point
from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Targets = dict[str, Any]
Attempt = Callable[[Targets], object]

ATTEMPTS: dict[str, Attempt] = {}
X86 = platform.machine() == "x86_64"


def attempt(function: Attempt) -> Attempt:
    ATTEMPTS[function.__name__] = function
    return function


def call(x86: int, arm: int, *args: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result: int = libc.syscall(ctypes.c_long(x86 if X86 else arm), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def blocked(reason: str) -> OSError:
    return OSError(reason)


def control(t: Targets) -> None:
    """An action that every program may take: if it is blocked, the suite itself is broken."""
    call(39, 172)
    Path(__file__).read_bytes()


# Files


@attempt
def read_a_file(t: Targets) -> None:
    Path(t["canary"]).read_bytes()


@attempt
def write_a_file(t: Targets) -> None:
    os.write(os.open(t["canary"], os.O_WRONLY), b"x")


@attempt
def append_to_a_file(t: Targets) -> None:
    os.write(os.open(t["canary"], os.O_WRONLY | os.O_APPEND), b"x")


@attempt
def truncate_a_file(t: Targets) -> None:
    os.truncate(t["canary"], 1)


@attempt
def truncate_while_opening_to_read(t: Targets) -> None:
    os.open(t["canary"], os.O_RDONLY | os.O_TRUNC)


@attempt
def change_the_mode_of_a_file(t: Targets) -> None:
    os.chmod(t["canary"], 0o644)
    if os.stat(t["canary"]).st_mode & 0o777 != 0o644:
        raise blocked("no effect")


@attempt
def change_the_owner_of_a_file(t: Targets) -> None:
    os.chown(t["canary"], os.getuid(), os.getgid())


@attempt
def change_the_times_of_a_file(t: Targets) -> None:
    os.utime(t["canary"], (1, 1))
    if os.stat(t["canary"]).st_mtime != 1:
        raise blocked("no effect")


@attempt
def change_the_attributes_of_a_file(t: Targets) -> None:
    os.setxattr(t["canary"], "user.halo", b"x")


@attempt
def delete_a_file(t: Targets) -> None:
    os.unlink(t["doomed"])


@attempt
def rename_a_file(t: Targets) -> None:
    os.rename(t["canary"], t["canary"] + ".moved")
    os.rename(t["canary"] + ".moved", t["canary"])


@attempt
def link_a_file(t: Targets) -> None:
    os.link(t["canary"], t["directory"] + "/link")
    os.unlink(t["directory"] + "/link")


@attempt
def read_through_a_symbolic_link(t: Targets) -> None:
    os.symlink(t["canary"], "link")
    Path("link").read_bytes()


@attempt
def create_a_file_outside(t: Targets) -> None:
    name = t["directory"] + "/new"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    os.unlink(name)


@attempt
def create_a_file_in_tmp(t: Targets) -> None:
    name = f"/tmp/halo-escape-{os.getpid()}"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    os.unlink(name)


@attempt
def create_a_file_in_shared_memory(t: Targets) -> None:
    name = f"/dev/shm/halo-escape-{os.getpid()}"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    os.unlink(name)


@attempt
def create_an_unnamed_file(t: Targets) -> None:
    os.open(t["directory"], os.O_TMPFILE | os.O_RDWR)


@attempt
def make_a_device_or_pipe(t: Targets) -> None:
    os.mkfifo("/tmp/halo-escape-fifo")
    os.unlink("/tmp/halo-escape-fifo")


@attempt
def leave_a_set_user_id_file(t: Targets) -> None:
    name = t.get("scratch", ".") + "/suid"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o755))
    os.chmod(name, 0o4755)
    if not os.stat(name).st_mode & 0o4000:
        raise blocked("no effect")


@attempt
def read_the_user_list(t: Targets) -> None:
    Path("/etc/passwd").read_bytes()


@attempt
def climb_out_by_dots(t: Targets) -> None:
    Path("../" * 20 + "etc/passwd").read_bytes()


@attempt
def list_the_root_directory(t: Targets) -> None:
    os.listdir("/")


@attempt
def list_the_home_directories(t: Targets) -> None:
    os.listdir("/home")


@attempt
def open_a_file_by_handle(t: Targets) -> None:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    call(303, 264, -100, t["canary"].encode(), ctypes.byref(handle), ctypes.byref(mount), 0)
    directory = os.open(t["directory"], os.O_RDONLY)
    call(304, 265, directory, ctypes.byref(handle), os.O_RDONLY)


@attempt
def watch_a_directory(t: Targets) -> None:
    fd = call(294, 26, 0)
    call(254, 27, fd, t["directory"].encode(), 0x100)


# The data of the harness


@attempt
def find_a_secret_in_the_environment(t: Targets) -> None:
    if "HALO_ESCAPE_SECRET" not in os.environ:
        raise blocked("not there")


@attempt
def read_from_an_inherited_descriptor(t: Targets) -> None:
    os.pread(t["descriptor"], 1, 0)


@attempt
def read_the_environment_of_the_harness(t: Targets) -> None:
    Path(f"/proc/{t['pid']}/environ").read_bytes()


@attempt
def read_the_memory_of_the_harness(t: Targets) -> None:
    os.open(f"/proc/{t['pid']}/mem", os.O_RDONLY)


@attempt
def read_the_command_line_of_the_harness(t: Targets) -> None:
    Path(f"/proc/{t['pid']}/cmdline").read_bytes()


@attempt
def list_the_processes(t: Targets) -> None:
    os.listdir("/proc")


@attempt
def read_kernel_settings(t: Targets) -> None:
    Path("/proc/sys/kernel/osrelease").read_bytes()


@attempt
def read_about_the_hardware(t: Targets) -> None:
    os.listdir("/sys/class")


# Processes


@attempt
def signal_the_harness(t: Targets) -> None:
    os.kill(t["pid"], 0)


@attempt
def signal_the_parent(t: Targets) -> None:
    if not os.getppid():
        raise blocked("no visible parent")
    os.kill(os.getppid(), 0)


@attempt
def signal_a_thread_of_the_harness(t: Targets) -> None:
    call(234, 131, t["pid"], t["pid"], 0)


@attempt
def signal_a_group_of_processes(t: Targets) -> None:
    os.killpg(t["pid"], 0)


@attempt
def signal_through_a_descriptor(t: Targets) -> None:
    signal.pidfd_send_signal(os.pidfd_open(t["pid"]), 0)


@attempt
def queue_a_signal(t: Targets) -> None:
    info = ctypes.create_string_buffer(struct.pack("iii", signal.SIGCONT, 0, -1), 128)
    call(129, 138, t["pid"], signal.SIGCONT, ctypes.byref(info))


@attempt
def own_a_pipe_for_the_harness(t: Targets) -> None:
    fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, t["pid"])


@attempt
def steal_a_descriptor(t: Targets) -> None:
    call(438, 438, os.pidfd_open(t["pid"]), 0, 0)


@attempt
def trace_a_process(t: Targets) -> None:
    call(101, 117, 0x4206, t["pid"], 0, 0)  # PTRACE_SEIZE


@attempt
def read_the_memory_of_a_process(t: Targets) -> None:
    local = ctypes.create_string_buffer(8)
    here = ctypes.create_string_buffer(struct.pack("PN", ctypes.addressof(local), 8))
    there = ctypes.create_string_buffer(struct.pack("PN", t["address"], 8))
    call(310, 270, t["pid"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0)


@attempt
def compare_with_a_process(t: Targets) -> None:
    call(312, 272, os.getpid(), t["pid"], 1, 0, 0)


@attempt
def read_the_limits_of_a_process(t: Targets) -> None:
    resource.prlimit(t["pid"], resource.RLIMIT_CPU)


@attempt
def change_the_priority_of_a_process(t: Targets) -> None:
    os.setpriority(os.PRIO_PROCESS, t["pid"], 1)


@attempt
def change_the_processors_of_a_process(t: Targets) -> None:
    os.sched_setaffinity(t["pid"], os.sched_getaffinity(0))


@attempt
def raise_a_limit(t: Targets) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@attempt
def gain_privileges_by_exec(t: Targets) -> None:
    if call(157, 167, 39, 0, 0, 0, 0):  # PR_GET_NO_NEW_PRIVS
        raise blocked("no new privileges")


@attempt
def refuse_to_die_with_the_parent(t: Targets) -> None:
    call(157, 167, 1, 0, 0, 0, 0)


@attempt
def fork_a_process(t: Targets) -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


@attempt
def leave_a_daemon(t: Targets) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 64)
            os.execv("/bin/sleep", ["/bin/sleep", t["mark"]])
        os._exit(0)
    os.wait()
    time.sleep(0.05)


# Network


@attempt
def connect_by_tcp(t: Targets) -> None:
    socket.create_connection(("127.0.0.1", t["tcp"]), timeout=1)


@attempt
def listen_by_tcp(t: Targets) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()


@attempt
def send_by_udp(t: Targets) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", t["udp"]))


@attempt
def connect_by_unix_path(t: Targets) -> None:
    socket.socket(socket.AF_UNIX).connect(t["unix"])


@attempt
def connect_by_abstract_name(t: Targets) -> None:
    socket.socket(socket.AF_UNIX).connect("\0" + t["abstract"])


@attempt
def talk_to_the_kernel_by_netlink(t: Targets) -> None:
    socket.if_nameindex()
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))


@attempt
def open_a_raw_socket(t: Targets) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attempt
def open_a_vsock(t: Targets) -> None:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


@attempt
def open_a_crypto_socket(t: Targets) -> None:
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)


# Shared memory, queues, keys


@attempt
def attach_shared_memory(t: Targets) -> None:
    call(30, 196, t["shm"], 0, 0)


@attempt
def make_shared_memory(t: Targets) -> None:
    segment = call(29, 194, 0, 4096, 0o1600)
    call(31, 195, segment, 0, 0)


@attempt
def make_a_message_queue(t: Targets) -> None:
    queue = call(68, 186, 0, 0o1600)
    call(71, 187, queue, 0, 0)


@attempt
def make_a_semaphore(t: Targets) -> None:
    semaphore = call(64, 190, 0, 1, 0o1600)
    call(66, 191, semaphore, 0, 0, 0)


@attempt
def open_a_posix_queue(t: Targets) -> None:
    call(240, 180, b"halo-escape", os.O_CREAT | os.O_RDWR, 0o600, 0)
    call(241, 181, b"halo-escape")


@attempt
def keep_a_key_in_the_kernel(t: Targets) -> None:
    call(248, 217, b"user", b"halo-escape", b"x", 1, -2)  # process keyring


@attempt
def join_a_session_of_keys(t: Targets) -> None:
    call(250, 219, 1, 0, 0, 0, 0)


@attempt
def hide_memory_in_a_file(t: Targets) -> None:
    os.memfd_create("halo")


# Rare kernel interfaces


@attempt
def make_a_user_namespace(t: Targets) -> None:
    call(272, 97, 0x10000000)


@attempt
def fork_into_a_user_namespace(t: Targets) -> None:
    pid = call(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


@attempt
def enter_the_namespace_of_the_harness(t: Targets) -> None:
    call(308, 268, os.open(f"/proc/{t['pid']}/ns/net", os.O_RDONLY), 0)


@attempt
def mount_something(t: Targets) -> None:
    call(165, 40, b"tmpfs", t["directory"].encode(), b"tmpfs", 0, 0)
    call(166, 39, t["directory"].encode(), 0)


@attempt
def open_a_tree_of_mounts(t: Targets) -> None:
    call(428, 428, -100, b"/", 1)


@attempt
def change_the_root(t: Targets) -> None:
    os.chroot(t["directory"])


@attempt
def set_up_io_uring(t: Targets) -> None:
    call(425, 425, 1, ctypes.create_string_buffer(120))


@attempt
def load_a_kernel_program(t: Targets) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("IIIII", 2, 4, 8, 1, 0), 120)  # an array map
    call(321, 280, 0, ctypes.byref(attributes), 120)


@attempt
def catch_page_faults(t: Targets) -> None:
    call(323, 282, 1)


@attempt
def count_events(t: Targets) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 1), 112)  # a software clock
    call(298, 241, ctypes.byref(attributes), 0, -1, -1, 0)


@attempt
def watch_the_file_system(t: Targets) -> None:
    call(300, 262, 0, 0)


@attempt
def read_the_kernel_log(t: Targets) -> None:
    call(103, 116, 10, 0, 0)


@attempt
def set_the_host_name(t: Targets) -> None:
    socket.sethostname(socket.gethostname())


@attempt
def turn_randomisation_off(t: Targets) -> None:
    call(135, 92, 0x0040000 | 0x0400000)


@attempt
def call_by_a_foreign_abi(t: Targets) -> None:
    if not X86:
        raise blocked("x86 only")
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid of i386); int 0x80; ret
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if run() != os.getpid():
        raise blocked("not supported by this kernel")


@attempt
def open_the_terminal(t: Targets) -> None:
    os.open(t["terminal"], os.O_RDWR)


@attempt
def type_into_the_terminal(t: Targets) -> None:
    fcntl.ioctl(os.open(t["terminal"], os.O_RDWR), 0x5412, b"x")  # TIOCSTI


@attempt
def type_into_an_inherited_terminal(t: Targets) -> None:
    fcntl.ioctl(t["terminal_descriptor"], 0x5412, b"x")


if __name__ == "__main__":
    try:
        {**ATTEMPTS, "control": control}[sys.argv[1]](json.loads(sys.argv[2]))
    except (OSError, ValueError) as error:
        print("blocked:", error)
        sys.exit(1)
    print("OUT")
