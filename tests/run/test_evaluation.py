"""The selection that a run would make of the measurement before its first cycle."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.diagnosis.readiness import Selection
from halo_core.drivers import driver
from halo_core.drivers.raft import RAFT
from halo_core.drivers.rewards import Graduated
from halo_core.model.contexts import SelectionContext
from halo_core.run.dispatch import Drivers
from halo_core.run.evaluation import expected_selection
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict
from halo_core.verification.verifiers import VerifierSet

SAMPLES = [
    Sample(Prompt(name, name), Completion(name, index, f"{name}{index}"), Verdict(status, stage))
    for name, status, stage in (
        ("a", Status.PASS, Stage.CORRECT),
        ("b", Status.FAIL, Stage.WRONG),
        ("c", Status.FAIL, Stage.INVALID),
        ("d", Status.ERROR, Stage.CORRECT),
    )
    for index in range(4)
]


@driver
class Broken(RAFT):
    """Raises an exception."""

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        raise ZeroDivisionError


def expected(selector: RAFT) -> Selection | None:
    drivers = Drivers(VerifierSet({}), {"reward": Graduated(), "selector": selector})
    return expected_selection(drivers, SAMPLES, seed=0)


def test_the_selection_of_the_first_cycle_is_foreseen() -> None:
    assert expected(RAFT(keep_top=1.0)) == Selection(8, 2)
    assert expected(RAFT(keep_top=0.5, threshold=1.0)) == Selection(2, 1)
    assert expected(Broken()) is None
