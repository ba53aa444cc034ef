"""halo: train language models with rewards that a program can check.

The public names. Each is imported when it is first used, and importing this package never imports torch.

    from halo_core import Verifier, Verdict, driver       to write a verifier
    from halo_core import hookimpl                        to write a hook plugin
    from halo_core import Plan, run_cycles                to run from Python
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halo_core.config.options import driver as driver
    from halo_core.config.options import hook_plugin as hook_plugin
    from halo_core.deprecation import deprecated as deprecated
    from halo_core.drivers.base import Attack as Attack
    from halo_core.drivers.base import Cluster as Cluster
    from halo_core.drivers.base import Demo as Demo
    from halo_core.drivers.base import Driver as Driver
    from halo_core.drivers.base import Generator as Generator
    from halo_core.drivers.base import LRPolicy as LRPolicy
    from halo_core.drivers.base import Reward as Reward
    from halo_core.drivers.base import Selector as Selector
    from halo_core.drivers.base import Trainer as Trainer
    from halo_core.drivers.base import Verifier as Verifier
    from halo_core.drivers.base import Workers as Workers
    from halo_core.errors import ConfigError as ConfigError
    from halo_core.errors import DataError as DataError
    from halo_core.errors import DivergedError as DivergedError
    from halo_core.errors import HaloError as HaloError
    from halo_core.errors import Interrupted as Interrupted
    from halo_core.errors import ModelError as ModelError
    from halo_core.errors import OutOfMemoryError as OutOfMemoryError
    from halo_core.errors import PluginError as PluginError
    from halo_core.errors import RunError as RunError
    from halo_core.errors import SandboxError as SandboxError
    from halo_core.errors import TrainingError as TrainingError
    from halo_core.errors import UnknownPluginError as UnknownPluginError
    from halo_core.errors import VerifierError as VerifierError
    from halo_core.hookspecs import RunView as RunView
    from halo_core.hookspecs import hookimpl as hookimpl
    from halo_core.loop import run_cycles as run_cycles
    from halo_core.model.contexts import Actor as Actor
    from halo_core.model.contexts import ClusterContext as ClusterContext
    from halo_core.model.contexts import SamplingContext as SamplingContext
    from halo_core.model.contexts import SelectionContext as SelectionContext
    from halo_core.model.contexts import TrainingContext as TrainingContext
    from halo_core.model.contexts import Weights as Weights
    from halo_core.plugin.manager import Hooks as Hooks
    from halo_core.run.plan import Plan as Plan
    from halo_core.run.state import Run as Run
    from halo_core.seeds import derive_seed as derive_seed
    from halo_core.types import Completion as Completion
    from halo_core.types import CycleReport as CycleReport
    from halo_core.types import EvalMetrics as EvalMetrics
    from halo_core.types import PairedDifference as PairedDifference
    from halo_core.types import Prompt as Prompt
    from halo_core.types import Sample as Sample
    from halo_core.types import SamplingRequest as SamplingRequest
    from halo_core.types import Stage as Stage
    from halo_core.types import Status as Status
    from halo_core.types import TrainStats as TrainStats
    from halo_core.types import Verdict as Verdict
    from halo_core.verification.composed import ComposedVerifier as ComposedVerifier
    from halo_core.verification.composed import combine_verdicts as combine_verdicts

_HOME = {
    "halo_core.config.options": "driver hook_plugin",
    "halo_core.deprecation": "deprecated",
    "halo_core.drivers.base": (
        "Attack Cluster Demo Driver Generator LRPolicy Reward Selector Trainer Verifier Workers"
    ),
    "halo_core.errors": (
        "ConfigError DataError DivergedError HaloError Interrupted ModelError OutOfMemoryError PluginError RunError "
        "SandboxError TrainingError UnknownPluginError VerifierError"
    ),
    "halo_core.hookspecs": "RunView hookimpl",
    "halo_core.loop": "run_cycles",
    "halo_core.model.contexts": "Actor ClusterContext SamplingContext SelectionContext TrainingContext Weights",
    "halo_core.plugin.manager": "Hooks",
    "halo_core.run.plan": "Plan",
    "halo_core.run.state": "Run",
    "halo_core.seeds": "derive_seed",
    "halo_core.types": (
        "Completion CycleReport EvalMetrics PairedDifference Prompt Sample SamplingRequest Stage Status "
        "TrainStats Verdict"
    ),
    "halo_core.verification.composed": "ComposedVerifier combine_verdicts",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'halo_core' has no attribute {name!r}")
    return getattr(import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
