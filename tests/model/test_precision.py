"""The precision of a model on a CPU: measured, kept in a file, and kept by a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from halo_core.config.model import ModelConfig
from halo_core.model import caching, precision
from halo_core.model.actor import Actor
from halo_core.model.devices import choose_dtype
from halo_core.model.precision import SMALL, cpu_precision
from halo_core.testing import tiny_actor

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cpu_precision.cache_clear()
    yield tmp_path / "halo" / "precision.json"
    cpu_precision.cache_clear()


@pytest.mark.parametrize(("speedup", "expected"), [(1.9, "bfloat16"), (1.1, "float32"), (0.1, "float32")])
def test_the_faster_precision_is_measured_once(
    speedup: float, expected: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda: speedup)
    assert cpu_precision() is getattr(torch, expected)
    assert list(json.loads(cache.read_text()).values()) == [expected]
    monkeypatch.setattr(precision, "_speedup", lambda: pytest.fail("measured again"))
    cpu_precision.cache_clear()
    assert cpu_precision() is getattr(torch, expected)


def test_another_machine_or_torch_is_measured_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda: 2.0)
    cpu_precision()
    monkeypatch.setattr(torch, "__version__", "99.0")
    monkeypatch.setattr(precision, "_speedup", lambda: 0.5)
    cpu_precision.cache_clear()
    assert cpu_precision() is torch.float32
    assert sorted(json.loads(cache.read_text()).values()) == ["bfloat16", "float32"]


@pytest.mark.parametrize("content", ["", "[1]", '{"x": 1}', "\0"])
def test_a_damaged_or_read_only_cache_does_no_harm(
    content: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda: 2.0)
    cache.parent.mkdir()
    cache.write_text(content)
    assert cpu_precision() is torch.bfloat16
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    cpu_precision.cache_clear()
    assert cpu_precision() is torch.bfloat16


def test_only_large_models_are_computed_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda: 2.0)
    assert choose_dtype("auto", CPU, lambda: SMALL) is torch.bfloat16
    assert choose_dtype("auto", CPU, lambda: SMALL - 1) is torch.float32
    assert choose_dtype("float32", CPU, lambda: SMALL) is torch.float32


def test_the_weights_are_loaded_in_the_precision_that_was_chosen(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_speedup", lambda: 2.0)
    monkeypatch.setattr(precision, "SMALL", 1)
    actor = Actor(ModelConfig(name=tiny_actor().config.name, device="cpu", dtype="auto"))
    assert actor.model.dtype is actor.dtype is torch.bfloat16


def test_the_check_of_the_cache_allows_for_the_precision_of_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_ROUNDING", {torch.float32: 0.0})
    actor = Actor(replace(tiny_actor().config, dtype="bfloat16"))
    actor.model.float()
    assert actor.cache_flaw == ""


def test_both_precisions_are_really_timed() -> None:
    assert 0 < precision._speedup() < 1000
