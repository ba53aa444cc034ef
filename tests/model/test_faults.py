"""Full disks, I/O errors, torn writes and kills while torch, safetensors and transformers save weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HELPER = r"""
import ctypes, errno, os, sys, traceback
from pathlib import Path
import torch
from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.errors import RunError
from halo_core.ledger.ledger import Ledger
from halo_core.files import directory_hash
from halo_core.types import TrainStats

disk = ctypes.CDLL(os.environ["LD_PRELOAD"])
root, stride = Path(os.environ["HALO_FAULT_UNDER"]), int(sys.argv[2])
STATS = TrainStats(lr=0.1, steps=1, samples=1, tokens=1, loss_first=1.0, loss_last=0.5, lr_peak=0.1, lr_sum=0.1,
                   grad_norm_median=0.1, clipped_fraction=0.0, update_norm=0.1)
torch.set_num_threads(1)
actor = Actor(ModelConfig(name=sys.argv[1], device="cpu"))
actor.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)
actor.optimizer_state = {name: weight.detach().clone() for name, weight in actor.trainable().items()}

def save(place):
    ledger = Ledger(place)
    if not ledger.exists:
        ledger.create({}, [], [], [])
    ledger.reports()
    disk.halo_fault(step, ord(how), code)
    ledger.write_trained(1, STATS, actor.save)

def child(place):
    pid = os.fork()
    if pid == 0:
        try:
            save(place)
        except RunError as error:
            text = str(error)
            os._exit(3 if os.strerror(code) in text and str(place) in text else print(text) or 4)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(disk.halo_steps() if counting else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def is_complete(place):
    ledger = Ledger(place)
    return ledger.trained(1) == STATS and directory_hash(ledger.check_adapter(1)) == expected

step, how, code, counting = 0, "k", 0, True
steps = child(root / "complete")
counting = False
expected = directory_hash(Ledger(root / "complete").check_adapter(1))
wrong = []
for how, code in (("k", 0), ("t", 0), ("f", errno.ENOSPC), ("e", errno.EIO)):
    for step in range(1, steps + 1, stride):
        place = root / f"{how}{step}"
        ended = child(place)
        step = 0
        if ended not in (0, -9, 3) or (ended == 0 and not is_complete(place)):
            wrong.append((place.name, ended))
        if child(place) != 0 or not is_complete(place):
            wrong.append((place.name, "afterwards"))
print(steps, wrong)
"""


def test_weights_are_saved_completely_or_not_at_all(
    checkpoint: Callable[..., Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler to simulate disk faults")
    library, under = tmp_path / "faults.so", tmp_path / "runs"
    source = Path(__file__).parents[1] / "faults.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    under.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", HELPER, checkpoint(), os.environ.get("HALO_KILL_STRIDE", "5")],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"LD_PRELOAD": str(library), "HALO_FAULT_UNDER": str(under)},
    )
    assert done.returncode == 0, done.stderr
    steps, _, wrong = done.stdout.splitlines()[-1].partition(" ")
    assert int(steps) > 15
    assert wrong == "[]", done.stdout
