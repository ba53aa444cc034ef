"""Check halo-study whole: the statistics in simulated studies, and a study whose runner is killed.

    python benchmarks/bench_study.py statistics --studies 200
    python benchmarks/bench_study.py kills --kills 20

`statistics` simulates studies of equal arms, and of arms that differ. It fails if, with five seeds or more, more of the
equal studies have a false difference than chance explains at the level of 5%, or if the 95% intervals cover in fewer
than 93% or more than 97% of the cases. Two more kinds show the limits: runs that differ by nothing but the drawing of
completions, and runs that differ much. `kills` runs a study of nine short runs on the gcc demo, then the same study
with a runner that is killed with SIGKILL at random moments, and fails if the two tables of results differ in anything
but seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import yaml
from scipy.stats import binom

from halo_study.results import comparable, read_results
from halo_study.simulation import World, check

LEVEL = 0.05
STUDY = {
    "question": "Is the table the same after kills?",
    "base": {
        "verifier": "gcc",
        "generator": {"max_new_tokens": 64},
        "selector": {"keep_top": 1.0},
        "trainer": {"batch_size": 8},
        "data": {"limit": 8},
        "heldout": {"limit": 8, "samples_per_prompt": 2},
        "samples_per_prompt": 2,
        "cycles": 3,
    },
    "seeds": 3,
    "arms": {
        "constant": {},
        "falling": {"set": {"lr_policy": {"name": "exponential", "base_lr": 2e-3, "decay": 0.7}}},
        "equal sum": {"equal_sum_of": "falling"},
    },
}


WORLDS = {
    "equal": World(by_run=0.25),
    "different": World(by_run=0.25, effect=0.4),
    "only drawn": World(by_run=0.0, by_cell=0.0, by_seed=0.0),  # equal, and runs differ by nothing else
    "apart": World(by_run=0.6),  # equal, and runs differ much
}


def statistics(studies: int, seed: int) -> bool:
    good = True
    print(f"{studies} studies of 4 arms each, 48 prompts of 2 completions")
    print("seeds  arms        any false  each false  coverage  seconds")
    for seeds in (2, 5, 10):
        for name, world in WORLDS.items():
            start = time.process_time()
            found = check(replace(world, seeds=seeds), studies=studies, seed=seed)
            spent = time.process_time() - start
            equal = name != "different"
            false = f"{found.any_false:9.1%}  {found.each_false:10.1%}" if equal else f"{'':9}  {'':10}"
            print(f"{seeds:5}  {name:10}  {false}  {found.coverage:8.1%}  {spent:7.0f}", flush=True)
            if seeds >= 5 and equal:
                good &= found.any_false * studies <= binom.ppf(0.99, studies, LEVEL)
            if seeds >= 5 and name in ("equal", "different"):
                good &= 0.93 <= found.coverage <= 0.97
    return good


def kills(number: int, seed: int) -> bool:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="halo-study-") as place:
        file = Path(place) / "study.yaml"
        file.write_text(yaml.safe_dump(STUDY))
        start = time.monotonic()
        assert run(file, Path(place) / "whole").wait() == 0
        whole = time.monotonic() - start
        print(f"uninterrupted: {whole:.0f} s", flush=True)
        hit, finished = 0, list[Path]()
        while hit < number:
            process = run(file, Path(place) / "killed")
            try:
                assert process.wait(timeout=rng.uniform(0.05, 0.6) * whole) == 0
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                hit += 1
            done = len(read_results(Path(place) / "killed/results.csv"))
            print(f"{hit} kills: {done} of 9 runs are finished", flush=True)
            if done == 9:
                finished.append((Path(place) / "killed").rename(Path(place) / f"done-{len(finished)}"))
        if (Path(place) / "killed").exists():
            assert run(file, Path(place) / "killed").wait() == 0
            finished.append(Path(place) / "killed")
        expected = comparable(read_results(Path(place) / "whole/results.csv"))
        same = [comparable(read_results(each / "results.csv")) == expected for each in finished]
        print(f"{hit} kills; tables equal: {sum(same)} of {len(same)}")
        return all(same)


def run(file: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "halo_core", "study", "run", str(file), "-o", str(output), "-j", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["statistics", "kills"])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    good = (
        statistics(given.studies, given.seed)
        if given.part == "statistics"
        else kills(given.kills, given.seed)
    )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
