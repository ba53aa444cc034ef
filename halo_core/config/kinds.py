"""The kinds of driver, in one table.

Configuration keys, command-line flags, entry-point groups, loading and the run's manifest all follow from `KINDS`.
To add a kind, add a row here and write its interface; a kind with a hook also needs the hook in `hookspecs.py` and
its default in `run/dispatch.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of driver."""

    name: str
    """Its name in messages and in plugin listings; the configuration key, except for hook plugins."""
    help: str
    """What it does, as a noun phrase for `--help` and for the configuration's documentation."""
    interface: str = ""
    """Base class as `module:Class`; empty for hook plugins, which have none."""
    hook: str = ""
    """The hook whose default calls the driver; empty if none does."""
    default: str = ""
    """Driver used when the configuration names none; empty: it must be named."""
    many: bool = False
    """Whether a run can have several."""
    per_cycle: bool = False
    """Whether its options may change from cycle to cycle."""
    option_flag: str = ""
    """Long flag of its options, without the dashes."""
    short: str = ""
    """Short flag of its options."""

    @property
    def group(self) -> str:
        """Entry-point group."""
        return "halo.lr_policies" if self.name == "lr_policy" else f"halo.{self.name}s"

    @property
    def key(self) -> str:
        """Key of the configuration."""
        return "plugins" if self.name == "plugin" else self.name

    def load_interface(self) -> type:
        """Import and return the base class."""
        module, _, name = self.interface.partition(":")
        found: type = getattr(import_module(module), name)
        return found


_BASE = "halo_core.drivers.base"
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="verifier",
            help="Verifier driver; repeatable.",
            interface=f"{_BASE}:Verifier",
            hook="verify",
            many=True,
            option_flag="verifier-opt",
            short="-V",
        ),
        Kind(
            name="generator",
            help="Generator driver.",
            interface=f"{_BASE}:Generator",
            hook="generate",
            default="transformers",
            per_cycle=True,
            option_flag="generator-opt",
            short="-G",
        ),
        Kind(
            name="reward",
            help="Reward driver.",
            interface=f"{_BASE}:Reward",
            hook="reward",
            default="graduated",
            per_cycle=True,
            option_flag="reward-opt",
            short="-R",
        ),
        Kind(
            name="selector",
            help="Selector driver.",
            interface=f"{_BASE}:Selector",
            hook="select",
            default="raft",
            per_cycle=True,
            option_flag="selector-opt",
            short="-S",
        ),
        Kind(
            name="trainer",
            help="Trainer driver.",
            interface=f"{_BASE}:Trainer",
            hook="train",
            default="sft",
            per_cycle=True,
            option_flag="trainer-opt",
            short="-T",
        ),
        Kind(
            name="lr_policy",
            help="Learning-rate policy driver.",
            interface=f"{_BASE}:LRPolicy",
            hook="lr_for_cycle",
            default="constant",
            option_flag="lr-opt",
            short="-L",
        ),
        Kind(
            name="plugin",
            help="Hook plugin by name or file; repeatable, later ones wrap earlier ones.",
            many=True,
            option_flag="plugin-opt",
        ),
    )
}
"""By name."""


def driver_sections() -> tuple[str, ...]:
    """Return the configuration keys that hold exactly one driver."""
    return tuple(kind.key for kind in KINDS.values() if not kind.many)


def driver_lists() -> tuple[str, ...]:
    """Return the configuration keys that hold a list of drivers."""
    return tuple(kind.key for kind in KINDS.values() if kind.many)


_LR_POLICIES = (
    "constant", "manual", "phased", "exponential", "step", "wsd", "global_cosine",
    "adaptive_seed", "plateau", "kl_target", "success_scaled", "budget",
)  # fmt: skip
PACKAGES: Mapping[tuple[str, str], str] = {
    **{
        ("verifier", name): f"halo-verifier-{name}"
        for name in ("gcc", "pytest", "sql", "sympy", "jsonschema")
    },
    **{("lr_policy", name): "halo-lr-policies" for name in _LR_POLICIES},
}
"""(kind, name) -> the package of this project that provides it. Used only to name the package to install."""
