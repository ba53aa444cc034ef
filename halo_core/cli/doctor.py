"""`halo doctor`: what this machine offers a run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer


def doctor(
    torch: Annotated[
        bool, typer.Option("--torch/--no-torch", help="Also load torch and look for accelerators.")
    ] = True,
) -> None:
    """Print versions, accelerators, what is set for them, and how well untrusted code can be contained here."""
    typer.echo(f"python        {platform.python_version()} on {platform.system()} {platform.release()}")
    for name in ("halo-core", "torch", "transformers", "peft", "accelerate"):
        typer.echo(f"{name:<14}{_version(name)}")
    if torch:
        typer.echo(f"{'device':<14}{_device()}")
    for line in _hardware():
        typer.echo(line)
    from halo_core import sandbox

    typer.echo("\nsandbox")
    for finding in sandbox.doctor():
        typer.echo(f"  {finding.check:<16}{'yes' if finding.holds else 'no':<5}{finding.detail}")


def _hardware() -> list[str]:
    """Say what hardware was recognised, and what configurations are laid over because of it."""
    from halo_core.config.hardware import detect, targets

    found = detect()
    if found is None:
        seen = ", ".join(targets())
        return [f"{'hardware':<14}nothing to set{f' ({seen})' if seen else ''}"]
    what = f"{'hardware':<14}{found.target}, {found.profile.name}"
    if not found.usable:
        return [f"{what}, but this torch is no build for ROCm: nothing is set"]
    keys = {
        f"{section}.{key}": value
        for section, settings in found.profile.settings.items()
        for key, value in settings.items()
    }
    rows = [
        f"  {name:<28}{keys.get(name, '-')!s:<10}{reason}" for name, reason in found.profile.reasons.items()
    ]
    return [f"{what}; set unless a configuration says otherwise:", *rows]


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
