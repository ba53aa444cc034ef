"""Verifiers on a Ray cluster: order, failures and tiers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from halo_core import (
    ClusterContext,
    Completion,
    ConfigError,
    Interrupted,
    PluginError,
    Prompt,
    SandboxError,
    Status,
    Verdict,
)
from halo_core.testing import tiny_actor
from halo_ray import Ray, crew, parts
from halo_ray.cluster import RayWorkers
from halo_ray.crew import Member
from halo_ray.parts import Hello
from halo_ray.verifying import Verifiers, _Piece, piece_size

VERIFIER = """
import os, signal
from halo_core import Stage, Status, Verdict, Verifier, driver


@driver
class Odd(Verifier):
    "Passes a text with an odd number of characters; some texts break it."

    def check(self, prompt, completion):
        if completion.text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if completion.text == "raise":
            raise RuntimeError("broken")
        passed = len(completion.text) % 2
        return Verdict(Status.PASS if passed else Status.FAIL, Stage.CORRECT if passed else Stage.WRONG)
"""
pytestmark = pytest.mark.timeout(600)


def context_in(folder: Path, **changes: Any) -> ClusterContext:
    (folder / "odd.py").write_text(VERIFIER)
    raw = {
        "verifier": f"{folder}/odd.py:Odd",
        "model": {"name": tiny_actor().config.name, "device": "cpu", "dtype": "float32"},
        "data": {"prompts": "unused.jsonl"},
        "sandbox": "none",
        "plugins": [],
        **changes,
    }
    return ClusterContext(raw=raw, origins={}, directory=folder)


@pytest.fixture(scope="module")
def workers(two_nodes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayWorkers]:
    found = Ray(verifiers=2, verifier_cpus=0.5).open(context_in(tmp_path_factory.mktemp("verifying")))
    assert isinstance(found, RayWorkers)
    yield found
    found.close()


def asked(*texts: str) -> tuple[list[Prompt], list[Completion]]:
    ids = tuple(range(1000))
    return [Prompt("p")] * len(texts), [Completion("p", n, text, ids, ids) for n, text in enumerate(texts)]


def statuses(workers: RayWorkers, *texts: str) -> list[Status]:
    verdicts = workers.verify(*asked(*texts), lambda: None)
    assert verdicts is not None
    return [verdict.status for verdict in verdicts]


def test_verdicts_are_in_order(workers: RayWorkers) -> None:
    texts = ["a" * (n % 7) for n in range(100)]
    assert statuses(workers, *texts) == [Status.PASS if len(text) % 2 else Status.FAIL for text in texts]
    assert statuses(workers) == []


def test_an_exception_is_a_verdict_of_error(workers: RayWorkers) -> None:
    assert statuses(workers, "a", "raise") == [Status.PASS, Status.ERROR]


def test_a_verifier_that_is_killed_is_started_again(workers: RayWorkers) -> None:
    assert workers._verifiers is not None
    before = [member.hello.pid for member in workers._verifiers._crew.members]
    os.kill(before[0], signal.SIGKILL)
    assert statuses(workers, *"abcdefgh" * 4) == [Status.PASS] * 32
    after = [member.hello.pid for member in workers._verifiers._crew.members]
    assert before[0] not in after
    assert before[1] in after


def test_a_completion_that_ends_each_verifier_gets_an_error(workers: RayWorkers) -> None:
    assert statuses(workers, "a", "kill", "b") == [Status.PASS, Status.ERROR, Status.PASS]


def test_ctrl_c_ends_the_verification(workers: RayWorkers) -> None:
    def stop() -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        workers.verify(*asked("a", "b"), stop)
    assert statuses(workers, "a") == [Status.PASS]


def test_more_workers_than_the_cluster_has_room_for_are_refused(two_nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="need 100 CPUs and 0 GPUs, and the cluster has 16 CPUs") as caught:
        Ray(verifiers=100).open(context_in(tmp_path))
    assert "verifier_cpus: 0.5" in caught.value.hint


def test_an_error_of_a_worker_that_starts_is_reported(two_nodes: Any, tmp_path: Path) -> None:
    context = context_in(tmp_path)
    (tmp_path / "odd.py").write_text(
        VERIFIER + "\n    def preflight(self):\n        from halo_core import PluginError"
        "\n        raise PluginError('no compiler', hint='install one')\n"
    )
    with pytest.raises(PluginError, match="no compiler") as caught:
        Ray(verifiers=1).open(context)
    assert caught.value.hint == "install one"


def test_samplers_beside_servers_that_see_the_run_directory_are_refused(
    two_nodes: Any, tmp_path: Path
) -> None:
    generator = {"name": "vllm", "urls": ["http://127.0.0.1:9"], "served_directory": "/mnt/run"}
    with pytest.raises(ConfigError, match=r"served_directory") as caught:
        Ray(samplers=2).open(context_in(tmp_path, generator=generator))
    assert "leave samplers out" in caught.value.hint


def test_a_cluster_without_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no workers"):
        Ray().preflight()


def test_pieces_are_many_but_not_too_short() -> None:
    assert piece_size(512, 1, 2, 0.01) == 16
    assert piece_size(64, 1, 4, 0.1) == 4
    assert piece_size(64, 2, 4, 0.1) == 5, "half a second"
    assert piece_size(64, 2, 64, 10.0) == 1
    assert piece_size(64, 1, 64, 0.002) == 10
    assert piece_size(64, 1, 64, 0.0) == piece_size(3, 1, 2, 0.0) == 1


def member_with(tier: Any) -> Member:
    return Member(0, None, Hello("node-b", 1, {}, tier))


def test_the_tier_is_the_weakest_and_never_drops() -> None:
    members = [member_with("strong"), member_with("standard")]
    found = Verifiers(SimpleNamespace(members=members), 2)  # type: ignore[arg-type]
    assert found.tier == "standard"
    members[0].hello = Hello("node-c", 2, {}, "standard")
    found._check_tier()
    members[0].hello = Hello("node-c", 2, {}, "weak")
    with pytest.raises(SandboxError, match="started again on node-c, where only sandbox tier 'weak' holds"):
        found._check_tier()


def test_only_the_completion_that_a_worker_verified_counts_as_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        """A process of a worker; what it is asked for never arrives."""

        check = SimpleNamespace(remote=lambda tasks: object())

    member = replace(member_with("strong"), actor=Process())
    found = Verifiers(SimpleNamespace(members=[member], replace=lambda *_: False), 2)  # type: ignore[arg-type]

    def gone(_: object) -> None:
        raise RayActorError

    monkeypatch.setattr("ray.get", gone)
    pieces = [_Piece([number], [(Prompt("p"), Completion("p", number, "a"))]) for number in range(3)]
    asked = [found._ask(member, piece) for piece in pieces]
    verdicts: list[Verdict | None] = [None] * 3
    again = [found._finish(ref, given, verdicts)[0] for ref, given in reversed(asked)]
    assert [piece.tries for piece in again] == [0, 0, 1]
    member.actor = Process()  # started again: what it gets first is what it works on
    ref, late = found._ask(member, pieces[2])
    assert found._finish(ref, late, verdicts)[0].tries == 1


def test_other_versions_on_a_node_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here = parts.hello("here")
    crew._check_versions(here)
    versions = {**here.versions, "torch": "1.0"}
    with pytest.raises(PluginError, match=r"node-b has torch 1\.0, not "):
        crew._check_versions(Hello("node-b", 1, versions))
