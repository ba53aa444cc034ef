"""The prompts of a run, from the sources that its configuration names."""

from __future__ import annotations

from pathlib import Path

from halo_core.config.schema import RunConfig
from halo_core.data import check_disjoint, load_prompts, split_heldout
from halo_core.drivers.base import Demo
from halo_core.errors import DataError
from halo_core.ledger.ledger import Ledger
from halo_core.types import Prompt, Split


def measures_only(config: RunConfig) -> bool:
    """Return whether the run only measures a model on held-out prompts and needs no training prompts."""
    data = config.data
    return not config.cycles and bool(config.model.name and data.heldout) and not data.prompts


def read_prompts(config: RunConfig, demo: Demo | None) -> tuple[list[Prompt], list[Prompt]]:
    """Return the training prompts and the held-out prompts of a run; `demo` replaces sources that are not given.

    Raises a `DataError` if a source is unusable, or if a held-out prompt is a training prompt, too.
    """
    data = config.data
    if measures_only(config):
        return [], _load(data.heldout or "", "heldout")[: config.heldout.limit]
    heldout: list[Prompt] = []
    if demo is not None:
        prompts, heldout = list(demo.prompts), list(demo.heldout)
    else:
        prompts = _load(data.prompts or "", "train")
    if data.heldout:
        heldout = _load(data.heldout, "heldout")
    elif not heldout:
        prompts, heldout = split_heldout(prompts, data.heldout_share, config.seed)
    check_disjoint(prompts, heldout)
    return prompts[: data.limit], heldout[: config.heldout.limit]


def _load(source: str, split: Split) -> list[Prompt]:
    """Return the prompts of a file, of a data set, or of `split` of a run directory."""
    if not (Path(source) / "run.yaml").is_file():
        return load_prompts(source)
    ledger = Ledger(Path(source))
    prompts = ledger.prompts(split)
    ledger.close()
    if not prompts:
        raise DataError(f"the run {source} has no {'training' if split == 'train' else 'held-out'} prompts")
    return prompts
