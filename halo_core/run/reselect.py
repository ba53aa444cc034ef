"""Select again from the stored samples of a run, with another reward or selector. No model runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from halo_core import files
from halo_core.drivers.base import Reward, Selector
from halo_core.errors import HaloError, PluginError
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import unpack_text, unpack_tokens
from halo_core.model.contexts import SelectionContext
from halo_core.seeds import derive_seed
from halo_core.types import Sample


@dataclass(frozen=True, slots=True)
class Rechosen:
    """What would have been trained on in a cycle, beside what was."""

    cycle: int
    samples: int
    """With a verdict of pass or fail."""
    was: int
    """Distinct completions chosen by the run."""
    now: int
    both: int
    """Chosen by both."""
    prompts_was: int
    """Prompts with a completion chosen."""
    prompts_now: int
    reward_mean: float
    """Of the samples, as they are rewarded now."""

    @property
    def overlap(self) -> float:
        """Jaccard index of the two choices: shared over all."""
        union = self.was + self.now - self.both
        return self.both / union if union else 1.0


def rechoose(
    ledger: Ledger, drivers: Callable[[int], tuple[Reward, Selector]], *, seed: int
) -> Iterator[Rechosen]:
    """Pay and choose again, cycle by cycle, with the reward and selector that `drivers` gives for the cycle."""
    prompts = ledger.prompts("train")
    with ledger.reading() as db:
        cycles = [row[0] for row in db.execute(_CHOSEN_CYCLES)]
    for cycle in cycles:
        reward, selector = drivers(cycle)
        samples = [sample for batch in ledger.batches(cycle, "train", prompts) for sample in batch]
        conclusive = [s for s in samples if s.verdict.conclusive]
        rewarded = [replace(sample, reward=_reward(reward, sample)) for sample in conclusive]
        eligible = [sample for sample in rewarded if sample.reward is not None]
        with _blaming("selector", selector):
            chosen = selector.select(
                eligible, SelectionContext(seed=derive_seed(seed, cycle, "select"), cycle=cycle)
            )
            keys = [(s.prompt.id, s.completion.token_ids, s.completion.text) for s in chosen]
        now = {_content(*key) for key in keys}
        with ledger.reading() as db, files.reading(ledger.path):
            was = {
                _content(name, unpack_tokens(tokens), unpack_text(text))
                for name, tokens, text in db.execute(_CHOSEN, (cycle,))
            }
        yield Rechosen(
            cycle,
            len(conclusive),
            len(was),
            len(now),
            len(was & now),
            len({name for name, _ in was}),
            len({name for name, _ in now}),
            sum(sample.reward or 0.0 for sample in eligible) / len(eligible) if eligible else 0.0,
        )


def _reward(reward: Reward, sample: Sample) -> float | None:
    with _blaming("reward", reward):
        value = reward.reward(sample)
        if value is None:
            return None
        if not math.isfinite(value):
            raise ValueError(f"{value} for a completion of prompt {sample.prompt.id!r}")
        return float(value)


@contextmanager
def _blaming(kind: str, driver: object) -> Iterator[None]:
    """Turn whatever a driver does wrong into a `PluginError` that names it."""
    try:
        yield
    except HaloError:
        raise
    except Exception as error:
        raise PluginError(f"{kind} {type(driver).__name__}: {type(error).__name__}: {error}") from error


def _content(prompt: str, tokens: tuple[int, ...], text: str) -> tuple[str, tuple[int, ...] | str]:
    """Return what makes a completion one: which of several equal ones stands for them is a matter of chance."""
    return prompt, tokens or text


_CHOSEN_CYCLES = """
SELECT DISTINCT cycle FROM rounds JOIN completions ON round = rounds.id
JOIN rewards ON rewards.completion = completions.id WHERE split = 'train' ORDER BY cycle
"""
_CHOSEN = """
SELECT prompts.name, tokens, text FROM rounds JOIN completions ON round = rounds.id
JOIN prompts ON prompts.id = prompt JOIN selections ON selections.completion = completions.id
WHERE cycle = ? AND rounds.split = 'train'
"""
