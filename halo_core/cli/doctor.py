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
    """Print versions, accelerators, and how well untrusted code can be contained here."""
    typer.echo(f"python        {platform.python_version()} on {platform.system()} {platform.release()}")
    for name in ("halo-core", "torch", "transformers", "peft", "accelerate"):
        typer.echo(f"{name:<14}{_version(name)}")
    if torch:
        typer.echo(f"{'device':<14}{_device()}")
    from halo_core import sandbox

    typer.echo("\nsandbox")
    for finding in sandbox.doctor():
        typer.echo(f"  {finding.check:<16}{'yes' if finding.holds else 'no':<5}{finding.detail}")


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
