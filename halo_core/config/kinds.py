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
    """Name in messages and plugin listings; also the configuration key, except for hook plugins."""
    help: str
    """Noun phrase for `--help` and for the documentation of the configuration."""
    interface: str = ""
    """Base class as `module:Class`; empty for hook plugins, which have none."""
    hook: str = ""
    """Hook whose default calls the driver; empty if no hook does."""
    default: str = ""
    """Driver used if the configuration names none; empty: the configuration must name one."""
    many: bool = False
    """True if a run can have several."""
    per_cycle: bool = False
    """True if its options may change from cycle to cycle."""
    option_flag: str = ""
    """Long flag for its options, without the dashes."""
    short: str = ""
    """Short flag for its options."""

    @property
    def group(self) -> str:
        """The entry-point group."""
        return "halo.lr_policies" if self.name == "lr_policy" else f"halo.{self.name}s"

    @property
    def key(self) -> str:
        """The key in the configuration."""
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
            name="cluster",
            help="Cluster driver.",
            interface=f"{_BASE}:Cluster",
            default="local",
            option_flag="cluster-opt",
            short="-C",
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


COMMAND = "command"
"""Commands are found through entry points as drivers are, but no run names them."""


def group_of(kind: str) -> str:
    """Return the entry-point group of a kind of driver, of hook plugins or of commands."""
    return "halo.commands" if kind == COMMAND else KINDS[kind].group


def driver_sections() -> tuple[str, ...]:
    """Return the configuration keys that hold exactly one driver."""
    return tuple(kind.key for kind in KINDS.values() if not kind.many)


def driver_lists() -> tuple[str, ...]:
    """Return the configuration keys that hold a list of drivers."""
    return tuple(kind.key for kind in KINDS.values() if kind.many)


_LR_POLICIES = (
    "manual", "phased", "exponential", "step", "wsd", "global_cosine",
    "adaptive_seed", "plateau", "kl_target", "success_scaled", "budget",
)  # fmt: skip
PACKAGES: Mapping[tuple[str, str], str] = {
    **{
        ("verifier", name): f"halo-verifier-{name}"
        for name in ("gcc", "pytest", "rust", "sql", "sympy", "jsonschema")
    },
    **{("lr_policy", name): "halo-lr-policies" for name in _LR_POLICIES},
    ("command", "lr"): "halo-lr-policies",
    ("command", "study"): "halo-study",
    ("cluster", "ray"): "halo-ray",
    **{
        ("selector", name): "halo-trainers" for name in ("all", "best_of_n", "star", "rso", "groups", "pairs")
    },
    **{("trainer", name): "halo-trainers" for name in ("dpo", "grpo", "ppo")},
}
"""(kind, name) -> the package of this project that provides it. Used only to name the package to install."""


def clusters() -> tuple[str, ...]:
    """Return the clusters of this project's packages; their names are keys of the configuration, too."""
    return tuple(name for kind, name in PACKAGES if kind == "cluster")


MOVED: Mapping[tuple[str, str], str] = {("lr_policy", "constant"): "halo-lr-policies"}
"""(kind, name) -> the package that provided it before halo-core did. Runs may have stored "package:name", and an older
version of the package still claims the name."""
