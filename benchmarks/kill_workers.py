"""Kill workers of a run on Ray with SIGKILL at random moments, and compare with a run that was left alone.

    python benchmarks/kill_workers.py --kills 20
    python benchmarks/kill_workers.py --kills 5 --roles trainers --seed 1

For each role a run on Ray has as many of its workers killed, one after the other; each is started again by the run. The
ledger, the adapters and the figures must be those of a run in one process. The driver is killed, and the run resumed,
with `python benchmarks/kill_harness.py --kills 20 --cluster ray -C address=local -C samplers=2 -C verifiers=2
-C trainers=2`. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from halo_core import Run
from halo_core.progress import Progress
from halo_core.testing.cluster_contract import contract_run, differing, run_with
from halo_ray import Ray

ROLES = ("samplers", "verifiers", "trainers")


class Killer(Progress):
    """Kills a worker of a role now and then, while a run is in progress."""

    def __init__(self, role: str, kills: int, pause: float, seed: int) -> None:
        self.run: Run | None = None
        self.killed = 0
        self._role, self._kills, self._pause = role, kills, pause
        self._random = random.Random(f"{role} {seed}")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while self.killed < self._kills and not self._end.wait(self._random.uniform(0, 2 * self._pause)):
            members = self._members()
            if members:
                with suppress(ProcessLookupError):
                    os.kill(self._random.choice(members).hello.pid, signal.SIGKILL)
                    self.killed += 1

    def _members(self) -> list[Any]:
        pool = getattr(self.run.workers, f"_{self._role}", None) if self.run else None
        crew = getattr(pool, "_crew", None)
        return list(crew.members) if crew else []


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of each role")
    parser.add_argument("--roles", nargs="+", choices=ROLES, default=ROLES)
    parser.add_argument("--cycles", type=int, default=8)
    parser.add_argument("--pause", type=float, default=8.0, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="halo-kill-") as folder:
        root = Path(folder)
        raw = contract_run(root) | {"cycles": given.cycles, "samples_per_prompt": 64, "checkpoint_seconds": 0}
        raw["trainer"] |= {"epochs": 4}
        run_with(None, raw, root / "alone")
        for role in given.roles:
            cluster = Ray(address="local", samplers=2, verifiers=2, trainers=2, restarts=100)
            start = time.monotonic()
            with Killer(role, given.kills, given.pause, given.seed) as killer:
                run_with(cluster, raw, root / role, progress=killer)
            found = differing(root / "alone", root / role)
            failed += bool(found)
            print(
                f"{role}: {killer.killed} killed in {time.monotonic() - start:.0f} s: {found or 'identical'}",
                flush=True,
            )
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
