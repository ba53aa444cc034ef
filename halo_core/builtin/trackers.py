"""Trackers: plugins that hand each cycle's figures to a tool that draws them.

    halo run ... --plugin tensorboard
    halo run ... --plugin wandb --plugin-opt wandb.project=halo
    halo run ... --plugin jsonl

They only observe. A run that is gone on with tells them its last cycle once more, since it may have been killed
after the cycle was closed and before they were told, and then the cycles from there on.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from halo_core import files
from halo_core.drivers.base import driver
from halo_core.errors import PluginError
from halo_core.hookspecs import hookimpl
from halo_core.types import CycleReport

if TYPE_CHECKING:
    from halo_core.run import Run


def metrics(report: CycleReport) -> dict[str, float]:
    """Return every figure of a report under a flat name: `heldout/passed`, `train/loss_last`, `seconds/train`.

    The bounds of an interval end in `/low` and `/high`. What was not measured, and what is a list (the losses
    of each step), is left out.
    """
    return dict(_flat(asdict(report), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(below, f"{name}/{key}".lstrip("/"))
    elif isinstance(value, tuple) and "interval" in name and len(value) == 2:
        yield from zip((f"{name}/low", f"{name}/high"), map(float, value), strict=True)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)


@driver
class TensorBoard:
    """Write each cycle's figures for TensorBoard, into `tensorboard/` of the run."""

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """See that the package is there before anything is sampled."""
        _needed("tensorboard", "tensorboard")
        if history:
            _to_tensorboard(run, history[-1], again=True)

    @hookimpl
    def on_cycle_end(self, run: Run, report: CycleReport) -> None:
        """Write the cycle's figures, the cycle being the step."""
        _to_tensorboard(run, report)


def _to_tensorboard(run: Run, report: CycleReport, *, again: bool = False) -> None:
    from torch.utils.tensorboard import SummaryWriter

    purge = report.cycle if again else None  # what it has from that step on is void
    with SummaryWriter(str(run.directory / "tensorboard"), purge_step=purge) as writer:
        for name, value in metrics(report).items():
            writer.add_scalar(name, value, report.cycle)


@driver
class WandB:
    """Log each cycle's figures to Weights & Biases; `wandb sync` sends what was logged offline."""

    project: str = "halo"
    """Project that the run is listed under."""
    entity: str | None = None
    """User or team; none: your default."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes to `wandb/` of the run and sends nothing."""

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Begin, or go on with, the run of that name there."""
        wandb = _needed("wandb", "wandb")
        place = str(run.directory.resolve())
        wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=place,
            id=hashlib.sha256(f"{place} {run.seed}".encode()).hexdigest()[:16],
            name=run.directory.name,
            config=run.config.model_dump(mode="json"),
            resume="allow",
            settings={"console": "off", "silent": self.mode == "offline"},  # the table is halo's
        )
        if history:
            self.on_cycle_end(history[-1])

    @hookimpl
    def on_cycle_end(self, report: CycleReport) -> None:
        """Log the cycle's figures, the cycle being the step."""
        _needed("wandb", "wandb").log(metrics(report), step=report.cycle)

    @hookimpl
    def on_run_end(self, error: BaseException | None) -> None:
        """Finish, saying whether the run did."""
        wandb = _needed("wandb", "wandb")
        if wandb.run is not None:
            wandb.finish(exit_code=int(error is not None))


@driver
class JSONLines:
    """Keep `metrics.jsonl` in the run: one line for each cycle, all its figures under flat names."""

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Write what there is of a run that is gone on with."""
        if history:
            self.on_cycle_end(run, history)

    @hookimpl
    def on_cycle_end(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Write the file anew, so that a run that was killed and gone on with has each cycle once."""
        text = "".join(json.dumps(metrics(report)) + "\n" for report in history)
        files.write(run.directory / "metrics.jsonl", text)


def _needed(module: str, package: str) -> Any:
    """Import `module`, or raise a `PluginError` that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PluginError(f"plugin {package!r} needs {package}", hint=f"pip install {package}") from error
