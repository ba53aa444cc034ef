"""Maths verdicts per second of one core, and what wrong answers get, beside naive sympy and math-verify.

    python benchmarks/bench_verify_maths.py

All judge the same answers: a mix like that of school and contest problems (mostly numbers), half of them right;
then every near miss and attack of the plugin. Naive is what one writes first: LaTeX rewritten by regular
expressions, `parse_expr` with implicit multiplication, `simplify` of the difference. math-verify is left out
where it is not installed. Each runs in a process of its own; CPU seconds are counted, those of halo's confined
processes too. Answers recur in the mix, so sympy's caches are warm for all. An answer that takes more than 5 s
counts as a hang. Goal: at least 400 verdicts per second.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAIRS = Path(__file__).parents[1] / "plugins/halo-verifier-sympy/tests/pairs.txt"
MIX = {
    "numbers": 45, "radicals": 15, "polynomials": 15, "other functions": 6, "a value with its name": 4,
    "tuples": 8, "intervals": 3, "equations": 3, "matrices": 1,
}  # fmt: skip
"""How often an answer comes from each section of the pairs."""
HANG = 5.0

Row = tuple[str, str, bool]
"""A reference's answer, a whole completion, whether it is right."""
Judge = Callable[[str, str], bool]


def sections() -> dict[str, list[Row]]:
    """Return the pairs that need no more than their answer, by section."""
    found: dict[str, list[Row]] = {}
    for line in PAIRS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            rows = found.setdefault(line[2:], [])
        elif line and line.count(" ;; ") == 2:
            gold, same, near = line.split(" ;; ")
            rows += [
                (gold, rf"So it is \boxed{{{same}}}.", True),
                (gold, rf"So it is \boxed{{{near}}}.", False),
            ]
    return found


def mix(count: int) -> list[Row]:
    """Return `count` answers in the proportions of `MIX`."""
    rng = random.Random(0)
    by_name = {name: rows for title, rows in sections().items() for name in MIX if title.startswith(name)}
    return [rng.choice(by_name[name]) for name in rng.choices(list(MIX), list(MIX.values()), k=count)]


def wrong() -> list[Row]:
    """Return every near miss, and every attack whose task says nothing but its answer."""
    from halo_verifier_sympy.attacks import ATTACKS

    near = [row for rows in sections().values() for row in rows if not row[2]]
    plain = [attack for attack in ATTACKS if set(attack.prompt.reference) == {"answer"}]
    return near + [(attack.prompt.reference["answer"], attack.text, False) for attack in plain]


def halo_judge() -> tuple[Judge, Callable[[], dict[str, Any]]]:
    """Return halo's verifier as a function, and what it counted."""
    from halo_core.types import Completion, Prompt, Status
    from halo_verifier_sympy import Sympy

    verifier = Sympy()
    verifier.preflight()
    seconds: dict[bool, list[float]] = {True: [], False: []}

    def judge(gold: str, text: str) -> bool:
        verdict = verifier.check(Prompt("p", "", reference={"answer": gold}), Completion("p", 0, text))
        seconds[verdict.sandbox == "none"].append(verdict.cpu_seconds)
        return verdict.status is Status.PASS

    def counted() -> dict[str, Any]:
        fast, slow = seconds[True], seconds[False]
        return {
            "cpu": sum(fast) + sum(slow),
            "fast share": len(fast) / (len(fast) + len(slow)),
            "fast per second": len(fast) / sum(fast),
            "slow per second": len(slow) / sum(slow) if slow else 0.0,
        }

    return judge, counted


def naive_judge() -> tuple[Judge, Callable[[], dict[str, Any]]]:
    """Return what one writes first."""
    import sympy  # type: ignore[import-untyped]
    from sympy.parsing import sympy_parser as parser  # type: ignore[import-untyped]

    rules = (*parser.standard_transformations, parser.implicit_multiplication_application, parser.convert_xor)
    rewrites = [
        (r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))"),
        (r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)"),
        (r"\\(left|right|,|!|;| )", ""),
        (r"\\(cdot|times)", "*"),
        (r"\\", ""),
        (r"\{", "("),
        (r"\}", ")"),
        ("infty", "oo"),
    ]

    def read(text: str) -> Any:
        for pattern, replacement in rewrites:
            text = re.sub(pattern, replacement, text)
        return parser.parse_expr(text.strip("$"), transformations=rules)

    def judge(gold: str, text: str) -> bool:
        boxes = re.findall(r"\\boxed\{(.*)\}", text)
        try:
            one, two = read(gold), read(boxes[-1])
            return bool(one == two or sympy.simplify(one - two) == 0)
        except Hang:
            raise
        except Exception:  # whatever the parser or simplify makes of it
            return False

    return judge, dict


def math_verify_judge() -> tuple[Judge, Callable[[], dict[str, Any]]]:
    """Return math-verify as its documentation calls it."""
    import logging

    from math_verify import parse, verify  # type: ignore[import-not-found]

    logging.disable(logging.CRITICAL)

    def judge(gold: str, text: str) -> bool:
        return bool(verify(parse(rf"\boxed{{{gold}}}", parsing_timeout=None), parse(text, parsing_timeout=None),
                           timeout_seconds=None))  # fmt: skip

    return judge, dict


JUDGES = {"halo": halo_judge, "naive": naive_judge, "math-verify": math_verify_judge}


class Hang(BaseException):
    """An answer took too long."""


def _ring(*_: Any) -> None:
    raise Hang


def _one(judge: Judge, row: Row) -> bool | None:
    """Judge one answer; None when it hangs."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        return judge(row[0], row[1])
    except Hang:
        return None
    except Exception:  # counted as a refusal: a peer that raises pays nothing
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def measure(name: str, count: int, results: Any) -> None:
    """Put what one of the judges does into `results`."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        judge, counted = JUDGES[name]()
        rows = mix(count)
        for row in rows[:20]:
            _one(judge, row)
        counted()
        begun = time.process_time()
        before = counted().get("cpu", 0.0)
        verdicts = [_one(judge, row) for row in rows]
        cpu = time.process_time() - begun
        found = counted()
        cpu = found.pop("cpu", cpu + before) - before
        right = [verdict for verdict, row in zip(verdicts, rows, strict=True) if row[2]]
        bad = [(row, _one(judge, row)) for row in wrong()]
        results.put({
            "name": name, "per second": count / cpu, **found,
            "right refused": 1 - sum(map(bool, right)) / len(right),
            "wrong paid": sum(bool(verdict) for _, verdict in bad), "wrong": len(bad),
            "hangs": sum(verdict is None for _, verdict in bad),
            "code executed": sum(1 for _ in Path(folder).iterdir()),
            "paid": [row[:2] for row, verdict in bad if verdict],
        })  # fmt: skip


def main() -> None:
    """Print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1500, help="answers in the mix")
    parser.add_argument("--paid", action="store_true", help="also list the wrong answers that were paid")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    first = None
    titles = f"{'verdicts/s':>10} {'ratio':>6} {'right refused':>13} {'wrong paid':>12} {'hangs':>6} {'ran code':>8}"
    print(f"{'':<11} {titles}")
    for name in JUDGES:
        if name == "math-verify" and importlib.util.find_spec("math_verify") is None:
            print("math-verify  not installed")
            continue
        results = context.SimpleQueue()
        process = context.Process(target=measure, args=(name, args.count, results))
        process.start()
        row = results.get()
        process.join()
        first = first or row["per second"]
        paid = f"{row['wrong paid']} of {row['wrong']}"
        print(f"{name:<11} {row['per second']:>10.0f} {first / row['per second']:>6.1f} {row['right refused']:>13.1%} "
              f"{paid:>12} {row['hangs']:>6} {row['code executed']:>8}", flush=True)  # fmt: skip
        if name == "halo":
            print(f"{'':<12} fast path: {row['fast share']:.0%} of the mix, {row['fast per second']:.0f}/s; "
                  f"slow path: {row['slow per second']:.0f}/s")  # fmt: skip
        if args.paid:
            print(json.dumps(row["paid"], indent=1))


if __name__ == "__main__":
    main()
