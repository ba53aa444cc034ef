"""`halo doctor`: nothing that it asks can block it."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.config.hardware import system_name

Halo = Callable[..., Any]
Install = Callable[..., Path]

CLUSTERS = {
    "silent": "time.sleep(600)",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN); subprocess.Popen(['sleep', '600']).wait()",
    "broken": "raise PluginError('no cluster at 10.0.0.1')",
    "crashed": "os._exit(3)",
    "talkative": "print('connecting ...'); return ['2 nodes', 'a    8 CPUs']",
}


def cluster(body: str) -> str:
    """Return a module with a cluster whose description executes `body`."""
    return (
        "import os, signal, subprocess, time\n"
        "from halo_core.drivers import Cluster\n"
        "from halo_core.errors import PluginError\n"
        "from halo_core import driver\n\n\n@driver\n"
        "class Made(Cluster):\n"
        "    def describe(self):\n"
        f"        {body}\n"
        "    def open(self, context):\n"
        "        raise NotImplementedError\n"
    )


def test_a_cluster_that_does_not_answer_ends_nothing_but_its_own_lines(
    install: Install, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in CLUSTERS.items():
        entry = {"halo.clusters": f"{name} = acme_{name}:Made"}
        install(f"acme-{name}", "1.0", entry, {f"acme_{name}": cluster(body)})
    monkeypatch.setattr(sys.modules["halo_core.cli.doctor"], "_CLUSTER_SECONDS", 8)
    asked = json.loads(halo("doctor", "--no-torch", "--json").out)["clusters"]
    assert asked["silent"] == asked["stubborn"] == ["no answer within 8 seconds"]
    assert asked["broken"] == ["no cluster at 10.0.0.1"]
    assert asked["crashed"] == ["it failed with exit code 3"]
    assert asked["talkative"] == ["2 nodes", "a    8 CPUs"]


@pytest.mark.parametrize("kind", ["missing", "empty", "hanging"])
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["table", "json"])
def test_no_program_on_path_is_needed_or_waited_for(
    halo: Halo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, flags: list[str]
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (
        "uname",
        "gcc",
        "cc",
        "rustc",
        "rustup",
        "ldconfig",
        "nvidia-smi",
        "rocm-smi",
        "lscpu",
        "ray",
    ):
        program = programs / name
        program.write_text("#!/bin/sh\n/bin/sleep 600\n")
        program.chmod(0o755)
    if kind == "missing":
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", "" if kind == "empty" else str(programs))
    platform._uname_cache = None  # type: ignore[attr-defined]
    started = time.monotonic()
    answer = halo("doctor", "--no-torch", *flags)
    assert (answer.code, answer.err) == (0, "")
    assert "tier strong" in answer.out
    assert time.monotonic() - started < 300, "it waited for a program"


def test_the_name_of_the_system_is_that_of_the_standard_library() -> None:
    assert system_name() == platform.platform()
    assert os.uname().release in system_name()
