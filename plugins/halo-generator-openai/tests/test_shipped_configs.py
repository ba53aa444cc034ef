"""The configurations of `configs/engines`, in miniature: another model, other prompts, fewer tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_run import small_run

from halo_core import ModelError, Plan, run_cycles
from halo_core.config.layers import load_yaml
from halo_core.ledger.ledger import Ledger
from halo_core.testing import tiny_actor
from halo_core.types import CycleReport
from halo_generator_openai.testing import serving

CONFIGS = Path(__file__).parents[3] / "configs/engines"


def run(name: str, url: str, folder: Path, **generator: Any) -> tuple[list[CycleReport], Ledger]:
    """Run two cycles of a shipped configuration with the tiny actor and a server at `url`."""
    shipped, small = load_yaml(CONFIGS / f"{name}.yaml"), small_run(folder, {})
    raw = {**shipped, **{key: small[key] for key in ("verifier", "model", "data", "sandbox", "plugins")}}
    raw["generator"] = {**shipped["generator"], "url": url, "max_new_tokens": 8, **generator}
    raw["selector"] = {**shipped["selector"], "truncated": True}
    raw["lr_policy"] = small["lr_policy"]
    raw["trainer"] = {**shipped["trainer"], "epochs": 2, "batch_size": 8}
    raw["cycles"] = 2
    if "heldout" in shipped:
        raw["heldout"] = {**shipped["heldout"], "generator": {"name": "transformers", "max_new_tokens": 8}}
    with Plan.from_raw(raw).open(folder / "run") as opened:
        return run_cycles(*opened), Ledger(folder / "run")


def test_distillation(tmp_path: Path) -> None:
    with serving(tiny_actor()) as server:
        reports, ledger = run("distillation", server.url, tmp_path)
        questions = [body for path, body in server.state.asked if path == "/v1/chat/completions"]
    assert len(reports) == 3
    assert [report.cycle for report in reports] == [0, 1, 2]
    advice = load_yaml(CONFIGS / "distillation.yaml")["generator"]["teacher_system"]
    assert len(questions) == 2 * 4 * 8
    assert {body["messages"][0]["content"] for body in questions} == {advice}
    assert {body["messages"][1]["content"].split()[0] for body in questions} == {"train"}
    assert server.state.adapters == {}
    assert all((report.heldout_changed or 0) > 0 for report in reports[1:]), "the local model is measured"
    assert ledger.config()["generator"]["api"] == "chat"


@pytest.mark.parametrize("adapters", ["vllm", "sglang"])
def test_a_server_follows_the_adapter(adapters: str, tmp_path: Path) -> None:
    with serving(tiny_actor(), text_only=adapters == "sglang") as server:
        reports, _ = run("server_with_adapter", server.url, tmp_path, adapters=adapters)
        loads = [body["lora_name"] for path, body in server.state.asked if "/load_lora" in path]
        used = {
            body["model"].rpartition(":")[2] for path, body in server.state.asked if "completions" in path
        }
    assert len(set(loads)) == len(loads) == 2
    assert used == {"tiny", *loads}
    if adapters == "vllm":
        assert all((report.sampler_error or 1) < 1e-3 for report in reports[1:])
    else:
        assert all(report.sampler_unchecked for report in reports[1:])


def test_a_server_that_ignores_the_adapter_ends_the_run(tmp_path: Path) -> None:
    with serving(tiny_actor(), follows=False) as server, pytest.raises(ModelError, match="trained weights"):
        run("server_with_adapter", server.url, tmp_path)
