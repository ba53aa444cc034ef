"""Verdicts on values: stages, exact answers, options, and invalid references."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core import sandbox
from halo_core.errors import DataError, SandboxError
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_jsonschema import JSONSchema, tasks, worker

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "tags": {"type": "array"}},
    "required": ["city", "days"],
}
OSLO = {"city": "Oslo", "days": 3, "tags": [1, 2]}
WEATHER = {"schema": SCHEMA, "answer": OSLO}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        (json.dumps(OSLO), Stage.CORRECT),
        ('{"tags":[1,2],"days":3,"city":"\\u004fslo"}', Stage.CORRECT),
        (json.dumps({**OSLO, "days": 4}), Stage.WRONG),
        (json.dumps({**OSLO, "days": 3.0}), Stage.WRONG),
        (json.dumps({**OSLO, "tags": [2, 1]}), Stage.WRONG),
        (json.dumps({**OSLO, "days": "3"}), Stage.FLAWED),
        (json.dumps({**OSLO, "wind": 3}), Stage.FLAWED),
        ("{}", Stage.FLAWED),
        ("Oslo, 3 days", Stage.INVALID),
        (json.dumps(OSLO) + ".", Stage.INVALID),
    ],
)
def test_stages(check: Any, text: str, stage: Stage) -> None:
    verdict = check(text, WEATHER)
    correct = stage is Stage.CORRECT
    assert verdict.stage is stage
    assert verdict.status is (Status.PASS if correct else Status.FAIL)
    assert verdict.score == float(correct)
    assert verdict.valid is (stage is not Stage.INVALID)
    assert verdict.detail
    assert "\n" not in verdict.detail


def test_detail_describes_the_error(check: Any) -> None:
    assert check('{"city": "Oslo"}', WEATHER).detail == '"days" is a required property'
    assert check('{"city": 1, "days": 3}', WEATHER).detail == 'at city: 1 is not of type "string"'
    assert "not JSON" in check("", WEATHER).detail


def test_a_schema_alone_and_an_answer_alone(check: Any) -> None:
    assert check('{"city": "Rome", "days": 1}', {"schema": SCHEMA}).stage is Stage.CORRECT
    assert check("[]", {"schema": SCHEMA}).stage is Stage.FLAWED
    assert check('[null, {"a": 0}]', {"answer": [None, {"a": 0}]}).stage is Stage.CORRECT
    assert check("null", {"answer": None}).stage is Stage.CORRECT
    assert check("false", {"answer": None}).stage is Stage.WRONG


def test_any_of_several_answers(check: Any) -> None:
    reference = {"answers": [1, None, {"a": 1}]}
    assert all(check(text, reference).stage is Stage.CORRECT for text in ("1", "null", '{"a":1}'))
    assert all(check(text, reference).stage is Stage.WRONG for text in ("1.0", "false", "[1]", "true"))


@pytest.mark.parametrize(
    ("unordered", "text", "correct"),
    [
        (True, '{"a": [2, 1], "b": [{"c": [4, 3]}]}', True),
        (True, '{"a": [1, 1], "b": [{"c": [4, 3]}]}', False),
        (["/a"], '{"a": [2, 1], "b": [{"c": [3, 4]}]}', True),
        (["/a"], '{"a": [1, 2], "b": [{"c": [4, 3]}]}', False),
        (["/b/*/c"], '{"a": [1, 2], "b": [{"c": [4, 3]}]}', True),
        (["/b/0/c"], '{"a": [1, 2], "b": [{"c": [4, 3]}]}', True),
        (["/b/1/c"], '{"a": [1, 2], "b": [{"c": [4, 3]}]}', False),
        (False, '{"a": [1, 2], "b": [{"c": [3, 4]}]}', True),
        (False, '{"a": [2, 1], "b": [{"c": [3, 4]}]}', False),
    ],
)
def test_unordered_arrays(check: Any, unordered: Any, text: str, correct: bool) -> None:
    reference = {"answer": {"a": [1, 2], "b": [{"c": [3, 4]}]}, "unordered": unordered}
    assert check(text, reference).stage is (Stage.CORRECT if correct else Stage.WRONG)


def test_the_top_level_array_can_be_unordered(check: Any) -> None:
    assert check('["b", "a", true, 1]', {"answer": ["a", 1, "b", True], "unordered": [""]}).score == 1.0
    assert check('["b", "a", 1, 1]', {"answer": ["a", 1, "b", True], "unordered": [""]}).score == 0.0


def test_numbers_by_value(check: Any) -> None:
    for text in ("1.0", "1e0", "10e-1"):
        assert check(text, {"answer": 1}).stage is Stage.WRONG
        assert check(text, {"answer": 1}, numbers="value").stage is Stage.CORRECT
    assert check("true", {"answer": 1}, numbers="value").stage is Stage.WRONG
    assert check("1", {"answer": 1.0}, numbers="value").stage is Stage.CORRECT


def test_limits_are_options(check: Any) -> None:
    deep = "[" * 10 + "]" * 10
    assert check(deep, {"schema": True}, max_depth=10).status is Status.PASS
    assert check(deep, {"schema": True}, max_depth=9).stage is Stage.INVALID
    assert check('"12345678"', {"schema": True}, max_bytes=10).status is Status.PASS
    assert check('"123456789"', {"schema": True}, max_bytes=10).stage is Stage.INVALID
    assert check("[" * 150 + "]" * 150, {"schema": True}, max_depth=200).status is Status.PASS


def test_options_for_text_around_the_json(check: Any) -> None:
    assert check("1 is it", {"answer": 1}, trailing_text=True).status is Status.PASS
    assert check("<think>1</think>", {"answer": 1}, trailing_text=True).stage is Stage.INVALID
    assert check("1", {"answer": 1}, thinking="open").stage is Stage.INVALID
    assert check("so</think>1", {"answer": 1}, thinking="open").status is Status.PASS
    assert check("```json\n1\n```", {"answer": 1}, within="text").stage is Stage.INVALID
    assert check("1", {"answer": 1}, within="fence").stage is Stage.INVALID
    assert check("<tool_call>1</tool_call>", {"answer": 1}).stage is Stage.INVALID


@given(VALUES)
def test_every_spelling_of_the_answer_passes(value: Any) -> None:
    prompt = Prompt("p", "t", reference={"answer": value})
    verifier = JSONSchema()
    verifier.check_prompt(prompt)
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    for text in (json.dumps(value), json.dumps(value, indent=3), compact, *verifier.references(prompt)):
        assert verifier.check(prompt, Completion("p", 0, text)).status is Status.PASS


@given(VALUES)
def test_no_mutant_of_any_answer_passes(value: Any) -> None:
    prompt = Prompt("p", "t", reference={"answer": value})
    verifier = JSONSchema()
    mutants = verifier.mutants(prompt)
    assert len(mutants) >= 8
    assert mutants == verifier.mutants(prompt)
    for text in mutants:
        assert verifier.check(prompt, Completion("p", 0, text)).status is Status.FAIL, text


@pytest.mark.parametrize(
    ("reference", "fewest"),
    [
        (WEATHER, 40),
        ({"schema": {**SCHEMA, "examples": [OSLO, {"city": 1}]}}, 15),
        ({"answer": {"a": [1, 2]}, "unordered": True}, 15),
        ({"tools": [{"name": "f", "parameters": SCHEMA}, {"name": "g", "parameters": SCHEMA}],
          "calls": [{"name": "f", "arguments": OSLO}, {"name": "g", "arguments": OSLO}]}, 100),
        ({"tools": [{"name": "f", "parameters": SCHEMA}], "order": "any",
          "calls": [{"name": "f", "any_of": [OSLO, {**OSLO, "days": 4}]}]}, 50),
    ],
)  # fmt: skip
def test_references_pass_and_mutants_fail(reference: dict[str, Any], fewest: int) -> None:
    verifier, prompt = JSONSchema(), Prompt("p", "t", reference=reference)
    references, mutants = verifier.references(prompt), verifier.mutants(prompt)
    assert references
    assert len(set(mutants)) == len(mutants) >= fewest
    for text, status in [*((t, Status.PASS) for t in references), *((t, Status.FAIL) for t in mutants)]:
        assert verifier.check(prompt, Completion("p", 0, text)).status is status, text


def test_a_schema_without_examples_has_no_references() -> None:
    prompt = Prompt("p", "t", reference={"schema": SCHEMA})
    assert not JSONSchema().references(prompt)
    assert not JSONSchema().mutants(prompt)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({}, "needs a schema"),
        ({"schma": {}}, "unknown key 'schma'"),
        ({"schema": "x"}, "must be an object"),
        ({"schema": SCHEMA, "answer": {"city": 1, "days": 1}}, "not valid under its own schema: at city"),
        ({"schema": SCHEMA, "answer": {**OSLO, "wind": 1}}, "not valid under its own schema"),
        ({"answers": []}, "at least one"),
        ({"answers": 1}, "at least one"),
        ({"answer": 1, "answers": [1]}, "not both"),
        ({"answer": float("nan")}, "not strict JSON"),
        ({"answer": {1, 2}}, "not strict JSON"),
        ({"answer": "\ud800"}, "not strict JSON"),
        ({"answer": 1, "unordered": "a"}, "unordered"),
        ({"answer": 1, "unordered": ["a"]}, "unordered"),
        ({"openapi": {}, "operation": 1}, "openapi must"),
        ({"openapi": {}, "operation": "x"}, "version 3.0 or 3.1"),
    ],
)
def test_invalid_references_raise(reference: dict[str, Any], reason: str) -> None:
    prompt = Prompt("p", "t", reference=reference)
    with pytest.raises(DataError, match="prompt 'p'") as caught:
        JSONSchema().check_prompt(prompt)
    assert reason in str(caught.value)
    assert caught.value.hint
    verdict = JSONSchema().check(prompt, Completion("p", 0, "1"))
    assert verdict.status is Status.ERROR


def test_a_validation_beyond_its_cpu_limit_does_not_affect_the_next(check: Any) -> None:
    grow = {"$defs": {"n": {"allOf": [{"items": {"$ref": "#/$defs/n"}}, {"items": {"$ref": "#/$defs/n"}}],
                            "unevaluatedItems": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}  # fmt: skip
    for _ in range(2):
        verdict = check("[" * 50 + "1" + "]" * 50, {"schema": grow}, cpu_seconds=0.2)
        assert verdict.status is not Status.ERROR
        assert verdict.status in (Status.PASS, Status.FAIL, Status.INCONCLUSIVE)
        assert check("[[1]]", {"schema": grow}, cpu_seconds=0.2).status is Status.PASS


def reply(**changes: Any) -> Any:
    defaults: dict[str, Any] = {
        "value": None, "error": None, "message": "", "limit": None, "inconclusive": False,
        "cpu_seconds": 0.0, "wall_seconds": 0.0, "tier": "standard",
    }  # fmt: skip
    return sandbox.Reply(**{**defaults, **changes})


@pytest.mark.parametrize(
    ("changes", "status", "stage"),
    [
        ({"value": ""}, Status.PASS, Stage.CORRECT),
        ({"value": "no"}, Status.FAIL, Stage.FLAWED),
        ({"limit": "cpu"}, Status.FAIL, Stage.FLAWED),
        ({"error": "ProcessDied"}, Status.FAIL, Stage.FLAWED),
        ({"limit": "wall", "inconclusive": True}, Status.INCONCLUSIVE, Stage.FLAWED),
        ({"error": "ImportError"}, Status.ERROR, Stage.INVALID),
    ],
)
def test_status_for_each_reply_of_the_sandbox(
    check: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], status: Status, stage: Stage
) -> None:
    class Service:
        def call(self, *_: object) -> Any:
            return reply(**changes)

    monkeypatch.setattr(worker, "service", lambda cpu_seconds: Service())
    verdict = check("[]", {"schema": {"items": {"$ref": "#"}}})
    assert (verdict.status, verdict.stage) == (status, stage)
    assert changes.get("limit") is None or status is Status.INCONCLUSIVE or "cpu limit" in verdict.detail


def test_an_unavailable_sandbox_is_an_error(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(cpu_seconds: float) -> Any:
        raise SandboxError("no sandbox")

    monkeypatch.setattr(worker, "service", missing)
    assert check("[]", {"schema": {"items": {"$ref": "#"}}}).status is Status.ERROR
    assert check("[]", {"schema": {"items": True}}).status is Status.PASS


def test_concurrent_checks_with_many_schemas() -> None:
    verifier = JSONSchema()
    prompts = [Prompt(str(i), "t", reference={"schema": {"maximum": i}, "answer": i}) for i in range(50)]
    rows = [(prompt, n) for n in range(50) for prompt in prompts]

    def judge(row: tuple[Prompt, int]) -> bool:
        return verifier.check(row[0], Completion("p", 0, str(row[1]))).status is Status.PASS

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(judge, rows)) == [prompt.id == str(n) for prompt, n in rows]


def test_references_are_not_confused_when_ids_are_reused() -> None:
    verifier = JSONSchema()
    for i in range(5000):
        prompt = Prompt("p", "t", reference={"answer": i})
        assert verifier.check(prompt, Completion("p", 0, str(i))).status is Status.PASS
    assert len(tasks._cache) <= tasks.CACHE_SIZE == 4096


def test_fingerprint_includes_options_and_engine() -> None:
    assert JSONSchema().fingerprint() != JSONSchema(closed=False).fingerprint()
    assert "jsonschema" in JSONSchema().fingerprint().lower()
