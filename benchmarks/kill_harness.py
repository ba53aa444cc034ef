"""kill -9 a real demo run at random moments, go on, and compare with the run that was never killed.

    python benchmarks/kill_harness.py --kills 100
    python benchmarks/kill_harness.py --kills 20 --verifier sympy --cycles 3 --seed 1 --each 5

Runs are started by forking this process, which has torch imported but not used, so that the moments fall into
the run and not into its imports. Each run is killed at a moment drawn from the time that a whole one takes, then
gone on with to its end; with `--each`, killed again on the way, so many times at most. Its ledger's content, the
bytes of every adapter and the figures of every report must be those of the run that was never killed; only
measured times may differ. Training keeps its checkpoints as often as it can, so that kills fall between them.
Exits with 1 when any run differs.
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
    """Run `work` in a process of its own, its output in `log`; return the process id."""
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
    """Kill a process at `moment`, if it is still there."""
    while time.monotonic() < moment:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)


def halo(*arguments: object) -> None:
    from halo_core.cli import main

    sys.argv = ["halo", *map(str, arguments)]
    main()


def stage(place: Path) -> str:
    """Say what a killed run was at, as far as its directory tells."""
    if not (place / "run.yaml").exists():
        return "beginning"
    if list(place.glob("cycles/*/adapter.partial*")):
        return "saving an adapter"
    if list(place.glob("cycles/*/*.partial*")):
        return "saving a checkpoint"
    with contextlib.closing(Ledger(place)) as ledger, ledger.reading() as db:
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
        whole = len(ledger.prompts("train")) * config["samples_per_prompt"]
        if cycle and counts.get("train", 0) < whole:
            return "sampling and verifying"
        if cycle and ledger.trained(cycle) is None:
            return (
                "training, "
                + ("after" if list(place.glob("cycles/*/checkpoint-*")) else "before")
                + " a checkpoint"
            )
        return "measuring held-out prompts"


def differences(one: Path, other: Path) -> list[str]:
    """Say where two runs part."""
    with contextlib.closing(Ledger(one)) as a, contextlib.closing(Ledger(other)) as b:
        found = [f"{part.name}: {part.first}" for part in compare(a, b) if not part.same]
    adapters = [
        {path.relative_to(place): path.read_bytes() for path in place.glob("cycles/*/adapter/*")}
        for place in (one, other)
    ]
    return found + (["adapter bytes"] if adapters[0] != adapters[1] or not adapters[0] else [])


def small(verifier: str, cycles: int, root: Path) -> list[object]:
    """Return the flags of a demo run that is over soon: a few of the demo's prompts, few samples."""
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
    settings["lr_policy"] = {"name": "exponential", **demo.settings.get("lr_policy", {})}
    (root / "small.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(settings, default=dict))))
    flags = [
        "--config",
        root / "small.yaml",
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
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--each", type=int, default=1, help="kills of one run at most")
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--cycles", type=int, default=2)
    args = parser.parse_args()
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    checkpoint._SHARE = 1  # a demo trains for seconds
    source, kills, runs, wrong = random.Random(args.seed), 0, 0, []
    numbers = itertools.count()
    where: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        flags = small(args.verifier, args.cycles, root)
        begin = time.monotonic()
        assert ended(forked(lambda: halo("run", *flags, "-o", root / "whole"), root / "log")) == 0, (
            root / "log"
        ).read_text()
        length = time.monotonic() - begin
        print(f"a whole run takes {length:.1f} s", flush=True)
        while kills < args.kills:
            place, met = root / f"run-{next(numbers)}", 0
            while True:
                pid = forked(lambda place=place: halo("run", *flags, "-o", place), place.with_suffix(".log"))
                if met < args.each and kills < args.kills:
                    kill_at(time.monotonic() + source.uniform(0, length), pid)
                code = ended(pid)
                if code != -signal.SIGKILL:
                    break
                met, kills = met + 1, kills + 1
                where[stage(place)] += 1
            assert code == 0, (place.with_suffix(".log")).read_text()
            runs += met > 0  # else it was over before its moment
            if found := differences(root / "whole", place):
                wrong.append(found)
                print(f"run {runs} differs: {found}", flush=True)
            print(f"{kills} kills, {runs} runs, {len(wrong)} differ", flush=True)
    print(f"\n{kills} kills in {runs} runs; {runs - len(wrong)} of {runs} the same as the run never killed")
    for name, count in where.most_common():
        print(f"  {count:4d} while {name}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
