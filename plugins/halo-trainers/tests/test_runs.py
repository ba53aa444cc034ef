"""Whole runs with each trainer, killed and resumed: the result is identical."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
import torch

from halo_core import CycleReport, Plan, run_cycles
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.run import checkpoint
from halo_core.testing import tiny_actor

VERIFIER = '''
"""A verifier in a file: it counts capital letters."""
from halo_core.drivers import Verifier, driver
from halo_core.types import Stage, Status, Verdict


@driver
class Capitals(Verifier):
    """Passes a completion with two capital letters or more."""

    def check(self, prompt, completion):
        if sum(letter.isupper() for letter in completion.text) >= 2:
            return Verdict(Status.PASS, Stage.CORRECT, score=1.0)
        return Verdict(Status.FAIL, Stage.WRONG)
'''
IMITATION: dict[str, Any] = {"truncated": True}
METHODS: dict[str, dict[str, Any]] = {
    "star": {"selector": {"name": "star", **IMITATION}, "start_from": "base"},
    "best_of_n": {"selector": {"name": "best_of_n", **IMITATION}},
    "rso": {"selector": {"name": "rso", **IMITATION}},
    "dpo": {"selector": {"name": "pairs", "most": 3}, "trainer": {"name": "dpo"}},
    "dpo, full": {"selector": "pairs", "trainer": {"name": "dpo", "full": True, "reference": "previous"}},
    "grpo": {"selector": "groups", "trainer": {"name": "grpo"}},
    "grpo, full": {
        "selector": "groups",
        "trainer": {"name": "grpo", "full": True, "old": "model", "kl": 0.1},
    },
    "ppo": {"selector": {"name": "all", **IMITATION}, "trainer": {"name": "ppo", "optimizer": "carry"}},
    "ppo, full": {
        "selector": {"name": "all", **IMITATION},
        "trainer": {"name": "ppo", "full": True, "kl": 0.1},
    },
    "sft, then grpo": {
        "per_cycle": {
            "trainer": {"name": ["sft", {"name": "grpo", "kl": 0.1}]},
            "selector": {"name": [{"name": "star", **IMITATION}, "groups"]},
        },
    },
}
WHOLE = {"temperature": 1.0, "top_p": 1.0}
STEPS: dict[str, Any] = {"lora_rank": 4, "batch_size": 8, "epochs": 2}


HELPER = r"""
import contextlib, json, os, random, signal, sys, time
from pathlib import Path
import peft, torch, transformers
from halo_core import Plan, run_cycles
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.run import checkpoint

raw, root = json.loads(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
checkpoint._SHARE = 0  # save after every step

def started(directory):
    pid = os.fork()
    if pid == 0:
        try:
            with Plan.from_raw(raw).open(directory) as opened:
                run_cycles(*opened)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

begin = time.monotonic()
assert ended(started(root / "complete")) == 0
duration, kills, source = time.monotonic() - begin, 0, random.Random(0)
for _ in range(40):
    pid = started(root / "killed")
    if kills < 2:
        time.sleep(duration * source.uniform(0.3, 0.6))
        os.kill(pid, signal.SIGKILL)
    code = ended(pid)
    assert code in (0, -signal.SIGKILL), code
    kills += code != 0
    if code == 0:
        break
with contextlib.closing(Ledger(root / "killed")) as one, contextlib.closing(Ledger(root / "complete")) as other:
    different = [part.name for part in compare(one, other) if not part.same]
files = [
    {str(path.relative_to(run)): path.read_bytes() for path in run.glob("cycles/*/adapter/*")}
    for run in (root / "killed", root / "complete")
]
print(json.dumps({"kills": kills, "different": different, "weights": files[0] == files[1] != {}}))
"""


class Killed(BaseException):
    """A simulated kill; nothing catches it."""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one thread, and store a checkpoint after each step."""
    torch.set_num_threads(1)
    monkeypatch.setattr(checkpoint, "_SHARE", 0)


def configuration(method: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return a configuration of two cycles that take a second."""
    (place / "capitals.py").write_text(VERIFIER)
    for name, numbers in (("train", range(4)), ("heldout", range(4, 6))):
        rows = [json.dumps({"id": f"{name}-{n}", "prompt": f"Write {n} words."}) for n in numbers]
        (place / f"{name}.jsonl").write_text("\n".join(rows))
    return {
        "verifier": f"{place}/capitals.py:Capitals",
        "model": {"name": tiny_actor().config.name, "device": "cpu"},
        "data": {"prompts": f"{place}/train.jsonl", "heldout": f"{place}/heldout.jsonl"},
        "generator": {"name": "transformers", "max_new_tokens": 12, "batch_tokens": 400, **WHOLE},
        "reward": "binary",
        "lr_policy": {"name": "constant", "base_lr": 1e-2},
        "cycles": 2,
        "samples_per_prompt": 8,
        "heldout": {"samples_per_prompt": 4},
        "sandbox": "none",
        "checkpoint_seconds": 0,
        **method,
        "trainer": {"name": "sft", **STEPS, **method.get("trainer", {})},
    }


def run_in(raw: dict[str, Any], directory: Path) -> list[CycleReport]:
    with Plan.from_raw(raw).open(directory) as opened:
        return run_cycles(*opened)


def trained_weights(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.glob("cycles/*/adapter/*")}


def killed_after(kills: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the number of writes before the next kill."""
    remaining = 10**9

    def patch(name: str) -> None:
        real = getattr(Ledger, name)

        def call(*arguments: Any) -> Any:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                kills.append(name)
                raise Killed(name)
            return real(*arguments)

        monkeypatch.setattr(Ledger, name, call)

    def set_remaining(count: int) -> None:
        nonlocal remaining
        remaining = count

    for name in ("append", "write_checkpoint", "write_trained", "write_report"):
        patch(name)
    return set_remaining


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_run_that_is_killed_and_resumed_is_identical(
    method: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, kills = configuration(method, tmp_path), list[str]()
    reports = run_in(raw, tmp_path / "uninterrupted")
    assert [report.cycle for report in reports] == [0, 1, 2]
    for report in reports[1:]:
        assert report.train
        assert report.train.steps > 1
        assert report.train.update_norm > 0
    set_remaining = killed_after(kills, monkeypatch)
    for attempt in range(40):
        set_remaining(1 + attempt % 4)
        try:
            run_in(raw, tmp_path / "killed")
            break
        except Killed:
            pass
    assert {"append", "write_checkpoint"} <= set(kills)
    parts = compare(Ledger(tmp_path / "killed"), Ledger(tmp_path / "uninterrupted"))
    assert [part for part in parts if not part.same] == []
    weights = trained_weights(tmp_path / "killed")
    assert weights == trained_weights(tmp_path / "uninterrupted")
    assert any("value_head" in name for name in weights) == (raw["trainer"]["name"] == "ppo")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpo", "grpo", "ppo", "ppo, full"])
def test_a_run_that_is_killed_by_the_system_ends_the_same(name: str, tmp_path: Path) -> None:
    raw = configuration(METHODS[name], tmp_path)
    (tmp_path / "runs").mkdir()
    done = processes.run(json.dumps(raw), tmp_path / "runs", code=HELPER)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] >= 1
    assert found["different"] == []
    assert found["weights"]
