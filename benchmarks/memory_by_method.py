"""Measure the peak memory of one training step of each method, over that of the loaded model.

    python benchmarks/memory_by_method.py --model HuggingFaceTB/SmolLM2-135M
    python benchmarks/memory_by_method.py --model DIRECTORY --sequences 8 --tokens 256

Each row is a process of its own. It loads the model in float32, computes log-probabilities once as a sampler would,
notes its memory, trains one step on random tokens, and prints the peak. Gradients are accumulated over batches of one
sequence, or of one pair. On a CPU the peak is that of the resident memory, on a GPU of what torch allocated. GRPO and
PPO also run with a divergence from the reference, which DPO always has. The claims are those of the halo-forge notes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

CLAIMS = {"raft": 1, "dpo": 2, "grpo": 2, "ppo": 4}
METHODS = ("raft", "dpo", "grpo", "grpo, kl", "ppo", "ppo, kl")
MIB = 2**20


def samples(count: int, tokens: int, vocabulary: int) -> list[Any]:
    """Return `count` sequences of `tokens` random tokens, half of them completion, in prompts of two."""
    from halo_core import Completion, Prompt, Sample, Stage, Status, Verdict

    rng, found = random.Random(0), []
    for number in range(count):
        context, ids = (tuple(rng.randrange(vocabulary) for _ in range(tokens // 2)) for _ in range(2))
        name, good = f"p{number // 2}", number % 2 == 0
        completion = Completion(name, number % 2, "", context, ids, logprobs=(-9.0,) * len(ids))
        verdict = Verdict(*((Status.PASS, Stage.CORRECT) if good else (Status.FAIL, Stage.WRONG)))
        found.append(Sample(Prompt(name, name), completion, verdict, float(good), 1.0 if good else -1.0))
    return found


def trainer_of(method: str, options: dict[str, Any]) -> Any:
    """Return the trainer of a method."""
    from halo_core.drivers.sft import SFT
    from halo_trainers.dpo import DPO
    from halo_trainers.grpo import GRPO
    from halo_trainers.ppo import PPO

    name, _, kl = method.partition(", ")
    own = {"kl": 0.1} if kl else {}
    return {"raft": SFT, "dpo": DPO, "grpo": GRPO, "ppo": PPO}[name](**options, **own)


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Train one step in this process; return the memory in MiB, loaded and at its peak."""
    import torch

    from halo_core import TrainingContext
    from halo_core.config.model import ModelConfig
    from halo_core.model.actor import Actor

    gpu = arguments.device.startswith("cuda")
    actor = Actor(ModelConfig(name=arguments.model, device=arguments.device, dtype="float32"))
    chosen = samples(arguments.sequences, arguments.tokens, actor.model.config.vocab_size)
    if arguments.method == "raft":
        chosen = [replace(sample, weight=1.0) for sample in chosen]
    actor.logprobs([chosen[0].completion])  # the buffers of a forward pass belong to sampling
    loaded = torch.cuda.memory_allocated() / MIB if gpu else resident("VmRSS")
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # loading had a peak of its own
    options = {
        "full": arguments.full,
        "batch_size": arguments.sequences,
        "batch_tokens": arguments.tokens,
        "lora_dropout": 0.0,
    }
    trainer_of(arguments.method, options).train(chosen, TrainingContext(actor=actor, lr=1e-5, seed=0))
    peak = torch.cuda.max_memory_allocated() / MIB if gpu else resident("VmHWM")
    return {"loaded": loaded, "peak": peak}


def resident(field: str) -> float:
    """Return the resident memory of this process in MiB: now (VmRSS), or its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{field}:"))) / 1024


def measured_apart(arguments: argparse.Namespace, method: str, full: bool) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--method", method, "--model", arguments.model]
    command += ["--device", arguments.device, "--sequences", str(arguments.sequences)]
    command += ["--tokens", str(arguments.tokens), *(["--full"] if full else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table, or with --method the measurement of one row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a sequence")
    parser.add_argument("--method", choices=METHODS, help="measure one method in this process")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if arguments.method:
        print(json.dumps(measure(arguments)))
        return
    print(
        "| method | claim | LoRA, MiB above the model | peak to RAFT | full, MiB above the model | peak to RAFT |"
    )
    print("|---|---|---|---|---|---|")
    base: dict[bool, float] = {}
    for method in METHODS:
        cells = []
        for full in (False, True):
            found = measured_apart(arguments, method, full)
            above = found["peak"] - found["loaded"]
            base.setdefault(full, found["peak"])
            cells.append(f"{above:.0f} | {found['peak'] / base[full]:.2f}x")
        print(f"| {method} | {CLAIMS[method.partition(',')[0]]}x | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
