"""Complete runs with a real model: sampled, verified, trained, measured, killed and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import transformers

from halo_core.config.model import ModelConfig
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.metrics import best_cycle
from halo_core.model.actor import Actor
from halo_core.run.plan import Plan
from halo_core.types import CycleReport

VERIFIER = '''
"""A verifier in a file: it counts capital letters."""
from halo_core.drivers import Verifier, driver
from halo_core.types import Stage, Status, Verdict


@driver
class Capitals(Verifier):
    """Passes a completion with at least `least` and at most `most` capital letters."""

    least: int = 2
    most: int = 99

    def check(self, prompt, completion):
        found = sum(letter.isupper() for letter in completion.text)
        if self.least <= found <= self.most:
            return Verdict(Status.PASS, Stage.CORRECT, score=1.0)
        return Verdict(Status.FAIL, Stage.WRONG)
'''
PROMPTS = [f"Write {n} words." for n in range(6)]


class Killed(BaseException):
    """A simulated kill; nothing catches it."""


@pytest.fixture
def raw(tmp_path: Path, checkpoint: Callable[..., Path]) -> dict[str, Any]:
    """Return a configuration of two cycles that take a second."""
    (tmp_path / "capitals.py").write_text(VERIFIER)
    for name, texts in (("train", PROMPTS[:4]), ("heldout", PROMPTS[4:])):
        rows = [json.dumps({"id": f"{name}-{n}", "prompt": text}) for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    return {
        "verifier": f"{tmp_path}/capitals.py:Capitals",
        "model": {"name": str(checkpoint(chat=True)), "device": "cpu"},
        "data": {"prompts": f"{tmp_path}/train.jsonl", "heldout": f"{tmp_path}/heldout.jsonl"},
        "generator": {"name": "transformers", "max_new_tokens": 12, "batch_tokens": 400, "temperature": 1.0},
        "reward": "binary",
        "selector": {"name": "raft", "truncated": True, "keep_top": 1.0},
        "trainer": {"name": "sft", "lora_rank": 8, "batch_size": 16, "epochs": 4},
        "lr_policy": {"name": "constant", "base_lr": 1e-2},
        "cycles": 2,
        "samples_per_prompt": 8,
        "heldout": {"samples_per_prompt": 8},
        "sandbox": "none",
    }


def run_in(raw: dict[str, Any], directory: Path) -> list[CycleReport]:
    with Plan.from_raw(raw).open(directory) as opened:
        return run_cycles(*opened)


def adapters_of(directory: Path) -> list[bytes]:
    """Return the contents of the files of a run's adapters."""
    return [path.read_bytes() for path in sorted(directory.glob("cycles/*/adapter/*"))]


def same(one: Path, other: Path) -> bool:
    """Return True if two runs differ only in measured times."""
    parts = compare(Ledger(one), Ledger(other))
    assert [part for part in parts if not part.same] == []
    return adapters_of(one) == adapters_of(other)


def test_a_run_of_two_cycles(raw: dict[str, Any], tmp_path: Path, checkpoint: Callable[..., Path]) -> None:
    reports = run_in(raw, tmp_path / "run")
    assert [report.cycle for report in reports] == [0, 1, 2]
    for report in reports[1:]:
        assert report.sampled is not None
        assert report.train is not None
        assert 0 < report.sampled.passed < 1
        assert report.sampled.samples == 32
        assert 0 < report.train.samples <= report.selected
        assert report.train.lr_peak == report.lr == 1e-2
        assert report.train.update_norm > 0
        assert report.train.loss_last < report.train.loss_first
    heldout = [report.heldout.stages for report in reports if report.heldout]
    assert heldout[0] != heldout[2], "equal seeds, different weights"

    adapters = [tmp_path / "run" / "cycles" / f"{cycle:03d}" / "adapter" for cycle in (1, 2)]
    base = transformers.AutoModelForCausalLM.from_pretrained(checkpoint(chat=True))
    peft.PeftModel.from_pretrained(base, adapters[1])
    transformers.AutoTokenizer.from_pretrained(adapters[1])
    model = ModelConfig(name=raw["model"]["name"], device="cpu")
    first, last = (Actor(replace(model, adapter=str(adapter))).weights_hash() for adapter in adapters)
    assert first != last


def test_training_uses_the_sampled_tokens(
    raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def spy(units: Any, *_: object, **__: object) -> None:
        trained.extend((example.prompt_ids, example.completion_ids) for (example,) in units)
        raise Killed

    monkeypatch.setattr("halo_core.model.training.fit", spy)
    with pytest.raises(Killed):
        run_in(raw, tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    samples = [it for batch in ledger.batches(1, "train", ledger.prompts("train")) for it in batch]
    passed = {
        (it.completion.prompt_token_ids, it.completion.token_ids) for it in samples if it.verdict.score == 1
    }
    assert set(trained) == passed
    assert len(trained) == len(passed)


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "from the best": {
        "start_from": "best",
        "trainer": {"optimizer": "carry"},
        "mix": {"mode": "accumulate", "cap": 3},
        "curriculum": {"order": "easy_first"},
        "cycles": 3,
    },
    "from the base": {
        "start_from": "base",
        "mix": {"mode": "replay", "share": 0.4},
        "per_cycle": {"generator": {"temperature": [1.0, 0.8]}, "selector": {"keep_top": [1.0, 0.5]}},
        "cycles": 3,
    },
    "between base and last": {
        "start_from": "interpolate",
        "curriculum": {"order": "frontier", "start": 0.5},
        "cycles": 3,
    },
    "rolled back": {
        "plugins": [{"name": "gate", "cut": 0.25}],
        "lr_policy": {"name": "manual", "rates": [1e-3, 0.3, 1e-2]},
        "most": 3,
        "trainer": {"optimizer": "carry"},
        "cycles": 3,
    },
}


def varied(raw: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge `changes` into `raw`, and their options into its options."""
    changes = dict(changes)
    verifier = {"name": raw["verifier"], **{key: changes.pop(key) for key in ("most",) if key in changes}}
    raw = raw | {"verifier": [verifier]}
    both = raw.keys() & changes.keys()
    merged = {k: raw[k] | changes[k] for k in both if isinstance(raw[k], dict) and "name" not in changes[k]}
    return raw | changes | merged


def test_each_cycle_starts_from_the_configured_weights(raw: dict[str, Any], tmp_path: Path) -> None:
    def starts(name: str) -> list[int]:
        return [report.started_from for report in run_in(varied(raw, VARIANTS[name]), tmp_path / name)][1:]

    assert starts("from the base") == [0, 0, 0]
    assert starts("between base and last") == [0, 1, 2]
    reports = run_in(varied(raw, VARIANTS["from the best"]), tmp_path / "from the best")
    assert [report.started_from for report in reports[1:]] == [best_cycle(reports[:n]) for n in (1, 2, 3)]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_run_that_is_killed_and_resumed_is_identical(
    raw: dict[str, Any], changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = varied(raw, changes)
    run_in(raw, tmp_path / "uninterrupted")
    real = {name: getattr(Ledger, name) for name in ("append", "write_trained", "write_report")}
    remaining = 0

    def killed_later(name: str) -> Callable[..., Any]:
        """Return the method of that name, which is killed after `remaining` writes."""

        def call(*arguments: Any) -> Any:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                raise Killed(name)
            return real[name](*arguments)

        return call

    for name in real:
        monkeypatch.setattr(Ledger, name, killed_later(name))
    kills: list[str] = []
    for attempt in range(30):
        remaining = 1 + attempt % 3
        try:
            run_in(raw, tmp_path / "killed")
            break
        except Killed as killed:
            kills.append(str(killed))
    if not changes:
        assert set(kills) == {"append", "write_trained", "write_report"}, (
            "every kind of write was interrupted"
        )
    assert len(kills) > 3
    assert same(tmp_path / "killed", tmp_path / "uninterrupted")


def test_the_number_of_workers_does_not_change_the_result(raw: dict[str, Any], tmp_path: Path) -> None:
    run_in(raw | {"cycles": 1, "workers": 1}, tmp_path / "one")
    run_in(raw | {"cycles": 1, "workers": 4}, tmp_path / "four")
    adapters = [tmp_path / name / "cycles/001/adapter/adapter_model.safetensors" for name in ("one", "four")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_a_model_without_a_tokenizer_creates_no_run(raw: dict[str, Any], tmp_path: Path) -> None:
    from halo_core.errors import ModelError

    directory = tmp_path / "bare"
    directory.mkdir()
    for file in Path(raw["model"]["name"]).iterdir():
        if file.name in {"config.json", "model.safetensors"}:
            (directory / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="tokenizer"):
        run_in(raw | {"model": {"name": str(directory), "device": "cpu"}}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
