"""Settings for recognised hardware: the lowest layer of a configuration, just above the defaults.

    found = detect()                     the recognised hardware, or None
    raw = with_hardware_defaults(raw)    its settings, overridden by every key of `raw`

GPUs are recognised from the files of the kernel driver. Nothing here imports torch: that could take seconds, or
occupy a device that another process needs.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NODES = Path("/sys/class/kfd/kfd/topology/nodes")
"""The devices of the amdgpu driver, one directory for each; absent on a machine without that driver."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The settings for one kind of hardware."""

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    """Configuration, by section and key."""
    reasons: Mapping[str, str]
    """The reason for each setting, by `section.key`; also why some settings that users look for have no key."""


@dataclass(frozen=True, slots=True)
class Detected:
    """Recognised hardware."""

    target: str
    """The compiler's name for the GPU, such as gfx1151."""
    profile: Profile
    usable: bool
    """True if the installed torch is built for it; only then are the settings applied."""


PROFILES: Mapping[str, Profile] = {
    "gfx1151": Profile(
        "AMD Strix Halo",
        {"model": {"dtype": "bfloat16", "attn_implementation": "eager"}},
        {
            "model.dtype": "its fastest precision; the halo-forge notes measured 4-bit weights at half the speed",
            "model.attn_implementation": "the halo-forge notes measured sdpa 30 to 40% slower; try it with newer torch",
            "4-bit weights": "no key: halo loads no quantised weights",
            "loader workers": "no key: batches are made in the training process, as with 0 workers",
            "pinned memory": "no key: not used, CPU and GPU share their memory anyway",
        },
    )
}
"""By target. The figures are from the halo-forge notes; they were not measured with halo."""


def targets(nodes: Path | None = None) -> list[str]:
    """Return the targets of the AMD GPUs that the kernel lists, in the same order."""
    found = []
    for file in sorted((nodes or NODES).glob("*/properties"), key=lambda path: path.parent.name.zfill(9)):
        try:
            match = re.search(r"^gfx_target_version (\d+)$", file.read_text(), re.MULTILINE)
        except OSError:  # a container may list the file but forbid reading it
            continue
        if match and int(match[1]):  # 0: a CPU
            found.append(_target(int(match[1])))
    return found


def detect() -> Detected | None:
    """Return the first hardware of this machine that halo has settings for, or None."""
    for target in targets():
        if target in PROFILES:
            return Detected(target, PROFILES[target], built_for_rocm())
    return None


def with_hardware_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return `raw`, a configuration from `layers.normalise`, merged over the settings for this machine's hardware.

    The settings are left out if torch cannot use the GPU or `model.device` names another device.
    """
    found = detect()
    model = raw.get("model") or {}
    device = str(model.get("device") or "auto") if isinstance(model, Mapping) else "auto"
    if found is None or not found.usable or not re.match(r"auto$|cuda\b", device):
        return dict(raw)
    merged = dict(raw)
    for section, settings in found.profile.settings.items():
        given = raw.get(section)
        if given is None or isinstance(given, Mapping):
            merged[section] = {**settings, **(given or {})}
    return merged


def system_name() -> str:
    """Return the system, its release, the processor's architecture and the C library, as `platform.platform` does.

    That function runs the first `uname` on PATH and waits for it without a limit.
    """
    library = "".join(platform.libc_ver())
    names = (platform.system(), platform.release(), platform.machine(), library and f"with-{library}")
    return "-".join(filter(None, names))


def built_for_rocm() -> bool:
    """Return whether the installed torch is a build for ROCm, according to its files."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = Path(spec.origin).with_name("version.py").read_text()
    except OSError:
        return False
    return re.search(r"^hip\b.*= *['\"]", text, re.MULTILINE) is not None


def _target(version: int) -> str:
    """Return gfx1151 for 110501 and gfx90a for 90010: pairs of decimal digits, the last two pairs in hexadecimal."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
