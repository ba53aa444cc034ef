"""The table of driver kinds, and a kind added to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from halo_core import hookspecs
from halo_core.config.kinds import COMMAND, KINDS, PACKAGES, Kind, driver_lists, driver_sections
from halo_core.config.schema import RunConfig
from halo_core.drivers import Driver

DRIVER_KINDS = [kind for kind in KINDS.values() if kind.interface]


def test_rows_are_found_by_their_name() -> None:
    assert all(kind.name == name for name, kind in KINDS.items())


@pytest.mark.parametrize(
    ("name", "group", "key"),
    [
        ("verifier", "halo.verifiers", "verifier"),
        ("lr_policy", "halo.lr_policies", "lr_policy"),
        ("plugin", "halo.plugins", "plugins"),
        ("environment", "halo.environments", "environment"),
    ],
)
def test_group_and_key_follow_from_the_name(name: str, group: str, key: str) -> None:
    kind = Kind(name=name, help="")
    assert (kind.group, kind.key) == (group, key)


@pytest.mark.parametrize("kind", DRIVER_KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_driver_has_an_interface_and_a_hook(kind: Kind) -> None:
    assert issubclass(kind.load_interface(), Driver)
    assert kind.name == "cluster" or hasattr(getattr(hookspecs, kind.hook), "halo_spec")
    assert kind.many or kind.default


def test_every_kind_is_a_key_of_the_configuration() -> None:
    assert {kind.key for kind in KINDS.values()} <= set(RunConfig.model_fields)
    assert driver_lists() == ("verifier", "plugins")
    assert {*driver_sections(), *driver_lists()} == {kind.key for kind in KINDS.values()}


def test_flags_are_unique() -> None:
    for flags in ([kind.option_flag for kind in DRIVER_KINDS], [kind.short for kind in DRIVER_KINDS]):
        assert all(flags)
        assert len(set(flags)) == len(flags)


def test_packages_provide_known_kinds() -> None:
    assert {kind for kind, _ in PACKAGES} <= {*KINDS, COMMAND}


INTERFACE = """
from abc import abstractmethod
from halo_core.drivers import Driver

class Environment(Driver):
    "Reacts to completions."

    @abstractmethod
    def react(self, text): ...
"""
DRIVER = """
from halo_core.drivers import driver
from halo_core.errors import PluginError
from environments import Environment

@driver
class Env(Environment):
    "Echoes the completion."

    rounds: int = 2
    "Number of reactions."

    def preflight(self):
        if self.rounds > 9:
            raise PluginError("more than 9 rounds")

    def react(self, text):
        return text
"""
SCRIPT = """
import json, sys
from pathlib import Path
from halo_core.config.kinds import KINDS, Kind

assert "halo_core.config.schema" not in sys.modules
KINDS["environment"] = Kind(
    name="environment",
    help="Environment driver.",
    interface="environments:Environment",
    default="./env.py:Env",
    option_flag="environment-opt",
    short="-E",
)

import halo_core.model.actor
from halo_core.cli import main
from halo_core.errors import ConfigError, PluginError
from halo_core.plugin.discovery import available
from halo_core.run.plan import Plan
from halo_core.testing import FakeActor

halo_core.model.actor.Actor = lambda config: FakeActor()
fakes = sys.argv[1]
raw = {
    "verifier": f"{fakes}:Words",
    "generator": f"{fakes}:Skilled",
    "trainer": f"{fakes}:Adder",
    "lr_policy": f"{fakes}:Flat",
    "environment": {"name": "./env.py:Env", "rounds": "3"},
}
plan = Plan.from_raw(raw)
with plan.open(Path("run")) as (run, _):
    pass
manifest = json.loads(Path("run/plugins.json").read_text())

def error(rounds, check):
    try:
        check(Plan.from_raw(raw | {"environment": {"rounds": rounds}}))
    except (ConfigError, PluginError) as caught:
        return str(caught)

found = {
    "driver": repr(plan.drivers.get("environment")),
    "resolved": plan.config.model_dump(mode="json")["environment"],
    "stored": run.ledger.config()["environment"],
    "default": Plan.from_raw({k: v for k, v in raw.items() if k != "environment"}).drivers.get("environment").rounds,
    "manifest": [row["options"] for row in manifest if row["kind"] == "environment"],
    "preflight": error(10, Plan.preflight),
    "invalid": error("many", Plan.preflight),
    "installed": [source.name for source in available("environment")],
}
print(json.dumps(found), flush=True)
sys.argv = ["halo", "plugins"]
main()
"""


def test_adding_a_kind_of_driver_touches_the_table_and_the_file_of_its_interface(tmp_path: Path) -> None:
    (tmp_path / "environments.py").write_text(INTERFACE)
    (tmp_path / "env.py").write_text(DRIVER)
    (tmp_path / "script.py").write_text(SCRIPT)
    info = tmp_path / "acme_env-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-env\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[halo.environments]\necho = env:Env\n")
    drivers = Path(__file__).parents[1] / "fake_drivers.py"
    command = [sys.executable, "script.py", str(drivers)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, _, listing = done.stdout.partition("\n")
    resolved = {"name": f"{tmp_path}/env.py:Env", "rounds": 3}
    assert json.loads(first) == {
        "driver": "Env(rounds=3)",
        "resolved": resolved,
        "stored": resolved,
        "default": 2,
        "manifest": [{"rounds": 3}],
        "preflight": "more than 9 rounds",
        "invalid": "environment './env.py:Env': rounds: expected a whole number (got 'many')",
        "installed": ["echo"],
    }
    assert any(line.split()[:3] == ["environment", "echo", "acme-env"] for line in listing.splitlines()), (
        listing
    )
