"""Why a stored sample has its reward, and why it was not trained on, in the words of the run's own drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_core.config.schema import read_config
from halo_core.drivers.base import Reward, Selector
from halo_core.errors import HaloError
from halo_core.ledger.browse import Filter, Found, find
from halo_core.ledger.ledger import Ledger
from halo_core.plugin.discovery import Origins, origins_of
from halo_core.plugin.loading import load_driver
from halo_core.run.dispatch import Drivers
from halo_core.run.turns import load_turns
from halo_core.types import Sample
from halo_core.verification.verifiers import VerifierSet


class Reasons:
    """The reasons for the rewards and the selection of a run's samples.

    They are empty if the run's reward or selector is not installed or gives none. Samples of one prompt and cycle
    should be asked about one after the other, because a selection is explained by comparing them.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._drivers = _drivers(ledger.config(), origins_of(ledger.plugins()))
        self._peers: tuple[tuple[int, str], list[Sample]] = ((0, ""), [])
        self._selected: dict[int, bool] = {}

    def of_reward(self, found: Found) -> str:
        """Return why the sample has its reward, in a few words; empty if nothing explains it better than the stage."""
        sample = found.sample
        if sample.reward is None or self._drivers is None:
            return ""
        driver: Reward = self._drivers.get("reward", found.cycle)
        try:
            return driver.explain(sample) if driver.reward(sample) == sample.reward else "set by a plugin"
        except Exception:  # a driver of another version may not understand the sample
            return ""

    def of_selection(self, found: Found) -> str:
        """Return why the sample was not trained on, in a few words; empty if it was, or before the selection."""
        sample = found.sample
        if found.split == "heldout" or sample.weight or not self._is_selected(found.cycle):
            return ""
        if sample.reward is None:
            verdict = sample.verdict
            return (
                "it got no reward" if verdict.conclusive else f"a verdict of {verdict.status} gets no reward"
            )
        if self._drivers is None:
            return "the selector left it out"
        driver: Selector = self._drivers.get("selector", found.cycle)
        try:
            return driver.explain(sample, self._of_prompt(found)) or "the selector left it out"
        except Exception:
            return "the selector left it out"

    def _of_prompt(self, found: Found) -> list[Sample]:
        key = found.cycle, found.sample.prompt.id
        if self._peers[0] != key:
            peers = find(self._ledger, Filter(cycle=key[0], split="train", prompt=key[1]))
            self._peers = key, [each.sample for each in peers if each.sample.reward is not None]
        return self._peers[1]

    def _is_selected(self, cycle: int) -> bool:
        """Return whether the selection of `cycle` is stored; it is stored with the rewards."""
        if cycle not in self._selected:
            samples = find(self._ledger, Filter(cycle=cycle, split="train"))
            self._selected[cycle] = any(each.sample.reward is not None for each in samples)
        return self._selected[cycle]


def _drivers(raw: Mapping[str, Any], origins: Origins) -> Drivers | None:
    """Return the reward and the selector of a configuration; None if one of them is not installed any more."""
    try:
        config = read_config(raw)
        built, sources = {}, {}
        for kind in ("reward", "selector"):
            built[kind], sources[kind] = load_driver(kind, config.spec(kind), origins)
        per_cycle = {kind: values for kind, values in config.per_cycle.items() if kind in built}
        turns = load_turns(per_cycle, built, sources, origins)
        return Drivers(VerifierSet({}), built, sources, per_cycle, turns)
    except HaloError:
        return None
