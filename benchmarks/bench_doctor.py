"""Count how often the doctor's first finding is right in simulated histories with known causes.

    python benchmarks/bench_doctor.py                 20 seeds of every kind
    python benchmarks/bench_doctor.py --seeds 100 --first 1000
    python benchmarks/bench_doctor.py --json

Seeds from 1000 on were not used until the rules were almost finished.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from halo_core.diagnosis import diagnose
from halo_core.testing.histories import KINDS, simulate


def main() -> None:
    """Print a row for each kind: the number of correct first findings, and the wrong ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="histories of each kind")
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    rows = [row(name, seeds) for name in KINDS]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for result in rows:
        others = ", ".join(f"{name} {count}" for name, count in result["others"].items())
        print(f"{result['kind']:<22}{result['expected']:<24}{result['right']:>4} of {len(seeds)}   {others}")
    faulty = [result for result in rows if result["expected"] != "nothing"]
    healthy = [result for result in rows if result["expected"] == "nothing"]
    right, total = sum(result["right"] for result in faulty), len(faulty) * len(seeds)
    print(f"\ncorrect first findings: {right} of {total} ({right / total:.1%})")
    alarms, total = sum(result["alarmed"] for result in healthy), len(healthy) * len(seeds)
    print(
        f"healthy runs with any finding after any of their cycles: {alarms} of {total} ({alarms / total:.1%})"
    )


def row(name: str, seeds: range) -> dict[str, Any]:
    """Diagnose a history of `name` for each seed; healthy ones after each of their cycles."""
    cause = KINDS[name].cause
    expected = cause.value if cause else "nothing"
    causes: Counter[str] = Counter()
    alarmed = 0
    for seed in seeds:
        reports = simulate(name, seed)
        findings = diagnose(reports)
        causes[findings[0].cause.value if findings else "nothing"] += 1
        if cause is None:
            alarmed += any(diagnose(reports[:end]) for end in range(2, len(reports) + 1))
    others = {key: count for key, count in causes.items() if key != expected}
    return {
        "kind": name,
        "expected": expected,
        "right": causes[expected],
        "others": others,
        "alarmed": alarmed,
    }


if __name__ == "__main__":
    main()
