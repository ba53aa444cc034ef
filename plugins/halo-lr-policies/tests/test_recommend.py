from __future__ import annotations

import re
from pathlib import Path

import pytest

from halo_core.drivers.sft import SFT
from halo_core.errors import ConfigError
from halo_core.model.rates import default_rate
from halo_core.tables import spell
from halo_lr_policies.lr_command.recommend import BASES, METHODS, parse_size, recommend
from halo_trainers.dpo import DPO
from halo_trainers.grpo import GRPO

LORA = {method: recommend(method).lr for method in METHODS}
FULL = {method: recommend(method, full=True).lr for method in METHODS}


def test_base_rates_are_those_of_published_practice() -> None:
    assert FULL == {"sft": 2e-5, "raft": 5e-6, "dpo": 5e-7, "grpo": 1e-6, "ppo": 1e-6}
    assert {method: LORA[method] / FULL[method] for method in METHODS} == pytest.approx(
        {**dict.fromkeys(METHODS, 10), "raft": 15}, rel=1e-9
    )


@pytest.mark.parametrize("key", BASES, ids=str)
def test_every_base_has_range_source_and_confidence(key: tuple[str, bool]) -> None:
    base = BASES[key]  # type: ignore[index]
    assert base.low < base.lr < base.high
    assert base.confidence in {"high", "medium", "low"}
    assert base.source


def test_the_rules_of_the_halo_forge_notes_hold_where_stated() -> None:
    assert LORA["raft"] == 7.5e-5, "15 times full fine-tuning, for runs of less than 100 steps"
    assert LORA["sft"] / LORA["grpo"] == pytest.approx(20)
    assert LORA["sft"] / BASES["grpo", False].high == pytest.approx(2)
    assert any("1/4 rule" in text for text in recommend("raft").remarks)
    for method in ("raft", "dpo", "grpo", "ppo"):
        assert any("10-40x" in text for text in recommend(method).remarks)
    assert not any("rule" in text for text in recommend("sft").remarks)


@pytest.mark.parametrize(
    ("method", "options", "comparison"),
    [
        ("sft", {}, "5e-5 to 3e-4; agrees"),
        ("raft", {}, "1e-5 to 5e-5; this is 1.5x higher"),
        ("raft", {"full": True}, "1e-5 to 5e-5; this is 2x lower"),
        ("dpo", {"full": True}, "5e-6; this is 10x lower"),
        ("ppo", {}, "1e-6 to 5e-6; this is 2x higher"),
        ("raft", {"batch": 128}, "1e-5 to 5e-5; this is 3x higher"),
    ],
)
def test_comparison_with_the_halo_forge_notes(method: str, options: dict[str, int], comparison: str) -> None:
    assert recommend(method, **options).notes_comparison == comparison  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch", "factor"), [(32, 1), (64, 2**0.5), (16, 0.5**0.5), (128, 2), (4096, 2), (1, 0.5)]
)
def test_the_rate_scales_with_the_root_of_the_batch(batch: int, factor: float) -> None:
    found = recommend("sft", batch=batch)
    assert found.lr == pytest.approx(2e-4 * factor)
    assert (found.low, found.high) == pytest.approx((1e-4 * factor, 5e-4 * factor))


@pytest.mark.parametrize(
    ("size", "full", "factor"),
    [
        (7e9, True, 1),
        (70e9, True, 0.316),
        (0.5e9, True, 3.74),
        (1e6, True, 4),
        (70e9, False, 0.562),
        (1e15, True, 0.25),
    ],
)
def test_larger_models_get_lower_rates(size: float, full: bool, factor: float) -> None:
    assert recommend("sft", full=full, size=size).lr == pytest.approx(
        (2e-5 if full else 2e-4) * factor, rel=1e-3
    )


def test_the_size_formula_fits_its_sources() -> None:
    small, large = (recommend("sft", full=True, size=size).lr for size in (8e9, 70e9))
    assert 2.5 <= small / large <= 3.0, "Tulu 3: 5e-6 to 2e-6, 3e-7 to 1e-7"
    small, large = (recommend("sft", size=size).lr for size in (1e9, 70e9))
    assert 2.5 <= small / large <= 3.5, "Tinker: 1e-3 to 3e-4"


def adapter_remark(rank: int, alpha: float) -> str:
    return next(text for text in recommend("raft", rank=rank, alpha=alpha).remarks if "alpha" in text)


def test_rank_and_alpha_are_remarked_on_but_not_applied() -> None:
    assert "no adjustment" in adapter_remark(64, 32)
    assert "x 0.25 to 1" in adapter_remark(64, 128)
    assert "x 1 to 2" in adapter_remark(8, 16)
    assert "alpha / rank is 1, not 2" in adapter_remark(16, 16)
    assert "suggests x 2;" in adapter_remark(16, 16)
    for rank, alpha in ((64, 32), (64, 128), (16, 16)):
        assert recommend("raft", rank=rank, alpha=alpha).lr == 7.5e-5
    assert not any("alpha" in text for text in recommend("raft", full=True, alpha=16).remarks)


def test_temperature_and_data_size_are_remarked_on_but_not_applied() -> None:
    for temperature, suggested in ((0.5, "3e-5"), (0.7, "5e-5"), (0.95, "7e-5")):
        found = recommend("raft", temperature=temperature, samples=100_000)
        assert found.lr == 7.5e-5
        text = next(text for text in found.remarks if text.startswith("temperature"))
        assert f"suggests {suggested} at {temperature}" in text
    assert "suggests" not in " ".join(recommend("raft").remarks)


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"samples": 200}, "7 optimizer steps"),
        ({"samples": 49, "batch": 4}, "49 samples"),
        ({"batch": 64}, "large batches"),
        ({"size": 0.1e9}, "below 0.4B"),
    ],
)
def test_warnings(options: dict[str, int], warning: str) -> None:
    assert any(warning in text for text in recommend("raft", **options).warnings)  # type: ignore[arg-type]


def test_usual_setups_have_no_warnings() -> None:
    assert recommend("raft", samples=500, size=7e9).warnings == ()
    assert recommend("raft", full=True, batch=64).warnings == ()


def test_lr_sum_of_a_cycle() -> None:
    assert recommend("raft", samples=500).lr_sum == pytest.approx(1.2e-3)
    assert recommend("raft").lr_sum is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("7B", 7e9), ("0.5b", 5e8), ("350M", 3.5e8), ("7e9", 7e9), ("1.5 B", 1.5e9), ("800k", 8e5)],
)
def test_parse_size(text: str, size: float) -> None:
    assert parse_size(text) == pytest.approx(size)


@pytest.mark.parametrize("text", ["", "big", "-7B", "0B", "7G", "7BB", "nan", "inf"])
def test_invalid_sizes_raise(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_size(text)


def test_an_unknown_method_raises() -> None:
    with pytest.raises(ConfigError, match="'grp'") as caught:
        recommend("grp")
    assert caught.value.hint == "did you mean 'grpo'?"
    assert recommend("GRPO") == recommend("grpo")


def test_the_quick_reference_has_the_same_rates() -> None:
    card = (Path(__file__).parents[3] / "docs/lr-quick-reference.md").read_text()
    rows = re.findall(r"^\| (SFT|RAFT|DPO|GRPO|PPO)[^|]*\| (.*?) \| (.*?) \| (.*?) \|", card, re.MULTILINE)
    assert [row[0].lower() for row in rows] == list(METHODS)
    for method, lora, full, confidence in rows:
        bases = BASES[method.lower(), False], BASES[method.lower(), True]
        expected = [f"{spell(b.lr)} ({spell(b.low)} to {spell(b.high)})" for b in bases]
        assert [lora, full] == expected
        assert confidence.split(", ") == list(dict.fromkeys(b.confidence for b in bases)), method


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("size", [1e6, 134_500_000, 5e8, 7e9, 70e9])
def test_the_default_rates_of_runs_are_those_recommended(size: float, full: bool) -> None:
    for method, trainer in (("raft", SFT), ("dpo", DPO), ("grpo", GRPO)):
        recommended = recommend(method, full=full, size=size).lr
        assert default_rate(trainer.usual_lr, int(size), full=full) == pytest.approx(recommended, rel=0.05)
