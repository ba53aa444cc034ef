"""Settings for hardware that halo recognises: the lowest layer of a configuration, just above its defaults.

    found = detect()     None on a machine that needs none
    raw = under(raw)     the same for a run: whatever `raw` says goes over it

GPUs are recognised by what the kernel's driver says of them, so nothing here imports torch, which could take
seconds, or a device that another process needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NODES = Path("/sys/class/kfd/kfd/topology/nodes")
"""Where amdgpu lists what it drives, a directory a device; absent on any other machine."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a kind of hardware wants."""

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    """Configuration, by section and key."""
    reasons: Mapping[str, str]
    """Why, by `section.key`; and why there is no key for something that might be looked for."""


@dataclass(frozen=True, slots=True)
class Found:
    """Hardware that was recognised."""

    target: str
    """What the compiler calls it: gfx1151."""
    profile: Profile
    usable: bool
    """Whether the installed torch is built for it, so that the settings are applied."""


PROFILES: Mapping[str, Profile] = {
    "gfx1151": Profile(
        "AMD Strix Halo",
        {"model": {"dtype": "bfloat16", "attn_implementation": "eager"}},
        {
            "model.dtype": "what it computes fastest in; the notes measured 4-bit weights at half the speed",
            "model.attn_implementation": "the notes measured sdpa 30 to 40% slower; newer torch may differ: try it",
            "4-bit weights": "no key: halo loads no quantised weights",
            "loader workers": "no key: 0 in effect, batches are made in the process that trains",
            "pinned memory": "no key: none in effect, CPU and GPU share their memory anyway",
        },
    )
}
"""By target. Figures are those of the halo-forge notes; none was measured with halo."""


def targets(nodes: Path | None = None) -> list[str]:
    """Return the targets of the AMD GPUs that the kernel drives, in its order."""
    found = []
    for file in sorted((nodes or NODES).glob("*/properties"), key=lambda path: path.parent.name.zfill(9)):
        try:
            match = re.search(r"^gfx_target_version (\d+)$", file.read_text(), re.MULTILINE)
        except OSError:  # a container may list it without letting it be read
            continue
        if match and int(match[1]):  # 0: a CPU
            found.append(_target(int(match[1])))
    return found


def detect() -> Found | None:
    """Return the hardware of this machine that halo has settings for, or None."""
    for target in targets():
        if target in PROFILES:
            return Found(target, PROFILES[target], built_for_rocm())
    return None


def with_hardware_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `raw`, a configuration as `config.normalise` returns it, over the settings of this machine's hardware.

    They are left out when torch cannot use the GPU and when `model.device` names another device.
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


def built_for_rocm() -> bool:
    """Tell from its files whether the installed torch is a build for ROCm."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = Path(spec.origin).with_name("version.py").read_text()
    except OSError:
        return False
    return re.search(r"^hip\b.*= *['\"]", text, re.MULTILINE) is not None


def _target(version: int) -> str:
    """Write 110501 as gfx1151 and 90010 as gfx90a: decimal pairs, the last two as hexadecimal digits."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
