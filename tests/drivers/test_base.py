from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from halo_core import drivers
from halo_core.config.options import options_of
from halo_core.drivers import Demo, Driver, Generator, LRPolicy, Reward, Selector, Trainer, Verifier, driver
from halo_core.types import Prompt, Stage, Status, Verdict

KINDS = [Generator, LRPolicy, Reward, Selector, Trainer, Verifier]


@driver
class Judge(Verifier):
    """Passes everything."""

    level: int = 1
    """How strict."""

    def check(self, prompt: Prompt, completion: object) -> Verdict:
        return Verdict(Status.PASS, Stage.CORRECT)


@driver
class Stricter(Judge):
    """Inherits its options."""

    extra: float = 0.5
    """More."""


def test_the_public_names() -> None:
    assert sorted(drivers.__all__) == sorted(
        ["Attack", "Demo", "Driver", "driver", *(kind.__name__ for kind in KINDS)]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_interface_cannot_be_used_half_done(kind: type[Driver]) -> None:
    assert issubclass(kind, Driver)
    with pytest.raises(TypeError, match="abstract"):
        kind()


def test_what_a_verifier_need_not_say() -> None:
    judge = Judge()
    assert judge.preflight() is None
    assert judge.check_prompt(Prompt("p")) is None
    assert judge.demo() is None
    assert judge.valid_label == "valid"


def test_a_fingerprint_changes_with_the_options() -> None:
    assert Judge().fingerprint() == Judge().fingerprint()
    assert Judge(level=2).fingerprint() != Judge().fingerprint()
    assert Stricter().fingerprint() != Judge().fingerprint()


def test_a_driver_of_a_driver_has_both_their_options() -> None:
    assert [(option.name, option.help) for option in options_of(Stricter)] == [
        ("level", "How strict."),
        ("extra", "More."),
    ]
    assert Stricter(level=2).level == 2


def test_drivers_are_values() -> None:
    assert Judge(level=2) == Judge(level=2) != Judge()
    assert hash(Judge()) == hash(Judge())
    assert pickle.loads(pickle.dumps(Judge(level=2))) == Judge(level=2)


def test_a_demo_needs_no_settings() -> None:
    assert Demo((), (), Path()).settings == {}
