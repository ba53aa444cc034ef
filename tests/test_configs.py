"""The shipped configurations: each is valid, names its commands, and every key has an effect."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.config.layers import load_yaml
from halo_core.errors import HaloError
from halo_core.run.plan import Plan

ROOT = Path(__file__).parents[1]
TOP = ROOT / "configs"
STUDIES = TOP / "studies"
"""Study files, which halo-study tests; their base configurations are in a folder of their own."""
CONFIGS = sorted(path for path in TOP.glob("**/*.yaml") if path.parent != STUDIES)
EXPERIMENTAL = ("constant_lr", "decay_lr", "aggressive_decay")
TEXTS = (
    "rollback",
    "previous",
    "constant",
    "linear",
    "prompt",
    "run",
    "float32",
    "bfloat16",
    "cpu",
    "chat",
    "none",
    "weak",
    "c",
    "c++",
    "c17",
    "-O1",
)
"""Values that some text option accepts."""


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each leaf of a configuration, without the names of drivers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "name" or path == ("model",):
                yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    else:
        yield path


def other_values(value: Any) -> list[Any]:
    """Return values of the same type; the key accepts at least one of them."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value / 2]
    try:
        return [float(value) / 2]  # YAML reads 5e-5 as text
    except (TypeError, ValueError):
        return [*(text for text in TEXTS if text != value), f"{value}-other"]


def changed(raw: dict[str, Any], path: tuple[Any, ...]) -> Plan:
    """Return the plan with another value at `path`."""
    for value in other_values(_at(raw, path)):
        edited = copy.deepcopy(raw)
        _at(edited, path[:-1])[path[-1]] = value
        try:
            return Plan.from_raw(edited)
        except HaloError:
            continue
    raise AssertionError(f"no other value of {path} is accepted")


def _at(raw: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        raw = raw[part]
    return raw


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_key_has_an_effect(path: Path) -> None:
    raw = load_yaml(path)
    plan = Plan.from_raw(raw)
    for key in leaves(raw):
        other = changed(raw, key)
        assert other.config != plan.config, key
        if len(key) > 1 and key[0] not in {"model", "data", "heldout"}:
            assert other.drivers != plan.drivers or other.plugins != plan.plugins, key


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_resolved_configuration_round_trips(path: Path) -> None:
    config = Plan.from_raw(load_yaml(path)).config
    assert Plan.from_raw(config.model_dump(mode="json")).config == config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_commands_in_the_header_are_accepted(path: Path, halo: Callable[..., Any]) -> None:
    head = "".join(line for line in path.read_text().splitlines(True) if line.startswith("#"))
    commands = re.findall(r"^#   halo (?:run|config validate) (.*)$", head, re.MULTILINE)
    assert commands
    for command in commands:
        words = [str(ROOT / word) if word.startswith("configs/") else word for word in shlex.split(command)]
        answer = halo("config", "show", *words)
        assert answer.code == 0, answer.err


def test_the_demo_configuration_equals_the_demo() -> None:
    full = Plan.from_raw(load_yaml(ROOT / "configs/gcc_demo.yaml"))
    short = Plan.from_raw({"verifier": "gcc", "lr_policy": "exponential"})
    assert full.config == short.config
    assert full.demo_model


@pytest.mark.parametrize("kind", ["raft", "demo"])
def test_the_experimental_configurations_differ_in_their_policy_only(kind: str) -> None:
    raws = [load_yaml(path) for path in CONFIGS if path.match(f"experimental/{kind}_*")]
    assert len(raws) == 3
    assert len({str({**raw, "lr_policy": None}) for raw in raws}) == 1
    assert len({str(raw["lr_policy"]) for raw in raws}) == 3


NOTES = {
    "model.name": "Qwen/Qwen2.5-Coder-7B",
    "model.dtype": "bfloat16",
    "generator.temperature": 0.7,
    "generator.top_p": 0.95,
    "selector.threshold": 0.5,
    "selector.keep_top": 1.0,
    "trainer.lora_rank": 16,
    "trainer.lora_alpha": 32,
    "trainer.lora_dropout": 0.05,
    "trainer.epochs": 1,
    "trainer.batch_size": 2 * 16,
    "trainer.max_grad_norm": 0.3,
    "trainer.weight_decay": 0.01,
    "trainer.schedule": "linear",
    "trainer.warmup_steps": 5,
    "cycles": 5,
    "samples_per_prompt": 8,
}
"""Values from the halo-forge notes or, if the notes have none, from the files that came with them."""
SMALLER = {"model.name", "model.dtype", "generator.temperature", "generator.top_p", "trainer.batch_size"}
"""Keys in which a demo-sized configuration differs, besides its learning rates."""


@pytest.mark.parametrize("name", EXPERIMENTAL)
def test_the_experimental_configurations_have_the_values_of_the_notes(name: str) -> None:
    raft, demo = (load_yaml(ROOT / f"configs/experimental/{kind}_{name}.yaml") for kind in ("raft", "demo"))
    assert {key: _at(raft, tuple(key.split("."))) for key in NOTES} == NOTES
    assert len(raft["trainer"]["target_modules"]) == 7
    same = {key: value for key, value in NOTES.items() if key not in SMALLER}
    assert {key: _at(demo, tuple(key.split("."))) for key in same} == same
    assert demo["lr_policy"].pop("base_lr") == "2e-3"
    assert raft["lr_policy"].pop("base_lr") == "5e-5"
    assert demo["lr_policy"] == raft["lr_policy"]


@pytest.mark.parametrize("name", EXPERIMENTAL)
def test_the_demo_sized_configurations_can_run(name: str) -> None:
    plan = Plan.from_raw(load_yaml(ROOT / f"configs/experimental/demo_{name}.yaml"))
    assert plan.demo_model
    prompts, heldout = plan.data()
    plan.drivers.verifiers.check_prompts([*prompts, *heldout])


@pytest.mark.parametrize(
    ("name", "lrs"),
    [
        ("raft_constant_lr", [5e-5, 5e-5, 5e-5, 5e-5, 5e-5]),
        ("raft_decay_lr", [5e-5, 4.25e-5, 3.61e-5, 3.07e-5, 2.61e-5]),
        ("raft_aggressive_decay", [5e-5, 3.5e-5, 2.45e-5, 1.72e-5, 1.2e-5]),
        ("demo_decay_lr", [2e-3, 1.7e-3, 1.45e-3, 1.23e-3, 1.04e-3]),
        ("demo_aggressive_decay", [2e-3, 1.4e-3, 0.98e-3, 0.69e-3, 0.48e-3]),
    ],
)
def test_the_experimental_configurations_have_the_learning_rates_in_their_header(
    name: str, lrs: list[float]
) -> None:
    path = ROOT / f"configs/experimental/{name}.yaml"
    policy = Plan.from_raw(load_yaml(path)).drivers.get("lr_policy")
    got = [policy.lr(cycle=cycle, cycles=5, history=()) for cycle in range(1, 6)]
    assert got == pytest.approx(lrs, rel=6e-3)
    if "decay" in name:
        listed = path.read_text().partition(": ")[2].partition(" x ")[0].split(", ")
        unit = 1e-5 if name.startswith("raft") else 1e-3
        assert [float(text) * unit for text in listed] == pytest.approx(lrs, rel=1e-9)
