from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from halo_core import drivers
from halo_core.config.options import options_of
from halo_core.drivers import (
    Cluster,
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
from halo_core.types import Prompt, Stage, Status, Verdict

KINDS = [Cluster, Generator, LRPolicy, Reward, Selector, Trainer, Verifier]


@driver
class Lenient(Verifier):
    """Passes every completion."""

    level: int = 1
    """Strictness."""

    def check(self, prompt: Prompt, completion: object) -> Verdict:
        return Verdict(Status.PASS, Stage.CORRECT)


@driver
class Stricter(Lenient):
    """Inherits the options of `Lenient`."""

    extra: float = 0.5
    """More."""


def test_the_public_names() -> None:
    assert sorted(drivers.__all__) == sorted(
        ["Attack", "Demo", "Driver", "Workers", "driver", *(kind.__name__ for kind in KINDS)]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_interface_is_abstract(kind: type[Driver]) -> None:
    assert issubclass(kind, Driver)
    with pytest.raises(TypeError, match="abstract"):
        kind()


def test_optional_methods_of_a_verifier() -> None:
    verifier = Lenient()
    verifier.preflight()
    verifier.check_prompt(Prompt("p"))
    assert verifier.demo() is None
    assert verifier.valid_label == "valid"


def test_a_fingerprint_changes_with_the_options() -> None:
    assert Lenient().fingerprint() == Lenient().fingerprint()
    assert Lenient(level=2).fingerprint() != Lenient().fingerprint()
    assert Stricter().fingerprint() != Lenient().fingerprint()


def test_a_subclass_of_a_driver_inherits_its_options() -> None:
    assert [(option.name, option.help) for option in options_of(Stricter)] == [
        ("level", "Strictness."),
        ("extra", "More."),
    ]
    assert Stricter(level=2).level == 2


def test_drivers_are_values() -> None:
    assert Lenient(level=2) == Lenient(level=2) != Lenient()
    assert hash(Lenient()) == hash(Lenient())
    assert pickle.loads(pickle.dumps(Lenient(level=2))) == Lenient(level=2)


def test_a_demo_needs_no_settings() -> None:
    assert Demo((), (), Path()).settings == {}
