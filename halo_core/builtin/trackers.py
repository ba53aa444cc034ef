"""Trackers: plugins that hand each cycle's figures to a tool that draws them.

    halo run ... --plugin tensorboard
    halo run ... --plugin wandb --plugin-opt wandb.project=halo
    halo run ... --plugin trackio
    halo run ... --plugin jsonl

They only observe. A run that is gone on with tells them its last cycle once more, since it may have been killed
after the cycle was closed and before they were told, and then the cycles from there on.
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
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from halo_core import files
from halo_core.config.options import driver
from halo_core.errors import PluginError
from halo_core.hookspecs import hookimpl
from halo_core.types import CycleReport

if TYPE_CHECKING:
    from halo_core.run.state import Run


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


class _SpeaksWandB:
    """What has init, log and finish as wandb has them."""

    package: ClassVar[str]

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Begin, or go on with, the run there; tell again what a kill may have kept from it."""
        self._begin(_needed(self.package, self.package), run)
        if history:
            self.on_cycle_end(history[-1])

    @hookimpl
    def on_cycle_end(self, report: CycleReport) -> None:
        """Log the cycle's figures, the cycle being the step."""
        _needed(self.package, self.package).log(metrics(report), step=report.cycle)

    @hookimpl
    def on_run_end(self, error: BaseException | None) -> None:
        """Finish, saying whether the run did where that can be said."""
        module = _needed(self.package, self.package)
        if module.run is not None:
            self._end(module, error)

    @abstractmethod
    def _begin(self, module: Any, run: Run) -> None: ...

    def _end(self, module: Any, error: BaseException | None) -> None:
        module.finish()


@driver
class WandB(_SpeaksWandB):
    """Log each cycle's figures to Weights & Biases; `wandb sync` sends what was logged offline."""

    package: ClassVar[str] = "wandb"
    project: str = "halo"
    """Project that the run is listed under."""
    entity: str | None = None
    """User or team; none: your default."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes to `wandb/` of the run and sends nothing."""

    def _begin(self, module: Any, run: Run) -> None:
        module.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=str(run.directory.resolve()),
            id=_identity(run),
            name=run.directory.name,
            config=run.config.model_dump(mode="json"),
            resume="allow",
            settings={"console": "off", "silent": self.mode == "offline"},  # the table is halo's
        )

    def _end(self, module: Any, error: BaseException | None) -> None:
        module.finish(exit_code=int(error is not None))


@driver
class Trackio(_SpeaksWandB):
    """Log each cycle's figures to Trackio, on this machine; `trackio show` opens its dashboard."""

    package: ClassVar[str] = "trackio"
    project: str = "halo"
    """Project that the run is listed under."""
    space_id: str | None = None
    """A Space on the Hugging Face hub to log to instead, as owner/name."""

    def _begin(self, module: Any, run: Run) -> None:
        with redirect_stdout(StringIO()):  # the table is halo's
            module.init(
                project=self.project,
                name=f"{run.directory.name}-{_identity(run)[:6]}",
                space_id=self.space_id,
                config=run.config.model_dump(mode="json"),
                resume="allow",
                embed=False,
            )

    def _end(self, module: Any, error: BaseException | None) -> None:
        with redirect_stdout(StringIO()), suppress(RuntimeError):  # which it raises where nothing was begun
            module.finish()


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


def _identity(run: Run) -> str:
    """Return what a run is known by elsewhere: the same each time that it is gone on with, in its place."""
    return hashlib.sha256(f"{run.directory.resolve()} {run.seed}".encode()).hexdigest()[:16]


def _needed(module: str, package: str) -> Any:
    """Import `module`, or raise a `PluginError` that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PluginError(f"plugin {package!r} needs {package}", hint=f"pip install {package}") from error
