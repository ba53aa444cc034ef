"""halo: train language models with rewards that a program can check.

The public names; each is imported when it is first used. Importing this package never imports torch.

    from halo_core import Verifier, Verdict, driver       to write a verifier
    from halo_core import hookimpl                        to write a hook plugin
    from halo_core import Plan, run_cycles                to run from Python
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halo_core.drivers import (
        Attack,
        Demo,
        Driver,
        Generator,
        LRPolicy,
        Reward,
        Selector,
        Trainer,
        Verifier,
        driver,
    )
    from halo_core.errors import (
        ConfigError,
        DataError,
        DivergedError,
        HaloError,
        Interrupted,
        ModelError,
        PluginError,
        RunError,
        SandboxError,
        TrainingError,
        VerifierError,
    )
    from halo_core.hookspecs import hookimpl
    from halo_core.loop import run_cycles
    from halo_core.plugin.manager import Hooks
    from halo_core.run.plan import Plan
    from halo_core.run.state import Run
    from halo_core.seeds import derive_seed
    from halo_core.types import (
        Completion,
        CycleReport,
        EvalMetrics,
        PairedDifference,
        Prompt,
        Sample,
        SamplingRequest,
        Stage,
        Status,
        TrainStats,
        Verdict,
    )

_HOME = {
    "halo_core.run.plan": ("Plan",),
    "halo_core.drivers": (
        "Attack", "Demo", "Driver", "Generator", "LRPolicy", "Reward", "Selector", "Trainer", "Verifier", "driver",
    ),
    "halo_core.errors": (
        "ConfigError", "DataError", "DivergedError", "HaloError", "Interrupted", "ModelError", "PluginError",
        "RunError", "SandboxError", "TrainingError", "VerifierError",
    ),
    "halo_core.plugin.manager": ("Hooks",),
    "halo_core.hookspecs": ("hookimpl",),
    "halo_core.loop": ("run_cycles",),
    "halo_core.run.state": ("Run",),
    "halo_core.seeds": ("derive_seed",),
    "halo_core.types": (
        "Completion", "CycleReport", "EvalMetrics", "PairedDifference", "Prompt", "Sample", "SamplingRequest", "Stage",
        "Status", "TrainStats", "Verdict",
    ),
}  # fmt: skip
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Attack",
    "Completion",
    "ConfigError",
    "CycleReport",
    "DataError",
    "Demo",
    "DivergedError",
    "Driver",
    "EvalMetrics",
    "Generator",
    "HaloError",
    "Hooks",
    "Interrupted",
    "LRPolicy",
    "ModelError",
    "PairedDifference",
    "Plan",
    "PluginError",
    "Prompt",
    "Reward",
    "Run",
    "RunError",
    "Sample",
    "SamplingRequest",
    "SandboxError",
    "Selector",
    "Stage",
    "Status",
    "TrainStats",
    "Trainer",
    "TrainingError",
    "Verdict",
    "Verifier",
    "VerifierError",
    "derive_seed",
    "driver",
    "hookimpl",
    "run_cycles",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'halo_core' has no attribute {name!r}")
    return getattr(import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
