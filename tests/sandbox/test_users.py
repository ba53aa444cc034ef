"""As root, each box has a user that no other box has, in this sandbox or in one beside it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core.sandbox import Limits, Sandbox, start
from halo_core.sandbox.box import UNPRIVILEGED_UIDS, User

SH = "/bin/sh"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def user(box: Sandbox) -> int:
    with box.workspace() as space:
        assert space.run([SH, "-c", "echo > mine"], writable=True).ok
        return os.stat("mine", dir_fd=space._directory).st_uid


def test_sandboxes_side_by_side_have_different_users() -> None:
    with start("weak") as first, start("standard") as second, first.workspace(), second.workspace():
        users = [user(first), user(first), user(second), user(second)]
    assert len(set(users)) == 2
    assert set(users) <= set(UNPRIVILEGED_UIDS)


def test_processes_of_one_do_not_count_in_another() -> None:
    """Each run keeps six processes for a while, with room for eight. Of one user they would be twelve."""
    script = "for i in 1 2 3 4 5; do sleep 0.5 & done; wait; echo done"
    limits = Limits(cpu_seconds=5, processes=8)
    with start("weak") as first, start("weak") as second, ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda box: box.run([SH, "-c", script], limits=limits), (first, second)))
    assert [(outcome.stdout, outcome.stderr) for outcome in outcomes] == [(b"done\n", b"")] * 2


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> range:
    few = range(65530, 65532)
    monkeypatch.setattr("halo_core.sandbox.box.UNPRIVILEGED_UIDS", few)
    return few


def test_a_user_is_had_by_one_and_let_go(few: range) -> None:
    first, second = User(), User()
    assert (first.uid, second.uid) == tuple(few)
    first.release()
    third = User()
    assert third.uid == first.uid
    for each in (second, third):
        each.release()


def test_without_a_free_one_the_last_is_shared(few: range) -> None:
    users = [User() for _ in range(4)]
    assert [each.uid for each in users] == [*few, few[-1], few[-1]]
    for each in users:
        each.release()
