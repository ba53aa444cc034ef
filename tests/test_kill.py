"""kill -9 at every point at which something is made durable, then going on: nothing may differ.

A helper process forks a run that kills itself before its n-th sync or rename, forks another that goes on,
and compares what the two leave with what a run leaves that was not killed. Then it kills runs at random.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HELPER = r'''
import gc, json, os, random, signal, sys, time
from pathlib import Path
from halo_core.loop import run_cycles
from halo_core.testing import FakeGenerator, FakeVerifier, fake_run

def contents(directory):
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            text = path.read_text()
            if path.name == "report.json":
                row = json.loads(text)
                row.pop("seconds")
                text = json.dumps(row)
            found[str(path.relative_to(directory))] = text
    return found

def run(directory, pause=0.0):
    options = {"prompts": 4, "heldout": 2, "cycles": 2, "samples_per_prompt": 2}
    generator = FakeGenerator(batch=4, seconds=pause)
    run_cycles(*fake_run(directory, generator=generator, verifier=FakeVerifier(seconds=pause / 4), **options))

def dying_at(count):
    """Have the process kill itself before its `count`-th durable step."""
    left = [count]
    def step(real):
        def call(*arguments):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)
        return call
    os.fsync = step(lambda descriptor: None)
    Path.rename = step(Path.rename)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

gc.freeze()
root = Path(sys.argv[1])
os.fsync = lambda descriptor: None
assert ended(child(lambda: run(root / "whole"))) == 0
whole = contents(root / "whole")
wrong, points, killed = [], 0, 0

while True:
    points += 1
    place = root / f"step-{points}"
    code = ended(child(lambda: (dying_at(points), run(place))))
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    if ended(child(lambda: run(place))) != 0 or contents(place) != whole:
        wrong.append(place.name)

source = random.Random(int(sys.argv[2]))
for trial in range(int(sys.argv[3])):  # anywhere, several times over
    place = root / f"random-{trial}"
    while True:
        pid = child(lambda: run(place, 0.002))
        time.sleep(source.uniform(0.0, 0.06))
        os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        assert code in (0, -signal.SIGKILL), code
        killed += code != 0
        if code == 0:
            break
    if contents(place) != whole:
        wrong.append(place.name)
print(json.dumps({"wrong": wrong, "points": points, "killed": killed, "files": len(whole)}))
'''


def test_killed_anywhere_and_gone_on_with_a_run_is_the_same(tmp_path: Path) -> None:
    seed = os.environ.get("HALO_KILL_SEED", "0")
    done = subprocess.run(
        [sys.executable, "-c", HELPER, str(tmp_path), seed, "2"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout.splitlines()[-1])
    assert got["wrong"] == []
    assert got["points"] > 40, "every sync and rename of a run of two cycles"
    assert got["killed"] >= 2
    assert got["files"] >= 18, "prompts, configuration and three cycles"
