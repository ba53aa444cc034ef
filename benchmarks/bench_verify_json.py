"""Measure JSON verifications per second on one core, compared with `json.loads` and `jsonschema.validate`.

    python benchmarks/bench_verify_json.py

One thread checks a correct and a wrong answer alternately. "compiled" is the `jsonschema` package with one
validator for all calls. Goal: at least 10,000 per second.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from halo_core.types import Completion, Prompt, Status
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_jsonschema.openapi import body_schema
from halo_verifier_jsonschema.schemas import compile_schema

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "units": {"enum": ["metric", "imperial"]},
        "start": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "uniqueItems": True},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
OSLO = {"city": "Oslo", "days": 3, "units": "metric", "start": "2027-05-17", "tags": ["rain", "wind"]}
TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name"],
    "additionalProperties": False,
}
FAMILY = {"name": "a", "children": [{"name": "b"}, {"name": "c", "children": [{"name": "d"}]}]}
API = {
    "openapi": "3.1.0",
    "paths": {"/trips": {"post": {"operationId": "createTrip", "requestBody": {"content": {"application/json": {
        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Weather"}, "minItems": 1}}}}}}},
    "components": {"schemas": {"Weather": WEATHER}},
}  # fmt: skip
TRIPS = [{**OSLO, "days": days} for days in range(1, 9)]

Task = tuple[str, dict[str, Any], Any, Any, Any]


def tasks() -> list[Task]:
    """Return (name, reference, schema for `jsonschema`, correct answer, wrong answer)."""
    call = {"name": "get_weather", "arguments": OSLO}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
    envelope = {
        "type": "object",
        "properties": {"name": {"const": "get_weather"}, "arguments": WEATHER},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
    trips = body_schema(API, "createTrip")
    return [
        ("value, 5 members", {"schema": WEATHER, "answer": OSLO}, WEATHER, OSLO, {**OSLO, "days": "3"}),
        ("tool call", {"tools": [tool], "calls": [call]}, envelope, call, {**call, "name": "weather"}),
        ("OpenAPI body, 8 items", {"openapi": API, "operation": "createTrip"}, trips, TRIPS, [*TRIPS, {}]),
        ("recursive schema, sandboxed", {"schema": TREE}, TREE, FAMILY, {**FAMILY, "name": 1}),
    ]


def speed(check: Callable[[str], bool], good: str, bad: str, seconds: float) -> float:
    """Return the calls of `check` per second, after checking that its results are correct.

    The fastest of many short rounds counts, because other load on the machine can only slow a round down.
    """
    assert check(good)
    assert not check(bad)
    best, deadline = 0.0, time.perf_counter() + seconds
    while (start := time.perf_counter()) < deadline:
        for _ in range(20):
            check(good)
            check(bad)
        best = max(best, 40 / (time.perf_counter() - start))
    return best


def with_halo(reference: dict[str, Any]) -> Callable[[str], bool]:
    verifier, prompt = JSONSchema(), Prompt("p", "t", reference=reference)
    verifier.check_prompt(prompt)
    return lambda text: verifier.check(prompt, Completion("p", 0, text)).status is Status.PASS


def with_validate(schema: Any) -> Callable[[str], bool]:
    import jsonschema

    def check(text: str) -> bool:
        try:
            jsonschema.validate(json.loads(text), schema)
        except (ValueError, jsonschema.ValidationError):
            return False
        return True

    return check


def with_one_validator(schema: Any) -> Callable[[str], bool]:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    return lambda text: bool(validator.is_valid(json.loads(text)))


def main() -> None:
    """Print one row per task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds per measurement")
    seconds = parser.parse_args().seconds
    if importlib.util.find_spec("jsonschema") is None:
        sys.exit("bench_verify_json.py compares with the package jsonschema: pip install -e '.[benchmarks]'")
    print(f"{'':<28}{'halo /s':>10}{'naive /s':>10}{'ratio':>8}{'compiled /s':>13}{'ratio':>8}")
    for name, reference, schema, correct, wrong in tasks():
        good, bad = json.dumps(correct), json.dumps(wrong)
        halo = speed(with_halo(reference), good, bad, seconds)
        naive = speed(with_validate(schema), good, bad, seconds)
        validator = speed(with_one_validator(schema), good, bad, seconds)
        print(
            f"{name:<28}{halo:>10,.0f}{naive:>10,.0f}{halo / naive:>8.1f}{validator:>13,.0f}{halo / validator:>8.1f}"
        )
    sandboxed = [
        bool(compile_schema(schema, "2020-12", closed=True).sandbox_reason) for _, _, schema, _, _ in tasks()
    ]
    assert sandboxed == [False, False, False, True]


if __name__ == "__main__":
    main()
