"""`halo doctor`: check what this machine offers a run."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from halo_core.cli.output import print_json
from halo_core.cli.signatures import AsJSON

_LIBRARIES = ("halo-core", "torch", "transformers", "peft", "accelerate")
_CLUSTER_SECONDS = 20
"""Seconds that the installed clusters may take to describe themselves."""
_MARK = "\0"
"""Precedes the answer, after whatever a library prints."""


def doctor(
    torch: Annotated[
        bool, typer.Option("--torch/--no-torch", help="Load torch to detect accelerators.")
    ] = True,
    as_json: AsJSON = False,
) -> None:
    """Print versions, accelerators, settings and sandbox checks."""
    if as_json:
        print_json(_as_json(torch=torch))
        return
    typer.echo(f"python        {platform.python_version()} on {platform.system()} {platform.release()}")
    for name in _LIBRARIES:
        typer.echo(f"{name:<14}{_version(name)}")
    if torch:
        typer.echo(f"{'device':<14}{_device()}")
    for line in _hardware():
        typer.echo(line)
    for name, lines in _clusters().items():
        typer.echo(f"\ncluster {name}")
        for line in lines:
            typer.echo(f"  {line}")
    from halo_core import sandbox

    typer.echo("\nsandbox")
    for check in sandbox.doctor():
        typer.echo(f"  {check.check:<16}{'yes' if check.holds else 'no':<5}{check.detail}")


def _as_json(*, torch: bool) -> dict[str, Any]:
    from halo_core import sandbox
    from halo_core.config.hardware import detect, system_name

    hardware = detect()
    return {
        "python": platform.python_version(),
        "system": system_name(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "device": _device() if torch else None,
        "hardware": None
        if hardware is None
        else {"target": hardware.target, "usable": hardware.usable, "settings": hardware.profile.settings},
        "clusters": _clusters(),
        "sandbox": [asdict(check) for check in sandbox.doctor()],
    }


def _hardware() -> list[str]:
    """Return the detected hardware and the settings that it changes, one line each."""
    from halo_core.config.hardware import detect, targets

    found = detect()
    if found is None:
        detected = ", ".join(targets())
        return [f"{'hardware':<14}no settings{f' for {detected}' if detected else ''}"]
    head = f"{'hardware':<14}{found.target}, {found.profile.name}"
    if not found.usable:
        return [f"{head}; no settings, because torch is not a ROCm build"]
    values = {
        f"{section}.{key}": value
        for section, settings in found.profile.settings.items()
        for key, value in settings.items()
    }
    rows = [
        f"  {name:<28}{values.get(name, '-')!s:<10}{reason}" for name, reason in found.profile.reasons.items()
    ]
    return [f"{head}; default settings, which a configuration overrides:", *rows]


def _clusters() -> dict[str, list[str]]:
    """Return what each installed cluster tells about itself, by name; one that fails tells why.

    Each one is asked in a process of its own, because a connection to a cluster that does not answer may take minutes.
    """
    from halo_core.plugin.discovery import available

    asked = {source.name: _ask(source.address) for source in available("cluster")}
    deadline = time.monotonic() + _CLUSTER_SECONDS
    try:
        found = {name: _answer(process, deadline) for name, process in asked.items()}
    finally:
        for process in asked.values():
            _end(process)
    return {name: lines for name, lines in found.items() if lines}


def _ask(address: str) -> subprocess.Popen[str]:
    """Start a process that describes a cluster."""
    code = f"from halo_core.cli.doctor import print_cluster; print_cluster({address!r})"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


def _answer(process: subprocess.Popen[str], deadline: float) -> list[str]:
    """Return the lines of a process that describes a cluster, at the latest at the deadline."""
    try:
        out, _ = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        return list(json.loads(out.rpartition(_MARK)[2]))
    except subprocess.TimeoutExpired:
        return [f"no answer within {_CLUSTER_SECONDS} seconds"]
    except ValueError:
        return [f"it failed with exit code {process.returncode}"]


def _end(process: subprocess.Popen[str]) -> None:
    """End a process with all that it started."""
    if process.returncode is None:  # it has not been waited for, so the number is its own
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def print_cluster(address: str) -> None:
    """Print the lines with which a cluster describes itself, as JSON."""
    from halo_core.config.schema import DriverSpec
    from halo_core.errors import HaloError
    from halo_core.plugin.loading import load_driver

    try:
        cluster, _ = load_driver("cluster", DriverSpec(name=address))
        lines = list(cluster.describe())
    except HaloError as error:
        lines = [str(error)]
    print(_MARK + json.dumps(lines), flush=True)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        kind = "ROCm" if torch.version.hip else "CUDA"
        return ", ".join(
            f"{torch.cuda.get_device_name(i)} ({kind})" for i in range(torch.cuda.device_count())
        )
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} threads"
