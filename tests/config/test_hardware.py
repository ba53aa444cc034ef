"""Hardware that is recognised; a directory of files stands in for the kernel's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.config import hardware
from halo_core.config.layers import load_yaml
from halo_core.config.model import ModelConfig
from halo_core.config.schema import RunConfig, read_config

Machine = Callable[..., None]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make this machine one with these devices, in the kernel's order, and a torch for ROCm or not."""

    def make(*versions: int | None, rocm: bool = True) -> None:
        for number, version in enumerate(versions):
            node = tmp_path / "nodes" / str(number)
            node.mkdir(parents=True)
            if version is None:
                (node / "properties").mkdir()
            else:
                (node / "properties").write_text(
                    f"cpu_cores_count 16\nsimd_count 80\ngfx_target_version {version}\nvendor_id 4098\n"
                )
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch/__init__.py").write_text("raise ImportError('torch was imported')")
        version = "'7.1.2'" if rocm else "None"
        (tmp_path / "torch/version.py").write_text(
            f"cuda: Optional[str] = None\nhip: Optional[str] = {version}\n"
        )
        monkeypatch.setattr(hardware, "NODES", tmp_path / "nodes")
        monkeypatch.setattr(
            hardware,
            "find_spec",
            lambda name: type("Spec", (), {"origin": str(tmp_path / name / "__init__.py")}),
        )

    return make


@pytest.mark.parametrize(
    ("version", "target"),
    [(110501, "gfx1151"), (90010, "gfx90a"), (90402, "gfx942"), (100300, "gfx1030"), (121110, "gfx12ba")],
)
def test_targets_as_the_compiler_calls_them(machine: Machine, version: int, target: str) -> None:
    machine(0, version)
    assert hardware.targets() == [target]


def test_in_the_kernels_order(machine: Machine) -> None:
    machine(0, 0, 110000, *[0] * 7, 110501, None)
    assert hardware.targets() == ["gfx1100", "gfx1151"], (
        "10 comes after 2, and what cannot be read is left out"
    )


def test_no_amd_gpu(machine: Machine) -> None:
    assert hardware.targets(Path("nowhere")) == []
    machine(0)
    assert hardware.detect() is None
    assert hardware.with_hardware_defaults({"verifier": "gcc"}) == {"verifier": "gcc"}


def test_a_gpu_without_settings_of_its_own(machine: Machine) -> None:
    machine(0, 110000)
    assert hardware.detect() is None


def test_strix_halo(machine: Machine) -> None:
    machine(0, 110501)
    found = hardware.detect()
    assert found is not None
    assert (found.target, found.profile.name, found.usable) == ("gfx1151", "AMD Strix Halo", True)


@pytest.mark.parametrize("target", hardware.PROFILES)
def test_every_setting_is_a_key_and_has_a_reason(target: str) -> None:
    profile = hardware.PROFILES[target]
    read_config({"verifier": ["any"], **profile.settings})
    for section, settings in profile.settings.items():
        for key in settings:
            assert profile.reasons[f"{section}.{key}"]


# The lowest layer


def model(raw: dict[str, Any]) -> ModelConfig:
    config: RunConfig = read_config({"verifier": ["any"], **hardware.with_hardware_defaults(raw)})
    return config.model


def test_it_is_above_the_defaults_and_below_everything_else(machine: Machine) -> None:
    machine(0, 110501)
    assert model({}) == ModelConfig(dtype="bfloat16", attn_implementation="eager")
    given = {"model": {"name": "m", "dtype": "float16", "device": "cuda:0"}}
    assert model(given) == ModelConfig(
        name="m", dtype="float16", device="cuda:0", attn_implementation="eager"
    )
    assert model({"model": {"attn_implementation": None}}).attn_implementation is None
    assert given == {"model": {"name": "m", "dtype": "float16", "device": "cuda:0"}}, "left as it was"


@pytest.mark.parametrize("device", ["cpu", "mps", "xpu"])
def test_another_device_needs_none_of_it(machine: Machine, device: str) -> None:
    machine(0, 110501)
    assert model({"model": {"device": device}}) == ModelConfig(device=device)


def test_a_torch_that_cannot_use_the_gpu_gets_none_of_it(machine: Machine) -> None:
    machine(0, 110501, rocm=False)
    found = hardware.detect()
    assert found is not None
    assert not found.usable
    assert model({}) == ModelConfig()


def test_no_torch_at_all(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(0, 110501)
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    assert not hardware.built_for_rocm()


def test_the_torch_here_is_read_without_being_imported() -> None:
    code = "import sys; from halo_core.config import hardware; print(hardware.built_for_rocm(), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    import torch

    assert out.split() == [str(torch.version.hip is not None), "False"]


def test_a_section_that_is_none_is_left_to_be_complained_of(machine: Machine) -> None:
    machine(0, 110501)
    assert hardware.with_hardware_defaults({"model": "m"}) == {"model": "m"}


def test_a_run_resolves_with_it(halo: Callable[..., Any], machine: Machine) -> None:
    machine(0, 110501)
    shown = halo("config", "show", "-v", "gcc")
    assert shown.code == 0, shown.err
    assert yaml.safe_load(shown.out)["model"]["dtype"] == "bfloat16", "with a demo, too"
    with_prompts = halo("config", "show", "-v", "gcc", "-m", "some/model", "-d", "prompts.jsonl")
    assert yaml.safe_load(with_prompts.out)["model"]["attn_implementation"] == "eager", "and without"
    flags = ("-v", "gcc", "--set", "model.dtype=float32", "--set", "model.attn_implementation=sdpa")
    config = yaml.safe_load(halo("config", "show", *flags).out)
    assert (config["model"]["dtype"], config["model"]["attn_implementation"]) == ("float32", "sdpa")
    assert (
        yaml.safe_load(halo("config", "show", "-v", "gcc", "--device", "cpu").out)["model"]["dtype"] == "auto"
    )


def test_the_configuration_for_it_says_the_same(machine: Machine) -> None:
    written = load_yaml(ROOT / "configs/hardware/strix-halo.yaml")
    for section, settings in hardware.PROFILES["gfx1151"].settings.items():
        assert settings.items() <= written[section].items()


# halo doctor


def test_doctor_says_what_it_found_and_set(halo: Callable[..., Any], machine: Machine) -> None:
    machine(0, 110501)
    out = halo("doctor", "--no-torch").out
    assert "hardware      gfx1151, AMD Strix Halo; set unless a configuration says otherwise:" in out
    assert "model.dtype" in out
    assert "bfloat16" in out
    assert "eager" in out
    assert "pinned memory" in out


def test_doctor_says_why_nothing_was_set(halo: Callable[..., Any], machine: Machine) -> None:
    machine(0, 110501, rocm=False)
    out = halo("doctor", "--no-torch").out
    assert "gfx1151, AMD Strix Halo, but this torch is no build for ROCm: nothing is set" in out
    assert "eager" not in out


@pytest.mark.parametrize(
    ("versions", "says"), [((0,), "nothing to set"), ((0, 110000), "nothing to set (gfx1100)")]
)
def test_doctor_on_other_machines(
    halo: Callable[..., Any], machine: Machine, versions: tuple[int, ...], says: str
) -> None:
    machine(*versions)
    assert f"hardware      {says}\n" in halo("doctor", "--no-torch").out
