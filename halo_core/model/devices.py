"""The device that holds a model, and the precision it computes in.

Importing this module does not import torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from halo_core.errors import ConfigError, ModelError, first_line

if TYPE_CHECKING:
    import torch

_KNOWN = "auto, cpu, cuda, cuda:1, mps or xpu"


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto": the accelerator if there is one, else the CPU.

    Raises a `ConfigError` if no device has such a name, and a `ModelError` if the device cannot be used.
    """
    import torch

    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    unknown = ConfigError(f"unknown device {name!r}", hint=f"a device is {_KNOWN}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            device = torch.device(name)
    except RuntimeError as error:
        raise unknown from error
    if device.type == "meta":  # holds no values
        raise unknown
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"device {name!r} cannot be used: {_reason(device, error)}",
            hint="leave `device` on auto, or set cpu",
        ) from error
    return device


def choose_dtype(name: str, device: torch.device, parameters: Callable[[], int]) -> torch.dtype:
    """Return the precision of that name; "auto": bfloat16 where it is faster, else float32.

    On an accelerator that is bfloat16 if it has it. On a CPU it is what `precision.cpu_precision` measures, for a model
    with at least `precision.SMALL` `parameters`.
    """
    import torch

    from halo_core.model.precision import SMALL, cpu_precision

    if name == "auto" and device.type == "cpu":
        return cpu_precision() if parameters() >= SMALL else torch.float32
    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _reason(device: torch.device, error: Exception) -> str:
    import torch

    if device.type == "cuda" and not (torch.version.cuda or torch.version.hip):
        return "this build of torch has neither CUDA nor ROCm"
    if not torch.accelerator.is_available():
        return "torch finds no accelerator"
    return first_line(error).partition(". ")[0]


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    match device.type:
        case "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        case "mps":
            return bool(torch.backends.mps.is_macos_or_newer(14, 0))
        case _:
            return True
