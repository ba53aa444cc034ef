"""The prompts of a run, from the sources that its configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from halo_core.config.schema import DataConfig, DataSource, RunConfig
from halo_core.data import check_disjoint, load_prompts, split_heldout, texts_in
from halo_core.data.contamination import overlap
from halo_core.data.mixture import mixture
from halo_core.data.shape import Shape
from halo_core.drivers.base import Demo
from halo_core.errors import ConfigError, DataError
from halo_core.ledger.ledger import Ledger
from halo_core.types import Prompt, Split


def names_prompts(config: RunConfig) -> bool:
    """Return whether the configuration names training prompts."""
    return bool(config.data.prompts or config.data.sources)


def measures_only(config: RunConfig) -> bool:
    """Return whether the run only measures a model on held-out prompts and needs no training prompts."""
    heldout = bool(config.model.name and config.data.heldout)
    return not config.cycles and heldout and not names_prompts(config)


def read_prompts(config: RunConfig, demo: Demo | None) -> tuple[list[Prompt], list[Prompt]]:
    """Return the training prompts and the held-out prompts of a run; `demo` replaces sources that are not given.

    Raises a `DataError` if a source is unusable, if a held-out prompt is a training prompt, too, or if
    `data.contamination.refuse` is set and a training prompt is in an evaluation set.
    """
    data = config.data
    if measures_only(config):
        return [], _load(data, data.heldout or "", "heldout")[: config.heldout.limit]
    heldout: list[Prompt] = []
    if demo is not None:
        prompts, heldout = list(demo.prompts), list(demo.heldout)
    else:
        prompts = _training_prompts(config)
    if data.heldout:
        heldout = _load(data, data.heldout, "heldout")
    elif not heldout:
        prompts, heldout = split_heldout(prompts, data.heldout_share, config.seed)
    check_disjoint(prompts, heldout)
    prompts = prompts[: data.limit]
    if data.contamination.refuse and (found := contaminated(config, prompts)):
        raise DataError(found[0], hint="remove these prompts, or set data.contamination.refuse: false")
    return prompts, heldout[: config.heldout.limit]


def prompts_in(config: RunConfig) -> list[Prompt]:
    """Return the training prompts and the held-out prompts that the configuration names, in one list.

    A run that is named for training prompts gives its held-out prompts, too, unless others are named.
    """
    data = config.data
    prompts = _training_prompts(config) if names_prompts(config) else []
    if data.heldout:
        return prompts + _load(data, data.heldout, "heldout")
    return prompts + (_stored(data.prompts, "heldout") if _is_run(data.prompts) else [])


def contaminated(config: RunConfig, prompts: Sequence[Prompt]) -> list[str]:
    """Return a sentence for each evaluation set of which texts are in the training prompts."""
    options = config.data.contamination
    found = [
        overlap(prompts, name, texts_in(source), words=options.words, share=options.share)
        for name, source in options.sets.items()
    ]
    return [str(each) for each in found if each.found]


def _training_prompts(config: RunConfig) -> list[Prompt]:
    data = config.data
    if not data.sources:
        return _load(data, data.prompts or "", "train")
    if data.prompts:
        raise ConfigError(
            "data.prompts and data.sources are both given", hint="name every source in data.sources"
        )
    parts = [(each.prompts, _load(data, each.prompts, "train", each), each.weight) for each in data.sources]
    return mixture(parts, limit=data.limit, seed=config.seed)


def _load(data: DataConfig, name: str, split: Split, source: DataSource | None = None) -> list[Prompt]:
    """Return the prompts of a file, of a data set, or of `split` of a run directory."""
    if not _is_run(name):
        return load_prompts(name, _shape(data, source))
    prompts = _stored(name, split)
    if not prompts:
        raise DataError(f"the run {name} has no {'training' if split == 'train' else 'held-out'} prompts")
    return prompts


def _is_run(name: str | None) -> TypeGuard[str]:
    return bool(name) and (Path(name or "") / "run.yaml").is_file()


def _stored(name: str, split: Split) -> list[Prompt]:
    ledger = Ledger(Path(name))
    try:
        return ledger.prompts(split)
    finally:
        ledger.close()


def _shape(data: DataConfig, source: DataSource | None) -> Shape:
    """Return the shape of a source: its own keys, else those of the section."""
    given = source.model_dump(exclude_none=True) if source else {}
    return Shape(
        recipe=given.get("recipe", data.recipe),
        columns=given.get("columns", data.columns),
        template=given.get("template", data.template),
        where=given.get("where", data.where),
        databases=given.get("databases", data.databases) or "",
    )
