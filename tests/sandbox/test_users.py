"""Under root, each box has a separate user, distinct from those of all other sandboxes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halo_core.sandbox import Limits, Sandbox, start
from halo_core.sandbox.box import UNPRIVILEGED_UIDS, User

SH = "/bin/sh"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def user_of(box: Sandbox) -> int:
    with box.workspace() as space:
        assert space.run([SH, "-c", "echo > mine"], writable=True).ok
        (file,) = Path(box.directory).glob("*/mine")
        return file.stat().st_uid


def test_concurrent_sandboxes_have_different_users() -> None:
    with start("weak") as first, start("standard") as second, first.workspace(), second.workspace():
        users = [user_of(first), user_of(first), user_of(second), user_of(second)]
    assert len(set(users)) == 2
    assert set(users) <= set(UNPRIVILEGED_UIDS)


def test_processes_in_one_sandbox_do_not_count_in_another() -> None:
    """Each run has six processes for a while and a limit of eight; with a shared user they would count as twelve."""
    script = "for i in 1 2 3 4 5; do sleep 0.5 & done; wait; echo done"
    limits = Limits(cpu_seconds=5, processes=8)
    with start("weak") as first, start("weak") as second, ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda box: box.run([SH, "-c", script], limits=limits), (first, second)))
    assert [(outcome.stdout, outcome.stderr) for outcome in outcomes] == [(b"done\n", b"")] * 2


def test_programs_read_the_files_of_their_workspace_under_any_umask(weak: Sandbox) -> None:
    before = os.umask(0o077)
    try:
        with weak.workspace() as space:
            space.write("data", b"text")
            space.write("tool", b"#!/bin/sh\ncat data\n", executable=True)
            outcome = space.run(["./tool"], limits=Limits(processes=9))
    finally:
        os.umask(before)
    assert (outcome.stdout, outcome.stderr) == (b"text", b"")


@pytest.fixture
def two_uids(monkeypatch: pytest.MonkeyPatch) -> range:
    uids = range(65530, 65532)
    monkeypatch.setattr("halo_core.sandbox.box.UNPRIVILEGED_UIDS", uids)
    return uids


def test_a_released_user_is_assigned_again(two_uids: range) -> None:
    first, second = User(), User()
    assert (first.uid, second.uid) == tuple(two_uids)
    first.release()
    third = User()
    assert third.uid == first.uid
    for each in (second, third):
        each.release()


def test_without_a_free_user_the_last_is_shared(two_uids: range) -> None:
    users = [User() for _ in range(4)]
    assert [each.uid for each in users] == [*two_uids, two_uids[-1], two_uids[-1]]
    for each in users:
        each.release()
