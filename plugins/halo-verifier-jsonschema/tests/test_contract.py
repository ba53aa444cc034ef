import pytest

from halo_core.testing.contracts import VerifierContract
from halo_core.types import Completion, Prompt
from halo_verifier_jsonschema import JSONSchema

TOOLS = [
    {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    }
]
TREE = {
    "type": "object",
    "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["v"],
}


class TestValue(VerifierContract):
    @pytest.fixture
    def verifier(self) -> JSONSchema:
        return JSONSchema(max_bytes=1000, numbers="value")

    @pytest.fixture
    def prompt(self) -> Prompt:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        return Prompt("double", "Double 2.", reference={"schema": schema, "answer": {"n": 4}})

    @pytest.fixture
    def good(self) -> str:
        return 'So:\n```json\n{"n": 4}\n```'

    @pytest.fixture
    def bad(self) -> str:
        return '{"n": 5}'


class TestCalls(VerifierContract):
    @pytest.fixture
    def verifier(self) -> JSONSchema:
        return JSONSchema(partial=True)

    @pytest.fixture
    def prompt(self) -> Prompt:
        calls = [{"name": "add", "arguments": {"a": 1, "b": n}} for n in (2, 3)]
        return Prompt("add", "Add.", reference={"tools": TOOLS, "calls": calls})

    @pytest.fixture
    def good(self) -> str:
        return (
            '[{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "add", "arguments": {"a": 1, "b": 3}}]'
        )

    @pytest.fixture
    def bad(self) -> str:
        return '[{"name": "add", "arguments": {"a": 1, "b": 2}}]'


class TestSandboxedSchema(VerifierContract):
    """A schema that is validated in a sandboxed process."""

    @pytest.fixture
    def verifier(self) -> JSONSchema:
        return JSONSchema()

    @pytest.fixture
    def prompt(self) -> Prompt:
        return Prompt("tree", "A tree.", reference={"schema": TREE})

    @pytest.fixture
    def good(self) -> str:
        return '{"v": 1, "kids": [{"v": 2, "kids": []}]}'

    @pytest.fixture
    def bad(self) -> str:
        return '{"v": 1, "kids": [{"v": "2"}]}'


def test_extracted_part_is_the_json() -> None:
    prompt = Prompt("p", reference={"schema": {"type": "object"}})
    found = JSONSchema().extracted(prompt, Completion("p", 0, 'So:\n```json\n{"n": 4}\n```'))
    assert found is not None
    assert found.strip() == '{"n": 4}'
    assert JSONSchema().extracted(prompt, Completion("p", 0, "<think>{}")) is None
