"""Fuzz the `jsonschema` verifier: no generated text may raise, hang, or pass without being correct.

    python benchmarks/fuzz_json.py --inputs 1000000
    python benchmarks/fuzz_json.py --closing 350000

The texts are correct answers with a few edits, fragments of JSON and its surroundings in random order, arbitrary
characters, and long repetitions, for prompts of every kind. A text that passes a prompt with an answer is parsed
again by `json` alone and compared type by type.

`--closing` fuzzes `closed=true` instead: random schemas, as values, as tool arguments and in OpenAPI descriptions, each
with documents of the same shape. A document that passes must be valid under the schema as given, which a plain
validator checks, and under the closed schema alone; a document that is valid under both must pass.

Exits with 1 if a text violates the rule.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jsonschema_rs

from halo_core.types import Completion, Prompt, Status
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_jsonschema.closing import close
from halo_verifier_jsonschema.openapi import body_schema

SECONDS = 3.0
"""CPU seconds after which one input counts as hanging. The slowest legitimate input takes about half of it."""
DOCUMENTS = 8
"""Documents for each random schema."""
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


def random_schema(rng: random.Random, depth: int = 3, *, below: bool = False) -> Any:
    """Return a schema over the properties a, b, c; `below`: it applies to a value inside the document."""
    if depth == 0 or rng.random() < 0.15:
        leaf: dict[str, Any] = rng.choice(
            (
                {},
                {"type": "integer"},
                {"type": "object"},
                {"const": 1},
                {"required": ["a"]},
                {"type": ["string", "null"]},
            )
        )
        return rng.choice((True, leaf, leaf, leaf))
    schema: dict[str, Any] = {}

    def inner(*, below: bool = below) -> Any:
        return random_schema(rng, depth - 1, below=below)

    if rng.random() < 0.75:
        schema["properties"] = {name: inner(below=True) for name in rng.sample("abc", rng.randint(1, 2))}
    if rng.random() < 0.3:
        schema["type"] = rng.choice(("object", "object", ["object", "array"]))
    if rng.random() < 0.3:
        schema["required"] = rng.sample("abc", 1)
    for keyword in rng.choices(list(KEYWORDS), list(KEYWORDS.values()), k=rng.choice((0, 1, 1, 2))):
        if keyword in {"oneOf", "anyOf", "allOf"}:
            schema[keyword] = [inner() for _ in range(rng.randint(1, 3))]
        elif keyword == "if":
            schema |= {"if": inner(), rng.choice(("then", "else")): inner()}
        elif keyword in {"dependentSchemas", "patternProperties"}:
            schema[keyword] = {rng.choice("abc"): inner(below=keyword == "patternProperties")}
        elif keyword == "contains":
            schema |= {
                "contains": inner(below=True),
                rng.choice(("maxContains", "minContains")): rng.randint(0, 1),
            }
        elif keyword == "$ref":
            schema["$ref"] = rng.choice(
                ("#", "#/$defs/x", "#/$defs/y") if below else ("#/$defs/x", "#/$defs/y")
            )
        else:
            schema[keyword] = inner(below=keyword != "not")
    return schema


KEYWORDS = {
    "oneOf": 6, "anyOf": 3, "allOf": 2, "not": 2, "if": 2, "dependentSchemas": 1, "$ref": 4, "items": 3, "contains": 2,
    "prefixItems": 0, "additionalProperties": 1, "patternProperties": 1, "unevaluatedProperties": 1,
    "unevaluatedItems": 1, "propertyNames": 1,
}  # fmt: skip
"""Keywords of random schemas and their frequencies."""


def with_definitions(rng: random.Random) -> Any:
    """Return a random schema and the definitions that it refers to: x may refer to y, y to neither."""
    schema = random_schema(rng, rng.choice((1, 2, 2, 2, 3)))
    if not isinstance(schema, dict):
        return schema
    x, y = random_schema(rng, 1), random_schema(rng, rng.choice((0, 1)))
    return {**schema, "$defs": {"x": _redirected(x, "#/$defs/y"), "y": _redirected(y, None)}}


def _redirected(schema: Any, target: str | None) -> Any:
    """Return `schema` with `target` for each reference to a definition, or without them: no schema includes itself."""
    if isinstance(schema, list):
        return [_redirected(item, target) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _redirected(value, target) for key, value in schema.items()}
    if result.get("$ref", "#") != "#":
        result.pop("$ref")
        result |= {"$ref": target} if target else {}
    return result


def random_document(rng: random.Random, depth: int = 3) -> Any:
    """Return a document of objects over a, b, c and d, arrays and a few scalars."""
    if depth == 0 or rng.random() < 0.2:
        return rng.choice((1, 2, "s", None))
    if rng.random() < 0.2:
        return [random_document(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    names = rng.sample("abcd", rng.choice((0, 1, 2, 2, 3)))
    return {name: random_document(rng, depth - 1) for name in names}


Case = tuple[dict[str, Any], Any, Callable[[Any], Any]]


def closing_case(schema: Any, number: int) -> Case:
    """Return a reference with `schema`, the schema of its values for the plain validator, and the form of an answer."""
    if number % 8 == 0 and isinstance(schema, dict):
        return (
            {"tools": [{"name": "f", "parameters": schema}]},
            schema,
            lambda v: {"name": "f", "arguments": v},
        )
    if number % 8 == 1 and isinstance(schema, dict):
        components = {"r": {**schema, "$defs": {}}, **schema["$defs"]}
        content = {"application/json": {"schema": {"$ref": "#"}}}
        api = {"openapi": "3.1.0", "paths": {"/": {"post": {"requestBody": {"content": content}}}},
               "components": {"schemas": components}}  # fmt: skip
        text = (
            json.dumps(api)
            .replace("#/$defs/", "#/components/schemas/")
            .replace('"#"', '"#/components/schemas/r"')
        )
        document = json.loads(text)
        return {"openapi": document, "operation": "post /"}, body_schema(document, "post /"), lambda v: v
    return {"schema": schema}, schema, lambda v: v


def closing_findings(rng: random.Random, number: int, counts: collections.Counter[str]) -> Iterator[str]:
    """Yield the documents for one random schema whose verdict is not that of both schemas."""
    reference, schema, form = closing_case(with_definitions(rng), number)
    plain = jsonschema_rs.Draft202012Validator(schema, offline=True)
    closed = jsonschema_rs.Draft202012Validator(close(schema), offline=True)
    verifier, prompt = JSONSchema(), Prompt("p", "t", reference=reference)
    for _ in range(DOCUMENTS):
        document = random_document(rng, rng.choice((1, 2, 2, 3)))
        if "tools" in reference and not isinstance(document, dict):
            continue
        right = plain.is_valid(document), closed.is_valid(document)
        counts[f"{'valid' if right[0] else 'invalid'}, closed {'valid' if right[1] else 'invalid'}"] += 1
        verdict = verifier.check(prompt, Completion("p", 0, json.dumps(form(document))))
        if not verdict.conclusive or (verdict.status is Status.PASS) is not all(right):
            yield f"{verdict.status.value} ({verdict.detail}), not {right}: {json.dumps([reference, document])}"


def fuzz_closing(schemas: int, seed: int) -> list[str]:
    """Return the findings for `schemas` random schemas, and print a summary."""
    rng, counts = random.Random(seed), collections.Counter[str]()
    start = time.monotonic()
    found = [text for number in range(schemas) for text in closing_findings(rng, number, counts)]
    print(f"{schemas} schemas in {time.monotonic() - start:.0f} s")
    print(", ".join(f"{count} {name}" for name, count in counts.most_common()))
    print(f"{len(found)} wrong verdicts")
    return found


def report(found: list[str]) -> NoReturn:
    """Print the first findings and exit, with 1 if there are any."""
    print("\n".join(found[:20]))
    sys.exit(1 if found else 0)


def main() -> None:
    """Run the fuzzer and print its findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="number of texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--closing", type=int, default=0, metavar="SCHEMAS", help="fuzz closed=true instead")
    arguments = parser.parse_args()
    if arguments.closing:
        report(fuzz_closing(arguments.closing, arguments.seed))
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
    report(found)


if __name__ == "__main__":
    main()
