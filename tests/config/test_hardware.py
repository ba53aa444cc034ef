"""Recognised hardware; a temporary directory replaces the kernel's files."""

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
    """Simulate a machine with these devices, in the kernel's order, and a torch with or without ROCm."""

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
        hip = "'7.1.2'" if rocm else "None"
        (tmp_path / "torch/version.py").write_text(
            f"cuda: Optional[str] = None\nhip: Optional[str] = {hip}\n"
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
def test_targets_have_the_names_of_the_compiler(machine: Machine, version: int, target: str) -> None:
    machine(0, version)
    assert hardware.targets() == [target]


def test_targets_are_in_the_order_of_the_kernel(machine: Machine) -> None:
    machine(0, 0, 110000, *[0] * 7, 110501, None)
    assert hardware.targets() == ["gfx1100", "gfx1151"], "10 sorts after 2; unreadable entries are left out"


def test_a_machine_without_an_amd_gpu(machine: Machine) -> None:
    assert hardware.targets(Path("nowhere")) == []
    machine(0)
    assert hardware.detect() is None
    assert hardware.with_hardware_defaults({"verifier": "gcc"}) == {"verifier": "gcc"}


def test_a_gpu_without_settings_is_not_detected(machine: Machine) -> None:
    machine(0, 110000)
    assert hardware.detect() is None


def test_strix_halo_is_detected(machine: Machine) -> None:
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


# Layers


def model(raw: dict[str, Any]) -> ModelConfig:
    config: RunConfig = read_config({"verifier": ["any"], **hardware.with_hardware_defaults(raw)})
    return config.model


def test_hardware_settings_override_defaults_and_nothing_else(machine: Machine) -> None:
    machine(0, 110501)
    assert model({}) == ModelConfig(dtype="bfloat16", attn_implementation="eager")
    given = {"model": {"name": "m", "dtype": "float16", "device": "cuda:0"}}
    assert model(given) == ModelConfig(
        name="m", dtype="float16", device="cuda:0", attn_implementation="eager"
    )
    assert model({"model": {"attn_implementation": None}}).attn_implementation is None
    assert given == {"model": {"name": "m", "dtype": "float16", "device": "cuda:0"}}, "not modified"


@pytest.mark.parametrize("device", ["cpu", "mps", "xpu"])
def test_another_device_gets_no_settings(machine: Machine, device: str) -> None:
    machine(0, 110501)
    assert model({"model": {"device": device}}) == ModelConfig(device=device)


def test_a_torch_without_rocm_gets_no_settings(machine: Machine) -> None:
    machine(0, 110501, rocm=False)
    found = hardware.detect()
    assert found is not None
    assert not found.usable
    assert model({}) == ModelConfig()


def test_without_torch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(0, 110501)
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    assert not hardware.built_for_rocm()


def test_the_installed_torch_is_inspected_without_import() -> None:
    code = "import sys; from halo_core.config import hardware; print(hardware.built_for_rocm(), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    import torch

    assert out.split() == [str(torch.version.hip is not None), "False"]


def test_an_invalid_section_is_left_for_validation(machine: Machine) -> None:
    machine(0, 110501)
    assert hardware.with_hardware_defaults({"model": "m"}) == {"model": "m"}


def test_a_run_resolves_with_hardware_settings(halo: Callable[..., Any], machine: Machine) -> None:
    machine(0, 110501)
    shown = halo("config", "show", "-v", "gcc")
    assert shown.code == 0, shown.err
    assert yaml.safe_load(shown.out)["model"]["dtype"] == "bfloat16", "with a demo"
    with_prompts = halo("config", "show", "-v", "gcc", "-m", "some/model", "-d", "prompts.jsonl")
    assert yaml.safe_load(with_prompts.out)["model"]["attn_implementation"] == "eager", "and without a demo"
    flags = ("-v", "gcc", "--set", "model.dtype=float32", "--set", "model.attn_implementation=sdpa")
    config = yaml.safe_load(halo("config", "show", *flags).out)
    assert (config["model"]["dtype"], config["model"]["attn_implementation"]) == ("float32", "sdpa")
    assert (
        yaml.safe_load(halo("config", "show", "-v", "gcc", "--device", "cpu").out)["model"]["dtype"] == "auto"
    )


def test_the_shipped_configuration_has_the_same_settings(machine: Machine) -> None:
    written = load_yaml(ROOT / "configs/hardware/strix-halo.yaml")
    for section, settings in hardware.PROFILES["gfx1151"].settings.items():
        assert settings.items() <= written[section].items()


# halo doctor


def test_doctor_reports_hardware_and_settings(halo: Callable[..., Any], machine: Machine) -> None:
    machine(0, 110501)
    out = halo("doctor", "--no-torch").out
    assert "gfx1151, AMD Strix Halo" in out
    assert "model.dtype" in out
    assert "bfloat16" in out
    assert "eager" in out
    assert "pinned memory" in out


def test_doctor_reports_no_settings_without_rocm(halo: Callable[..., Any], machine: Machine) -> None:
    machine(0, 110501, rocm=False)
    out = halo("doctor", "--no-torch").out
    assert "gfx1151, AMD Strix Halo" in out
    assert "ROCm" in out
    assert "eager" not in out


@pytest.mark.parametrize(("versions", "target"), [((0,), ""), ((0, 110000), "gfx1100")])
def test_doctor_on_other_machines(
    halo: Callable[..., Any], machine: Machine, versions: tuple[int, ...], target: str
) -> None:
    machine(*versions)
    out = halo("doctor", "--no-torch").out
    assert target in out
    assert "eager" not in out
