"""Contracts to subclass and fakes of the slow parts, for authors of plugins and for halo's own tests.

    from halo_core.testing import VerifierContract

    class TestMyVerifier(VerifierContract):
        @pytest.fixture
        def verifier(self): return MyVerifier()
        ...

Needs pytest; halo itself does not import it.
"""

from halo_core.testing.cluster_contract import ClusterContract
from halo_core.testing.contracts import LRPolicyContract, VerifierContract
from halo_core.testing.demos import DemoContract
from halo_core.testing.fakes import FakeActor, FakeGenerator, FakePolicy, FakeTrainer, FakeVerifier, fake_run
from halo_core.testing.generator_contract import GeneratorContract
from halo_core.testing.hook_plugin_contract import HookPluginContract
from halo_core.testing.measurements import make_metrics, make_stats
from halo_core.testing.reward_contract import RewardContract, make_sample
from halo_core.testing.samples import make_samples
from halo_core.testing.selector_contract import SelectorContract
from halo_core.testing.tiny import tiny_actor
from halo_core.testing.trainer_contract import FakeCheckpoint, TrainerContract

__all__ = [
    "ClusterContract",
    "DemoContract",
    "FakeActor",
    "FakeCheckpoint",
    "FakeGenerator",
    "FakePolicy",
    "FakeTrainer",
    "FakeVerifier",
    "GeneratorContract",
    "HookPluginContract",
    "LRPolicyContract",
    "RewardContract",
    "SelectorContract",
    "TrainerContract",
    "VerifierContract",
    "fake_run",
    "make_metrics",
    "make_sample",
    "make_samples",
    "make_stats",
    "tiny_actor",
]
