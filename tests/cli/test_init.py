"""`halo init` and `halo config schema`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.data import load_prompts
from halo_core.run.config_schema import config_schema
from halo_core.run.plan import Plan

Halo = Callable[..., Any]
ROOT = Path(__file__).parents[2]
DRIVERS = ROOT / "tests" / "fake_drivers.py"
STUDIES = ROOT / "configs/studies"
CONFIGS = sorted(path for path in ROOT.glob("configs/**/*.yaml") if path.parent != STUDIES)


@pytest.fixture(scope="module")
def schema() -> Any:
    """The schema as a validator."""
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    return jsonschema_rs.validator_for(config_schema())


def resolved(raw: dict[str, Any]) -> dict[str, Any]:
    return Plan.from_raw(raw).config.model_dump(mode="json")


def uncommented(text: str) -> str:
    """Set every key that is commented out."""
    return re.sub(r"^( *)#((?:  )*\w+:)", r"\1\2", text, flags=re.MULTILINE)


@pytest.mark.parametrize("verifier", ["gcc", "pytest", "sql", "sympy", "jsonschema", f"{DRIVERS}:Words"])
def test_written_files_are_a_run_that_starts(halo: Halo, verifier: str) -> None:
    answer = halo("init", verifier)
    assert answer.code == 0, answer.err
    assert len(load_prompts("prompts.jsonl")) == (8 if "Words" in verifier else 32)
    valid = halo("config", "validate", "-c", "halo.yaml")
    assert valid.code == 0, valid.err
    assert "held-out prompts" in valid.out


def test_printed_commands_run(halo: Halo, fakes: list[str]) -> None:
    written = halo("init", f"{DRIVERS}:Words", "my project", "--prompts", 4)
    commands = re.findall(r"^next     (.*)$", written.out, re.MULTILINE)
    assert commands == ["cd 'my project'", "halo config validate -c halo.yaml", "halo run -c halo.yaml"]
    assert len(load_prompts("my project/prompts.jsonl")) == 4


def test_keys_that_are_not_set_show_their_defaults(halo: Halo) -> None:
    halo("init", "gcc", "--model", "m")
    text = Path("halo.yaml").read_text()
    everything = uncommented(text)
    assert everything.count("\n#") < text.count("\n#")
    written, full = yaml.safe_load(text), yaml.safe_load(everything)
    assert len(full["generator"]) > 4
    assert resolved(full) == resolved(written)
    assert set(full) == set(resolved(written))


def test_model_of_your_own_gets_ordinary_settings(halo: Halo) -> None:
    halo("init", "gcc", "--model", "org/model")
    written = yaml.safe_load(Path("halo.yaml").read_text())
    assert written["model"] == {"name": "org/model"}
    assert written["lr_policy"] == {"name": "exponential", "base_lr": 2e-4, "decay": 0.85}
    assert written["generator"].keys() == {"name", "system"}
    assert " in C " in written["generator"]["system"], "the prompts of the demo name no language"


def test_existing_files_are_kept(halo: Halo) -> None:
    Path("prompts.jsonl").write_text("mine")
    answer = halo("init", "gcc")
    assert "prompts.jsonl exists already" in answer.complaint()
    assert "--force" in answer.remedy()
    assert Path("prompts.jsonl").read_text() == "mine"
    assert not Path("halo.yaml").exists()
    assert halo("init", "gcc", "--force").code == 0
    assert Path("prompts.jsonl").read_text() != "mine"


def test_verifier_without_a_demo(halo: Halo) -> None:
    missing = halo("init", f"{DRIVERS}:Undemonstrable")
    assert "ships no demo" in missing.complaint()
    assert "--model" in missing.remedy()
    answer = halo("init", f"{DRIVERS}:Undemonstrable", "-m", "m")
    assert "write prompts.jsonl" in answer.out
    assert not Path("prompts.jsonl").exists()


def test_unknown_verifier(halo: Halo) -> None:
    assert "no verifier named 'gc' is installed" in halo("init", "gc").complaint()


# The schema


def test_first_line_names_the_schema(halo: Halo, schema: Any) -> None:
    halo("init", "gcc")
    text = Path("halo.yaml").read_text()
    name = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert name is not None
    assert json.loads(Path(name[1]).read_text()) == config_schema()
    assert json.loads(halo("config", "schema").out) == config_schema()
    for written in (text, uncommented(text)):
        assert not list(schema.iter_errors(yaml.safe_load(written)))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_schema_accepts_the_example_configurations(schema: Any, path: Path) -> None:
    raw = json.loads(re.sub(r'"(\d+e-?\d+)"', r"\1", json.dumps(yaml.safe_load(path.read_text()))))
    assert not [error.message for error in schema.iter_errors(raw)]


@pytest.mark.parametrize(
    ("raw", "valid"),
    [
        ({"verifier": "gcc"}, True),
        ({"verifier": ["gcc", {"name": "sql", "rtol": 0.1}]}, True),
        ({"verifier": {"name": "./mine.py:Mine", "anything": 1}}, True),
        ({"verifier": "./mine.py"}, True),
        ({"selector": {"threshold": 1}}, True),
        ({"lr_policy": {"name": "exponential", "base_lr": 5e-5}}, True),
        ({"plugins": ["gate", {"name": "doctor", "patience": 2}]}, True),
        ({"per_cycle": {"generator": {"temperature": [1, 0.9]}}}, True),
        ({"verifer": "gcc"}, False),
        ({"verifier": "gc"}, False),
        ({"verifier": {"name": "gcc", "standrad": "c17"}}, False),
        ({"selector": {"treshold": 1}}, False),
        ({"cycles": -1}, False),
        ({"model": {"dtype": "float8"}}, False),
        ({"data": {"promts": "x"}}, False),
        ({"per_cycle": {"verifier": {}}}, False),
        ({"generator": {"name": "transformers", "temperature": -1}}, False),
    ],
    ids=str,
)
def test_schema_marks_mistakes(schema: Any, raw: dict[str, Any], valid: bool) -> None:
    assert schema.is_valid(raw) == valid


def test_every_option_has_help() -> None:
    forms = config_schema()["properties"]["selector"]["anyOf"]
    raft = next(form for form in forms if form.get("properties", {}).get("name") == {"const": "raft"})
    assert raft["properties"]["threshold"]["description"] == "Lowest reward that is kept."
    assert all(option["description"] for name, option in raft["properties"].items() if name != "name")
