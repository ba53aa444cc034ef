"""Kill real demo runs with SIGKILL at random moments, resume them, and compare with an uninterrupted run.

    python benchmarks/kill_harness.py --kills 100
    python benchmarks/kill_harness.py --kills 20 --verifier sympy --cycles 3 --seed 1 --each 5
    python benchmarks/kill_harness.py --kills 20 --selector groups --trainer grpo

Other flags are those of `halo run`.

Runs are started by forking this process, which has imported torch without using it, so that kills hit the run and not
its imports. Each run is killed at a random moment within the duration of an uninterrupted run, then resumed to its end;
`--each` sets the maximum number of kills of one run. The content of its ledger, the bytes of every adapter and the
figures of every report must equal those of the uninterrupted run; only measured times may differ. Training stores
checkpoints as often as possible, so that kills also hit the time between them. Exits with 1 if any run differs.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml

from halo_core.config.schema import DriverSpec
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.run import checkpoint
from halo_core.verification.verifiers import VerifierSet


def forked(work: Callable[[], None], log: Path) -> int:
    """Run `work` in a new process that writes its output to `log`; return the process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.setpgid(0, 0)
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
    os._exit(code)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at(moment: float, pid: int) -> None:
    """Kill a process at `moment` if it is still running."""
    while time.monotonic() < moment:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)


def halo(*arguments: object) -> None:
    from halo_core.cli import main

    sys.argv = ["halo", *map(str, arguments)]
    main()


def stage(directory: Path) -> str:
    """Return the stage in which a run was killed, derived from its directory."""
    if not (directory / "run.yaml").exists():
        return "starting"
    if list(directory.glob("cycles/*/adapter.partial*")):
        return "saving an adapter"
    if list(directory.glob("cycles/*/*.partial*")):
        return "saving a checkpoint"
    with contextlib.closing(Ledger(directory)) as ledger, ledger.reading() as db:
        cycle = len(ledger.reports())
        config = ledger.config()
        if cycle > config["cycles"]:
            return "ended"
        counts = dict(
            db.execute(
                "SELECT rounds.split, count(*) FROM rounds JOIN completions ON round = rounds.id WHERE cycle = ?"
                " GROUP BY rounds.split",
                (cycle,),
            )
        )
        total = len(ledger.prompts("train")) * config["samples_per_prompt"]
        if cycle and counts.get("train", 0) < total:
            return "sampling and verifying"
        if cycle and ledger.trained(cycle) is None:
            return (
                "training, "
                + ("after" if list(directory.glob("cycles/*/checkpoint-*")) else "before")
                + " a checkpoint"
            )
        return "measuring held-out prompts"


def differences(one: Path, other: Path) -> list[str]:
    """Return the differences between two runs."""
    with contextlib.closing(Ledger(one)) as a, contextlib.closing(Ledger(other)) as b:
        found = [f"{part.name}: {part.first}" for part in compare(a, b) if not part.same]
    adapters = [
        {path.relative_to(run): path.read_bytes() for path in run.glob("cycles/*/adapter/*")}
        for run in (one, other)
    ]
    return found + (["adapter bytes"] if adapters[0] != adapters[1] or not adapters[0] else [])


def short_run(verifier: str, cycles: int, root: Path, more: list[str]) -> list[object]:
    """Return the flags of a short demo run: a few of the demo's prompts, few samples, and `more` flags."""
    demo = VerifierSet.load([DriverSpec(name=verifier)]).demo()
    for name, prompts in (("prompts", demo.prompts[:16]), ("heldout", demo.heldout[:12])):
        rows = [
            {"id": p.id, "prompt": p.text, "verifier": p.verifier, "reference": p.reference, **p.meta}
            for p in prompts
        ]
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row, default=dict) + "\n" for row in rows))
    settings = {
        **demo.settings,
        "model": {"name": str(demo.model)},
        "cycles": cycles,
        "samples_per_prompt": 4,
    }
    settings |= {"heldout": {"samples_per_prompt": 2}, "verifier": verifier}
    for kind in ("selector", "trainer"):
        if f"--{kind}" in more:  # the demo's options are those of another driver
            settings.pop(kind, None)
    settings["lr_policy"] = {"name": "exponential", **demo.settings.get("lr_policy", {})}
    (root / "short.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(settings, default=dict))))
    flags = [
        "--config",
        root / "short.yaml",
        "--data",
        root / "prompts.jsonl",
        "--heldout",
        root / "heldout.jsonl",
    ]
    return [
        *flags,
        "-G",
        "batch_tokens=2048",
        "-T",
        "batch_size=4",
        "--set",
        "checkpoint_seconds=0",
        "--quiet",
        *more,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    parser.add_argument("--each", type=int, default=1, help="maximum number of kills of one run")
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--cycles", type=int, default=2)
    args, more = parser.parse_known_args()
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    checkpoint._SHARE = 1  # a demo trains for seconds
    rng, kills, runs, different = random.Random(args.seed), 0, 0, []
    numbers = itertools.count()
    stages: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        flags = short_run(args.verifier, args.cycles, root, more)
        uninterrupted, log = root / "uninterrupted", root / "log"
        started = time.monotonic()
        assert ended(forked(lambda: halo("run", *flags, "-o", uninterrupted), log)) == 0, log.read_text()
        duration = time.monotonic() - started
        print(f"an uninterrupted run takes {duration:.1f} s", flush=True)
        while kills < args.kills:
            directory, own_kills = root / f"run-{next(numbers)}", 0
            log = directory.with_suffix(".log")
            while True:
                pid = forked(lambda directory=directory: halo("run", *flags, "-o", directory), log)
                if own_kills < args.each and kills < args.kills:
                    kill_at(time.monotonic() + rng.uniform(0, duration), pid)
                code = ended(pid)
                if code != -signal.SIGKILL:
                    break
                own_kills, kills = own_kills + 1, kills + 1
                stages[stage(directory)] += 1
            assert code == 0, log.read_text()
            runs += own_kills > 0  # otherwise it ended before the kill
            if found := differences(uninterrupted, directory):
                different.append(found)
                print(f"run {runs} differs: {found}", flush=True)
            print(f"{kills} kills, {runs} runs, {len(different)} differ", flush=True)
    print(f"\n{kills} kills in {runs} runs; {runs - len(different)} of {runs} equal the uninterrupted run")
    for name, count in stages.most_common():
        print(f"  {count:4d} while {name}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
