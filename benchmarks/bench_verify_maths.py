"""Maths verdicts per second of one core, and wrong answers accepted, compared with naive sympy and math-verify.

    python benchmarks/bench_verify_maths.py
    python benchmarks/bench_verify_maths.py --distinct    long answers, all different: no cache helps

All verifiers check the same answers: a mix like that of school and contest problems (mostly numbers), half of them
right; then every near miss and attack of the plugin. The naive verifier rewrites LaTeX by regular expressions, calls
`parse_expr` with implicit multiplication and applies `simplify` to the difference. math-verify is skipped if it is not
installed. Each verifier runs in a separate process; CPU seconds are counted, including halo's confined processes.
Answers recur in the mix, so sympy's caches are warm for all. An answer that takes more than 5 s counts as a hang.
Goal: at least 400 verdicts per second.
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
"""Relative frequency of each section of the pairs."""
HANG = 5.0

Row = tuple[str, str, bool]
"""Reference answer, completion, and whether the completion is right."""
Check = Callable[[str, str], bool]


def sections() -> dict[str, list[Row]]:
    """Return the pairs whose reference is an answer without further keys, by section."""
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


WORDS = (
    "we note",
    "that the sum",
    "of these terms",
    "is given by",
    "so it follows",
    "from this",
    "which means",
    "each factor",
)


def distinct(count: int) -> list[Row]:
    """Return `count` long answers, all different, half of them written in another way than their reference."""
    rng = random.Random(0)
    rows = []
    for number in range(2, count + 2):
        a, b, c = rng.randint(1, 999), rng.randint(1, 999), rng.randint(2, 99)
        pairs = [
            (f"{a}{number}", f"{a}{number}.0"),
            (rf"\frac{{{a}}}{{{b}{number}}}", f"{2 * a}/{2 * int(f'{b}{number}')}"),
            (rf"{a}+{c}\sqrt{{{number}}}", rf"{c}\sqrt{{{number}}}+{a}"),
            (f"{a}x^2+{b}x-{number}", f"-{number}+{a}x^2+{b}x"),
            (f"({a}, {number})", f"({a}.0,{number})"),
            (rf"\frac{{{c}\pi}}{{{number}}}", rf"{c}\pi/{number}"),
        ]
        gold, other = rng.choice(pairs)
        steps = [
            " ".join(rng.choices(WORDS, k=6))
            + rng.choice([rf" ${c}x = \frac{{{a}}}{{{b}}}$.", f" {a} + {b}.", "."])
            for _ in range(45)
        ]
        rows.append((gold, " ".join(steps) + rf" So it is $\boxed{{{rng.choice((gold, other))}}}$.", True))
    return rows


def wrong() -> list[Row]:
    """Return every near miss, and every attack whose reference is an answer without further keys."""
    from halo_verifier_sympy.attacks import ATTACKS

    near = [row for rows in sections().values() for row in rows if not row[2]]
    plain = [attack for attack in ATTACKS if set(attack.prompt.reference) == {"answer"}]
    return near + [(attack.prompt.reference["answer"], attack.text, False) for attack in plain]


def halo_check() -> tuple[Check, Callable[[], dict[str, Any]]]:
    """Return halo's verifier as a function, and a function that returns its counts."""
    from halo_core.types import Completion, Prompt, Status
    from halo_verifier_sympy import Sympy

    verifier = Sympy()
    verifier.preflight()
    seconds: dict[bool, list[float]] = {True: [], False: []}

    def check(gold: str, text: str) -> bool:
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

    return check, counted


def naive_check() -> tuple[Check, Callable[[], dict[str, Any]]]:
    """Return the naive verifier, and an empty count."""
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

    def check(gold: str, text: str) -> bool:
        boxes = re.findall(r"\\boxed\{(.*)\}", text)
        try:
            wanted, given = read(gold), read(boxes[-1])
            return bool(wanted == given or sympy.simplify(wanted - given) == 0)
        except Hang:
            raise
        except Exception:  # the parser and simplify raise all kinds of exceptions
            return False

    return check, dict


def math_verify_check() -> tuple[Check, Callable[[], dict[str, Any]]]:
    """Return math-verify, called as in its documentation, and an empty count."""
    import logging

    from math_verify import parse, verify  # type: ignore[import-not-found]

    logging.disable(logging.CRITICAL)

    def check(gold: str, text: str) -> bool:
        return bool(verify(parse(rf"\boxed{{{gold}}}", parsing_timeout=None), parse(text, parsing_timeout=None),
                           timeout_seconds=None))  # fmt: skip

    return check, dict


VERIFIERS = {"halo": halo_check, "naive": naive_check, "math-verify": math_verify_check}


class Hang(BaseException):
    """Raised when an answer takes too long."""


def _raise_hang(*_: Any) -> None:
    raise Hang


def _run(check: Check, row: Row) -> bool | None:
    """Return whether the answer is accepted; None if it hangs."""
    signal.signal(signal.SIGALRM, _raise_hang)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        return check(row[0], row[1])
    except Hang:
        return None
    except Exception:  # counted as a refusal: nothing is accepted
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def measure(name: str, count: int, results: Any, *, all_distinct: bool) -> None:
    """Put the measurements of one verifier into `results`."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check, counted = VERIFIERS[name]()
        rows = distinct(count) if all_distinct else mix(count)
        for row in rows[:20]:
            _run(check, row)
        counted()
        start = time.process_time()
        before = counted().get("cpu", 0.0)
        verdicts = [_run(check, row) for row in rows]
        cpu = time.process_time() - start
        found = counted()
        cpu = found.pop("cpu", cpu + before) - before
        right = [verdict for verdict, row in zip(verdicts, rows, strict=True) if row[2]]
        bad = [(row, _run(check, row)) for row in wrong()]
        results.put({
            "name": name, "per second": count / cpu, **found,
            "right refused": 1 - sum(map(bool, right)) / len(right),
            "wrong accepted": sum(bool(verdict) for _, verdict in bad), "wrong": len(bad),
            "hangs": sum(verdict is None for _, verdict in bad),
            "code executed": sum(1 for _ in Path(folder).iterdir()),
            "accepted": [row[:2] for row, verdict in bad if verdict],
        })  # fmt: skip


def main() -> None:
    """Print a row for each verifier."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1500, help="answers in the mix")
    parser.add_argument(
        "--distinct", action="store_true", help="long answers, all different, instead of the mix"
    )
    parser.add_argument("--paid", action="store_true", help="also list the wrong answers that were accepted")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    first = None
    titles = f"{'verdicts/s':>10} {'ratio':>6} {'right refused':>13} {'wrong accepted':>14}"
    print(f"{'':<11} {titles} {'hangs':>6} {'ran code':>8}")
    for name in VERIFIERS:
        if name == "math-verify" and importlib.util.find_spec("math_verify") is None:
            print("math-verify  not installed")
            continue
        results = context.SimpleQueue()
        process = context.Process(
            target=measure, args=(name, args.count, results), kwargs={"all_distinct": args.distinct}
        )
        process.start()
        row = results.get()
        process.join()
        first = first or row["per second"]
        accepted = f"{row['wrong accepted']} of {row['wrong']}"
        print(f"{name:<11} {row['per second']:>10.0f} {first / row['per second']:>6.1f} {row['right refused']:>13.1%} "
              f"{accepted:>14} {row['hangs']:>6} {row['code executed']:>8}", flush=True)  # fmt: skip
        if name == "halo":
            print(f"{'':<12} fast path: {row['fast share']:.0%} of the mix, {row['fast per second']:.0f}/s; "
                  f"slow path: {row['slow per second']:.0f}/s")  # fmt: skip
        if args.paid:
            print(json.dumps(row["accepted"], indent=1))


if __name__ == "__main__":
    main()
