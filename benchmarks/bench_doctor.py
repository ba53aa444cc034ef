"""What the doctor names first in simulated histories whose trouble is known.

python benchmarks/bench_doctor.py                 20 seeds of every kind
python benchmarks/bench_doctor.py --seeds 100 --first 1000
python benchmarks/bench_doctor.py --json

Seeds from 1000 up were seen only late in the writing of the rules.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from halo_core.diagnosis import diagnose
from halo_core.testing.histories import KINDS, simulate


def main() -> None:
    """Print a row for each kind: how often it was named rightly, and what else was named."""
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
    for each in rows:
        others = ", ".join(f"{name} {count}" for name, count in each["others"].items())
        print(f"{each['kind']:<22}{each['expected']:<24}{each['right']:>4} of {len(seeds)}   {others}")
    sick = [each for each in rows if each["expected"] != "nothing"]
    well = [each for each in rows if each["expected"] == "nothing"]
    named, total = sum(each["right"] for each in sick), len(sick) * len(seeds)
    print(f"\nnamed rightly: {named} of {total} ({named / total:.1%})")
    alarms, total = sum(each["alarmed"] for each in well), len(well) * len(seeds)
    print(
        f"healthy runs with any finding after any of their cycles: {alarms} of {total} ({alarms / total:.1%})"
    )


def row(name: str, seeds: range) -> dict[str, object]:
    """Diagnose a history of `name` for each seed, healthy ones after each of their cycles."""
    cause = KINDS[name].cause
    expected = cause.value if cause else "nothing"
    named: Counter[str] = Counter()
    alarmed = 0
    for seed in seeds:
        reports = simulate(name, seed)
        found = diagnose(reports)
        named[found[0].cause.value if found else "nothing"] += 1
        if cause is None:
            alarmed += any(diagnose(reports[:end]) for end in range(2, len(reports) + 1))
    others = {key: count for key, count in named.items() if key != expected}
    return {
        "kind": name,
        "expected": expected,
        "right": named[expected],
        "others": others,
        "alarmed": alarmed,
    }


if __name__ == "__main__":
    main()
