from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.config.layers import assign, differences, load_yaml, normalise, short_name
from halo_core.config.schema import read_config
from halo_core.errors import ConfigError

MINIMAL = {"verifier": ["gcc"]}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_only_a_verifier_is_required() -> None:
    config = read_config(MINIMAL)
    assert [spec.name for spec in config.specs("verifier")] == ["gcc"]
    names = [config.spec(kind).name for kind in ("selector", "trainer", "reward", "lr_policy")]
    assert names == ["raft", "sft", "graduated", "constant"]
    assert (config.cycles, config.seed, config.sandbox) == (5, 0, "auto")


def test_a_missing_verifier_is_reported_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="no verifier was named") as caught:
        read_config({})
    assert "--verifier gcc" in caught.value.hint
    nothing: object
    for nothing in ([], None):
        with pytest.raises(ConfigError, match="no verifier was named"):
            read_config({"verifier": nothing})


@pytest.mark.parametrize(
    ("raw", "key", "hint"),
    [
        ({"cylces": 3}, "cylces", "did you mean 'cycles'?"),
        ({"model": {"nam": "x"}}, "model.nam", "did you mean 'name'?"),
        ({"data": {"prompt": "x"}}, "data.prompt", "did you mean 'prompts'?"),
        ({"heldout": {"samples": 3}}, "heldout.samples", "did you mean 'samples_per_prompt'?"),
        ({"zzz": 1}, "zzz", "known: checkpoint_seconds, cluster, curriculum, cycles, "),
    ],
)
def test_an_unknown_key_is_rejected_at_every_depth(raw: dict[str, Any], key: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"^configuration: unknown key '{key}'$") as caught:
        read_config({**MINIMAL, **raw})
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"cycles": -1}, "configuration: cycles: "),
        ({"cycles": "many"}, "configuration: cycles: expected a whole number (got 'many')"),
        ({"cycles": 2.5}, "configuration: cycles: expected a whole number (got 2.5)"),
        ({"samples_per_prompt": 0}, "samples_per_prompt: "),
        ({"seed": -1}, "seed: "),
        ({"max_error_rate": 1.5}, "max_error_rate: "),
        ({"workers": 0}, "workers: "),
        ({"checkpoint_seconds": float("inf")}, "checkpoint_seconds: input should be a finite number"),
        ({"sandbox": "strongest"}, "sandbox: input should be 'auto', 'strong', 'standard', 'weak' or 'none'"),
        ({"data": {"heldout_share": 1}}, "data.heldout_share: "),
        ({"data": {"limit": 0}}, "data.limit: "),
        ({"heldout": {"samples_per_prompt": 0}}, "heldout.samples_per_prompt: "),
        ({"model": {"dtype": "float8"}}, "model.dtype: "),
        ({"model": None}, "model is a section of keys, not None"),
        ({"selector": None}, "selector: "),
        ({"selector": 3}, "selector: "),
        ({"selector": ["raft"]}, "selector: "),
        ({"plugins": [{"a": 1}]}, "plugins.0: a driver needs a name"),
        ({"plugins": [3]}, "plugins.0: "),
        ({"plugins": None}, "plugins: "),
        ({"verifier": [{"name": 3}]}, "no verifier was named in {'name': 3}"),
        ({"verifier": {"gcc": {"standard": "c99"}}}, "no verifier was named in {'gcc': {'standard': 'c99'}}"),
        ({"verifier": [3]}, "verifier.0: a driver needs a name (got 3)"),
        ({"model": "x"}, "configuration: model is a section of keys, not 'x'"),
        ({"data": 3}, "configuration: data is a section of keys, not 3"),
        ({"model": {"name": ["x"]}}, "model.name: expected text (got ['x'])"),
        ({"model": {"trust_remote_code": "perhaps"}}, "expected true or false (got 'perhaps')"),
        ({"per_cycle": {"trainer": {"epochs": 2}}}, "per_cycle.trainer.epochs: expected a list (got 2)"),
        ({1: 2}, "configuration: "),
    ],
)
def test_an_invalid_value_is_reported_in_one_line(raw: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(normalise({**MINIMAL, **raw}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_a_misspelt_verifier_key_is_named_instead_of_the_missing_verifier() -> None:
    with pytest.raises(ConfigError, match=r"^configuration: unknown key 'verifer'$") as caught:
        read_config({"verifer": ["gcc"]})
    assert caught.value.hint == "did you mean 'verifier'?"


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        ({"model": "x"}, "write model: {name: x}"),
        ({"data": "p.jsonl"}, "write data: {prompts: p.jsonl}"),
        ({"heldout": "p.jsonl"}, "its keys are samples_per_prompt, limit, generator"),
        ({"verifier": {"gcc": {}}}, "name one: --verifier gcc, or verifier: {name: gcc, OPTION: VALUE}"),
        ({"selector": {"name": 3}}, "write {name: NAME, OPTION: VALUE}"),
    ],
)
def test_a_value_in_place_of_a_section_is_answered_with_the_right_form(
    raw: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(normalise({**MINIMAL, **raw}))
    assert caught.value.hint == hint


def test_a_driver_is_a_name_or_a_mapping_with_options() -> None:
    config = read_config({**MINIMAL, "selector": {"name": "raft", "threshold": 0.7}, "reward": "binary"})
    assert config.spec("selector").options == {"threshold": 0.7}
    assert (config.spec("reward").name, config.spec("reward").options) == ("binary", {})


@pytest.mark.parametrize("key", ["generator", "reward", "selector", "trainer", "lr_policy"])
def test_options_without_a_name_belong_to_the_default_driver(key: str) -> None:
    spec = getattr(read_config({**MINIMAL, key: {"x": 1}}), key)
    assert spec.name == getattr(read_config(MINIMAL), key).name
    assert spec.options == {"x": 1}


def test_a_cluster_may_be_written_by_its_name() -> None:
    short = {"ray": {"samplers": 4, "trainers": 2}}
    assert normalise(short) == {"cluster": {"name": "ray", "samplers": 4, "trainers": 2}}
    assert normalise({"ray": None, "cluster": "ray"}) == {"cluster": {"name": "ray"}}
    with pytest.raises(ConfigError, match="both ray and cluster 'local' are configured"):
        normalise({"ray": {}, "cluster": "local"})
    with pytest.raises(ConfigError, match="ray is a section of keys"):
        normalise({"ray": "auto"})


def test_the_resolved_form_round_trips() -> None:
    raw = {
        "verifier": [{"name": "gcc", "standard": "c11"}, "sql"],
        "plugins": ["./shape.py"],
        "model": {"name": "m"},
    }
    dumped = read_config(raw).model_dump(mode="json")
    assert read_config(yaml.safe_load(yaml.safe_dump(dumped))).model_dump(mode="json") == dumped
    assert dumped["verifier"] == [{"name": "gcc", "standard": "c11"}, {"name": "sql"}]


# Files


def test_a_file_is_read_and_its_sections_become_mappings(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "verifier: gcc\nlr_policy: {name: exponential, base_lr: 5e-5}\nplugins: [a, {name: b, k: 1}]\n",
    )
    raw = load_yaml(path)
    assert raw["verifier"] == [{"name": "gcc"}]
    assert raw["lr_policy"] == {"name": "exponential", "base_lr": "5e-5"}, (
        "text for YAML; the driver converts it to a float"
    )
    assert raw["plugins"] == [{"name": "a"}, {"name": "b", "k": 1}]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("verifier: gcc\n  cycles: 3\n", ":2:9"),
        ("verifier: [gcc\ncycles: 3\n", ":2:7"),
        ("a: 'b\n", ":2:1"),
        ("a: {b\n", ":"),
        ("\tx: 1\n", ":1:1"),
        ("a: *nobody\n", ":1:4"),
        ("a: !!python/object:os.system x\n", ":1:4"),
        ("a: 1\n---\nb: 2\n", ":2:1"),
    ],
)
def test_invalid_yaml_is_reported_with_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}{place}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("cycles: 1\nseed: 2\ncycles: 3\n", ":3:1"),
        ("selector:\n  cap: 1\n  cap: 2\n", ":3:3"),
        ("x: {a: 1, a: 2}\n", ":1:11"),
    ],
)
def test_a_key_given_twice_is_an_error_at_any_depth(tmp_path: Path, text: str, place: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}{place}: key ")
    assert "is given twice" in str(caught.value)


def test_anchors_and_merges_are_plain_yaml(tmp_path: Path) -> None:
    path = written(tmp_path, "selector: &s {threshold: 0.7, cap: 2}\nreward:\n  <<: *s\n  cap: 3\n")
    assert load_yaml(path)["reward"] == {"threshold": 0.7, "cap": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b"- a\n", "not a list"),
        (b"text\n", "not a str"),
        (b"a: \xff\n", "not UTF-8"),
        (b"a: \x00\n", "not YAML"),
        (b"? [a]\n: b\n", "unhashable"),
    ],
)
def test_a_file_that_is_not_a_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load_yaml(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_yaml(tmp_path)


# Layers


def assigned(raw: dict[str, Any], *settings: tuple[str, Any]) -> dict[str, Any]:
    raw = normalise(deepcopy(raw))
    for path, value in settings:
        assign(raw, path, value)
    return raw


def test_an_assignment_reaches_any_depth() -> None:
    assert assigned({}, ("cycles", "3"), ("model.name", "m"), ("lr_policy.rates.cycle_1", "5e-5")) == {
        "cycles": "3",
        "model": {"name": "m"},
        "lr_policy": {"rates": {"cycle_1": "5e-5"}},
    }


def test_an_assignment_replaces_one_value() -> None:
    raw = {"selector": {"name": "raft", "threshold": 0.7, "cap": 2}}
    assert assigned(raw, ("selector.threshold", "0.9"))["selector"] == {
        "name": "raft",
        "threshold": "0.9",
        "cap": 2,
    }


@pytest.mark.parametrize("path", ["lr_policy", "lr_policy.name"])
def test_another_driver_drops_the_previous_drivers_options(path: str) -> None:
    raw = {"lr_policy": {"name": "exponential", "decay": 0.7}}
    assert assigned(raw, (path, "constant"))["lr_policy"] == {"name": "constant"}
    assert assigned(raw, (path, "exponential"))["lr_policy"] == {"name": "exponential", "decay": 0.7}


def test_options_may_be_set_before_the_driver_is_named() -> None:
    assert assigned({}, ("lr_policy.decay", "0.7"), ("lr_policy", "exponential"))["lr_policy"] == {
        "name": "exponential",
        "decay": "0.7",
    }
    assert assigned({}, ("verifier.standard", "c11"), ("verifier", ["gcc"]))["verifier"] == [
        {"name": "gcc", "standard": "c11"}
    ]


def test_one_of_several_verifiers_is_addressed_by_name() -> None:
    raw = {"verifier": ["halo-verifier-gcc:gcc", {"name": "./mine.py:Mine", "level": 1}]}
    got = assigned(raw, ("verifier.gcc.standard", "c11"), ("verifier.Mine.level", "2"))
    assert got["verifier"] == [
        {"name": "halo-verifier-gcc:gcc", "standard": "c11"},
        {"name": "./mine.py:Mine", "level": "2"},
    ]
    with pytest.raises(ConfigError, match=r"verifier.standard: name one; listed: gcc, Mine"):
        assigned(raw, ("verifier.standard", "c11"))
    with pytest.raises(ConfigError, match=r"verifier.sql.x: 'sql' is not listed; listed: gcc, Mine"):
        assigned(raw, ("verifier.sql.x", "1"))


def test_a_new_list_of_verifiers_keeps_the_options_of_those_that_stay() -> None:
    raw = {"verifier": [{"name": "gcc", "standard": "c11"}, "sql"]}
    assert assigned(raw, ("verifier", ["gcc"]))["verifier"] == [{"name": "gcc", "standard": "c11"}]


@pytest.mark.parametrize(
    ("raw", "path", "value"),
    [
        ({"cycles": 3}, "cycles.x", "1"),
        ({"model": None}, "model.name", "m"),
        ({"selector": {"name": "raft", "cap": 1}}, "selector.cap.x", "1"),
        ({}, "selector", ["a", "b"]),
        ({"plugins": [3]}, "plugins.shape.k", "1"),
        ({"verifier": [None]}, "verifier.gcc.k", "1"),
    ],
)
def test_an_assignment_to_an_invalid_path(raw: dict[str, Any], path: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        assigned(raw, (path, value))
    assert path.split(".")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("gcc", "gcc"),
        ("halo-verifier-gcc:gcc", "gcc"),
        ("./mine.py:Mine", "Mine"),
        ("/a/b/shape.py", "shape"),
        ("", ""),
    ],
)
def test_short_names(name: str, short: str) -> None:
    assert short_name(name) == short


def test_differences_are_one_line_each_with_both_values() -> None:
    before = {
        "cycles": 3,
        "lr_policy": {"name": "exponential", "decay": 0.85},
        "verifier": [{"name": "gcc"}],
        "rates": [1, 2],
    }
    after = {
        "cycles": 5,
        "lr_policy": {"name": "constant"},
        "verifier": [{"name": "gcc", "x": 1}],
        "rates": (1, 2),
    }
    assert differences(before, after) == [
        "cycles: was 3, is 5",
        "lr_policy.decay: was 0.85, is absent",
        "lr_policy.name: was 'exponential', is 'constant'",
        "verifier[0].x: was absent, is 1",
    ]
    assert differences(before, before) == []
