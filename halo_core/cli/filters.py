"""The flags that select samples of a run, shared by `halo samples` and `halo export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from halo_core.cli.signatures import expand, flag

if TYPE_CHECKING:
    from halo_core.errors import DataError
    from halo_core.ledger.browse import Filter
    from halo_core.ledger.ledger import Ledger

_FLAGS = (
    flag(
        "cycle",
        int | None,
        "Only this cycle; 0: before training.",
        spellings=["--cycle", "-c"],
        min=0,
        metavar="N",
    ),
    flag("split", str | None, "Only training or held-out prompts.", metavar="train|heldout"),
    flag(
        "prompt",
        str | None,
        "Only the prompt with this id.",
        spellings=["--prompt", "-p"],
        metavar="ID",
    ),
    flag("status", str | None, "pass, fail, error or inconclusive.", metavar="STATUS"),
    flag(
        "stage",
        str | None,
        "invalid, flawed, untested, crashed, wrong or correct.",
        spellings=["--stage", "-s"],
        metavar="STAGE",
    ),
    flag("low", float | None, "Only rewards of at least X.", spellings=["--min-reward"], metavar="X"),
    flag("high", float | None, "Only rewards of at most X.", spellings=["--max-reward"], metavar="X"),
    flag(
        "text",
        str | None,
        "Only completions or diagnostics that contain TEXT.",
        spellings=["--text", "-t"],
        metavar="TEXT",
    ),
    flag("chosen", bool, "Only samples that were trained on.", default=False),
)


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the filter flags; it receives the `Filter` as its argument `filter`."""
    return expand("filter", _FLAGS, _filter)(command)


def no_match(ledger: Ledger, filter: Filter) -> DataError:
    """Return the error for a filter that matches no sample of the run; its hint names a filter that would."""
    from halo_core.errors import DataError, command, did_you_mean

    run = ledger.directory
    names = [prompt.id for split in ("train", "heldout") for prompt in ledger.prompts(split)]
    if filter.prompt is not None and filter.prompt not in names:
        hint = did_you_mean(filter.prompt, names)
        if not hint.startswith("did"):  # it lists every name, and there may be many
            hint = f"prompts are {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        return DataError(f"{run} has no prompt {filter.prompt!r}", hint=hint)
    with ledger.reading() as db:
        (last,) = db.execute("SELECT max(cycle) FROM rounds WHERE batches > 0").fetchone()
    if last is None:
        resume = f"resume it with: {command('halo', 'resume', run)}"
        return DataError(
            f"{run} has no samples yet", hint="the run is in progress" if ledger.in_use else resume
        )
    if filter.cycle is not None and filter.cycle > last:
        return DataError(f"{run} has no samples of cycle {filter.cycle}", hint=f"the last cycle is {last}")
    if filter.cycle == 0 and "train" in (filter.split, filter.chosen and "train"):
        hint = "cycle 0 measures the model before training: all its samples are held-out ones"
        return DataError(f"{run} has no samples that match", hint=hint)
    if filter.split == "heldout" and (filter.chosen or filter.low is not None or filter.high is not None):
        hint = "held-out samples get no reward and are not trained on"
        return DataError(f"{run} has no samples that match", hint=hint)
    return DataError(f"{run} has no samples that match", hint="remove a filter")


def _filter(given: dict[str, Any]) -> Filter:
    from halo_core.errors import ConfigError, did_you_mean
    from halo_core.ledger.browse import Filter
    from halo_core.types import Stage, Status

    known = {
        "split": ("train", "heldout"),
        "status": tuple(map(str, Status)),
        "stage": tuple(map(str, Stage)),
    }
    for name, values in known.items():
        if given[name] is not None and given[name] not in values:
            raise ConfigError(
                f"--{name}: unknown {name} {given[name]!r}", hint=did_you_mean(given[name], values)
            )
    low, high = given["low"], given["high"]
    if low != low or high != high:
        raise ConfigError("--min-reward and --max-reward take numbers, not nan")
    if low is not None and high is not None and low > high:
        raise ConfigError(f"--min-reward {low:g} is above --max-reward {high:g}")
    return Filter(**given)
