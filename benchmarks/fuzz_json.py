"""Fuzz the `jsonschema` verifier: no generated text may raise, hang, or pass without being correct.

    python benchmarks/fuzz_json.py --inputs 1000000

The texts are correct answers with a few edits, fragments of JSON and its surroundings in random order, arbitrary
characters, and long repetitions, for prompts of every kind. A text that passes a prompt with an answer is parsed
again by `json` alone and compared type by type. Exits with 1 if a text violates the rule.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from halo_core.types import Completion, Prompt, Status
from halo_verifier_jsonschema import JSONSchema

SECONDS = 3.0
"""CPU seconds after which one input counts as hanging. The slowest legitimate input takes about half of it."""
PIECES = (
    *'{}[]:,"\\ \n\t-+.0123456789eE', "true", "false", "null", "NaN", "Infinity", "-0", "1.0", "1e999", "9" * 400,
    '"name"', '"arguments"', '"function"', '"tool_calls"', '"a"', '"\\u0061"', '"\\ud800"', "\ud800", "\u2028", "é",
    "<think>", "</think>", "<tool_call>", "</tool_call>", "```", "```json\n", "\n```", "~~~", "\0", "\ufeff", "[" * 70,
    '{"a":' * 70,
)  # fmt: skip
TREE = {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"items": {"$ref": "#"}}}}


def prompts(verifier: JSONSchema) -> list[Prompt]:
    """Return prompts of every kind: those of the attacks, and one whose schema needs the sandbox."""
    unique = {json.dumps(attack.prompt.reference): attack.prompt for attack in verifier.attacks()}
    return [
        *unique.values(),
        Prompt("tree", "t", reference={"schema": TREE, "answer": {"v": 1, "kids": [{}]}}),
    ]


def edited(text: str, rng: random.Random) -> str:
    """Return `text` with up to four edits."""
    for _ in range(rng.randint(0, 4)):
        start = rng.randint(0, len(text))
        end = min(len(text), start + rng.choice((0, 1, 1, 2, 8)))
        middle = rng.choice(
            (text[end : end + rng.randint(1, 12)], rng.choice(PIECES), "", chr(rng.randint(1, 300)))
        )
        text = text[:start] + middle + text[end:]
    return text


def jumbled(_: str, rng: random.Random) -> str:
    """Return pieces in random order."""
    return "".join(rng.choices(PIECES, k=rng.randint(0, 30)))


def arbitrary(_: str, rng: random.Random) -> str:
    """Return arbitrary characters."""
    return "".join(
        chr(rng.choice((rng.randint(0, 127), rng.randint(0, 0x10FFFF)))) for _ in range(rng.randint(0, 40))
    )


def repeated(text: str, rng: random.Random) -> str:
    """Return a long repetition, with the text before it, after it, both or neither."""
    piece = "".join(rng.choices(PIECES, k=rng.randint(1, 3)))
    return rng.choice((text, "")) + piece * (rng.randint(1, 70_000) // len(piece)) + rng.choice((text, ""))


KINDS: tuple[tuple[Callable[[str, random.Random], str], int], ...] = (
    (edited, 600), (jumbled, 250), (arbitrary, 145), (repeated, 5)
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Check that two values are the same JSON; an oracle that shares no code with the verifier."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def passed_wrongly(prompt: Prompt, text: str) -> bool:
    """Check if a text that passed differs from the answer; False for texts that are not bare JSON."""
    reference = prompt.reference
    if (
        "answer" not in reference
        or reference.get("unordered")
        or "```" in text
        or "~~~" in text
        or "think" in text
    ):
        return False
    return not same(json.loads(text), reference["answer"])


def main() -> None:
    """Run the fuzzer and print its findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="number of texts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    verifier = JSONSchema()
    tasks = [(prompt, list(verifier.references(prompt)) or ["{}"]) for prompt in prompts(verifier)]
    makers, weights = zip(*KINDS, strict=True)
    counts: collections.Counter[str] = collections.Counter()
    found: list[str] = []
    slowest, start = 0.0, time.monotonic()
    for _ in range(arguments.inputs):
        prompt, references = rng.choice(tasks)
        text = rng.choices(makers, weights)[0](rng.choice(references), rng)
        started = time.thread_time()
        try:
            verdict = verifier.check(prompt, Completion("p", 0, text))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            found.append(f"{type(error).__name__}: {error}: {text[:200]!a}")
            continue
        slowest = max(slowest, spent := time.thread_time() - started)
        counts[f"{verdict.status.value} {verdict.stage.value}"] += 1
        if spent > SECONDS:
            found.append(f"{spent:.1f} s: {text[:200]!a}")
        if not verdict.conclusive:
            found.append(f"{verdict.status.value} ({verdict.detail}): {text[:200]!a}")
        if verdict.status is Status.PASS and passed_wrongly(prompt, text):
            found.append(f"passed: {text[:200]!a}")
    seconds = time.monotonic() - start
    print(
        f"{arguments.inputs} inputs for {len(tasks)} prompts in {seconds:.0f} s, the slowest {slowest:.3f} s CPU"
    )
    print(", ".join(f"{count} {name}" for name, count in counts.most_common()))
    print(f"{len(found)} exceptions, hangs, errors or wrong passes")
    print("\n".join(found[:20]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
