"""Trackers: plugins that pass each cycle's metrics to a tool that plots them.

    halo run ... --plugin tensorboard
    halo run ... --plugin wandb --plugin-opt wandb.project=halo
    halo run ... --plugin trackio
    halo run ... --plugin jsonl

They only watch: if a tool cannot be reached, the run continues with a warning. When a run is resumed, they report its
last cycle once more, because the run may have been killed after the cycle was closed and before they were notified;
then they report the cycles that follow.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from io import StringIO
from typing import Any, ClassVar, Literal

from halo_core import files
from halo_core.config.options import driver
from halo_core.errors import PluginError
from halo_core.hookspecs import RunView, hookimpl
from halo_core.types import CycleReport


def metrics(report: CycleReport) -> dict[str, float]:
    """Return every number of a report under a flat name: `heldout/passed`, `train/loss_last`, `seconds/train`.

    The bounds of an interval end in `/low` and `/high`. Values that were not measured and lists (the losses of each
    step) are left out.
    """
    return dict(_flat(asdict(report), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}/{key}".lstrip("/"))
    elif isinstance(value, tuple) and "interval" in name and len(value) == 2:
        yield from zip((f"{name}/low", f"{name}/high"), map(float, value), strict=True)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)


@driver
class TensorBoard:
    """Write each cycle's metrics for TensorBoard, to `tensorboard/` in the run directory."""

    watches_only: ClassVar[bool] = True

    def preflight(self) -> None:
        """Check that the package is installed."""
        _import("tensorboard")

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Rewrite the last cycle of a resumed run."""
        if history:
            _to_tensorboard(run, history[-1], overwrite=True)

    @hookimpl
    def on_cycle_end(self, run: RunView, report: CycleReport) -> None:
        """Write the cycle's metrics; the cycle is the step."""
        _to_tensorboard(run, report)


def _to_tensorboard(run: RunView, report: CycleReport, *, overwrite: bool = False) -> None:
    from torch.utils.tensorboard import SummaryWriter

    purge = report.cycle if overwrite else None  # TensorBoard then drops earlier events from that step on
    with SummaryWriter(str(run.directory / "tensorboard"), purge_step=purge) as writer:
        for name, value in metrics(report).items():
            writer.add_scalar(name, value, report.cycle)


class _WandBInterface:
    """A tracker whose package has wandb's init, log and finish."""

    watches_only: ClassVar[bool] = True

    package: ClassVar[str]

    def preflight(self) -> None:
        """Check that the package is installed."""
        _import(self.package)

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Start or resume the tracker's run; log the last cycle again, which a kill may have left out."""
        self._start(_import(self.package), run)
        if history:
            self.on_cycle_end(history[-1])

    @hookimpl
    def on_cycle_end(self, report: CycleReport) -> None:
        """Log the cycle's metrics; the cycle is the step."""
        _import(self.package).log(metrics(report), step=report.cycle)

    @hookimpl
    def on_run_end(self, error: BaseException | None) -> None:
        """Finish the tracker's run, as failed after an error if the package can record that."""
        module = _import(self.package)
        if module.run is not None:
            self._end(module, error)

    @abstractmethod
    def _start(self, module: Any, run: RunView) -> None: ...

    def _end(self, module: Any, error: BaseException | None) -> None:
        module.finish()


@driver
class WandB(_WandBInterface):
    """Log each cycle's metrics to Weights & Biases; `wandb sync` uploads what was logged offline."""

    package: ClassVar[str] = "wandb"
    project: str = "halo"
    """Project that the run is listed under."""
    entity: str | None = None
    """User or team; none: your default."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes to `wandb/` in the run directory and sends nothing."""

    def _start(self, module: Any, run: RunView) -> None:
        module.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=str(run.directory.resolve()),
            id=_run_id(run),
            name=run.directory.name,
            config=run.config.model_dump(mode="json"),
            resume="allow",
            # the terminal belongs to halo's table
            settings={"console": "off", "silent": self.mode == "offline"},
        )

    def _end(self, module: Any, error: BaseException | None) -> None:
        module.finish(exit_code=int(error is not None))


@driver
class Trackio(_WandBInterface):
    """Log each cycle's metrics to Trackio, on this machine; `trackio show` opens its dashboard."""

    package: ClassVar[str] = "trackio"
    project: str = "halo"
    """Project that the run is listed under."""
    space_id: str | None = None
    """A Space on the Hugging Face hub to log to instead, as owner/name."""

    def _start(self, module: Any, run: RunView) -> None:
        with redirect_stdout(StringIO()):  # the terminal belongs to halo's table
            module.init(
                project=self.project,
                name=f"{run.directory.name}-{_run_id(run)[:6]}",
                space_id=self.space_id,
                config=run.config.model_dump(mode="json"),
                resume="allow",
                embed=False,
            )

    def _end(self, module: Any, error: BaseException | None) -> None:
        with redirect_stdout(StringIO()), suppress(RuntimeError):  # raised if no run was started
            module.finish()


@driver
class JSONLines:
    """Write `metrics.jsonl` in the run directory: one line for each cycle, with all its metrics under flat names."""

    watches_only: ClassVar[bool] = True

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Write the existing cycles of a resumed run."""
        if history:
            self.on_cycle_end(run, history)

    @hookimpl
    def on_cycle_end(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Write the whole file, so that it has each cycle once even if the run was killed and resumed."""
        text = "".join(json.dumps(metrics(report)) + "\n" for report in history)
        files.write(run.directory / "metrics.jsonl", text)


def _run_id(run: RunView) -> str:
    """Return the run's identifier in a tracker: the same after a resume in the same directory."""
    return hashlib.sha256(f"{run.directory.resolve()} {run.seed}".encode()).hexdigest()[:16]


def _import(package: str) -> Any:
    """Import `package`; raise a `PluginError` with the install command if it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise PluginError(f"package {package!r} is not installed", hint=f"pip install {package}") from error
