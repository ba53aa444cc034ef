"""Inject faults into a run (kill -9, torn write, full disk, broken disk), resume it, and compare the result.

A helper process has `faults.c` preloaded. It forks a run that hits the fault at its n-th write, sync, truncation or
rename, forks another that resumes it, and compares the result with that of a run without faults. Then it kills runs at
random moments. HALO_KILL_STRIDE=1 tries every step; HALO_KILL_SEED seeds the steps and moments.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HELPER = r"""
import ctypes, errno, gc, io, json, os, random, signal, sys, time, contextlib
from pathlib import Path
from halo_core.errors import RunError
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.compare import compare
from halo_core.loop import run_cycles
from halo_core.run import checkpoint
from halo_core.testing import FakeGenerator, FakeTrainer, fake_run

disk = ctypes.CDLL(os.environ["LD_PRELOAD"])
seed, stride, trials = map(int, sys.argv[2:5])
root = Path(os.environ["HALO_FAULT_UNDER"])

def run(directory, pause=0.0):
    options = {"prompts": 4, "heldout": 2, "cycles": 2, "samples_per_prompt": 2, "checkpoint_seconds": 0}
    parts = {"generator": FakeGenerator(batch=4, seconds=pause), "trainer": FakeTrainer(steps=3, seconds=pause)}
    current, hooks = fake_run(directory, **parts, **options)
    with contextlib.closing(current.ledger):
        run_cycles(current, hooks)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except RunError as error:
            Path(sys.argv[1]).write_text(json.dumps([str(error), error.hint]))
            os._exit(3)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def files(place):
    return {str(p.relative_to(place)): p.read_bytes() for p in place.glob("cycles/*/adapter/*")}

def is_complete(place):
    one, other = Ledger(root / "complete"), Ledger(place)
    with contextlib.closing(one), contextlib.closing(other):
        return all(part.same for part in compare(one, other)) and files(place) == files(root / "complete")

def batches(place):
    if not (place / "run.yaml").exists():
        return 0
    with contextlib.closing(Ledger(place)) as ledger, ledger.reading() as db:
        return db.execute("SELECT ifnull(sum(batches), 0) FROM rounds").fetchone()[0]

checkpoint._SHARE = 0  # save after every step
gc.freeze()
assert ended(child(lambda: run(root / "complete"))) == 0
reader, writer = os.pipe()
pid = child(lambda: (disk.halo_fault(0, 0, 0), run(root / "count"), os.write(writer, str(disk.halo_steps()).encode())))
assert ended(pid) == 0
steps = int(os.read(reader, 20))
result = {"steps": steps, "wrong": [], "hit": {}, "errors": [], "killed": 0}

FAULTS = {"kill": ("k", 0), "torn": ("t", 0), "full": ("f", errno.ENOSPC), "broken": ("e", errno.EIO)}
source = random.Random(seed)
for name, (how, code) in FAULTS.items():
    every = stride if name == "kill" or stride == 1 else 2 * stride
    for step in range(source.randrange(every) + 1, steps + 1, every):
        place = root / f"{name}-{step}"
        code_of = ended(child(lambda: (disk.halo_fault(step, ord(how), code), run(place))))
        assert code_of in ((0, -signal.SIGKILL) if how in "kt" else (0, 3)), (name, step, code_of)
        if code_of == 3:
            error = json.loads(Path(sys.argv[1]).read_text())
            if error not in result["errors"]:
                result["errors"].append(error)
        result["hit"][name] = result["hit"].get(name, 0) + (code_of != 0)  # the last steps are not always reached
        stored = batches(place)
        if ended(child(lambda: run(place))) != 0 or not is_complete(place) or batches(place) < stored:
            result["wrong"].append(place.name)

for trial in range(trials):  # at any point, several times
    place = root / f"random-{trial}"
    while True:
        pid = child(lambda: run(place, 0.002))
        time.sleep(source.uniform(0.0, 0.1))
        os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        assert code in (0, -signal.SIGKILL), code
        result["killed"] += code != 0
        if code == 0:
            break
    if not is_complete(place):
        result["wrong"].append(place.name)
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`faults.c`, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("injecting disk faults needs a C compiler")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def trial(disk: Path, place: Path, *, stride: int, trials: int) -> dict[str, Any]:
    under = place / "runs"
    under.mkdir()
    environment = os.environ | {"LD_PRELOAD": str(disk), "HALO_FAULT_UNDER": str(under)}
    arguments = [place / "error.json", os.environ.get("HALO_KILL_SEED", "0"), stride, trials]
    done = subprocess.run(
        [sys.executable, "-c", HELPER, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_run_resumed_after_any_fault_is_the_same(disk: Path, tmp_path: Path) -> None:
    stride = int(os.environ.get("HALO_KILL_STRIDE", "11"))
    got = trial(disk, tmp_path, stride=stride, trials=6)
    assert got["wrong"] == []
    assert got["steps"] > 100, "every write, sync, truncation and rename of a run of two cycles"
    assert all(hit > 5 for hit in got["hit"].values()), got["hit"]
    assert got["killed"] >= 2
    reasons = {message.rpartition(": ")[2] for message, _ in got["errors"]}
    assert reasons == {"No space left on device", "Input/output error"}
    assert all("the data already written is kept" in hint for _, hint in got["errors"])
