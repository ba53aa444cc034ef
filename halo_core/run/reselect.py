"""Select again from the stored samples of a run, with another reward or selector. No model runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from halo_core import files
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import unpack_text, unpack_tokens
from halo_core.run.choosing import choose
from halo_core.run.dispatch import Drivers


@dataclass(frozen=True, slots=True)
class Reselected:
    """The selection of one cycle by the run (before) and by another reward or selector (after)."""

    cycle: int
    samples: int
    """Samples with a verdict of pass or fail."""
    before: int
    """Distinct completions selected by the run."""
    after: int
    """Distinct completions selected now."""
    both: int
    """Completions in both selections."""
    prompts_before: int
    """Prompts with a completion selected by the run."""
    prompts_after: int
    """Prompts with a completion selected now."""
    reward_mean: float
    """Mean reward of the eligible samples now."""

    @property
    def overlap(self) -> float:
        """Jaccard index of the two selections: intersection over union."""
        union = self.before + self.after - self.both
        return self.both / union if union else 1.0


def reselect(ledger: Ledger, drivers: Drivers, *, seed: int) -> Iterator[Reselected]:
    """Yield the new selection of each cycle, with the reward and the selector of `drivers`."""
    prompts, lower = ledger.prompts("train"), ledger.config()["when_none"] == "lower"
    with ledger.reading() as db:
        cycles = [row[0] for row in db.execute(_SELECTED_CYCLES)]
    for cycle in cycles:
        samples = [sample for batch in ledger.batches(cycle, "train", prompts) for sample in batch]
        conclusive = sum(sample.verdict.conclusive for sample in samples)
        rewarded, chosen = choose(drivers, samples, cycle=cycle, seed=seed, lower=lower)
        keys = [(s.prompt.id, s.completion.token_ids, s.completion.text) for s in chosen]
        after = {_content(*key) for key in keys}
        with ledger.reading() as db, files.reading(ledger.path):
            before = {
                _content(name, unpack_tokens(tokens), unpack_text(text))
                for name, tokens, text in db.execute(_SELECTED, (cycle,))
            }
        yield Reselected(
            cycle,
            conclusive,
            len(before),
            len(after),
            len(before & after),
            len({name for name, _ in before}),
            len({name for name, _ in after}),
            sum(sample.reward or 0.0 for sample in rewarded) / len(rewarded) if rewarded else 0.0,
        )


def _content(prompt: str, tokens: tuple[int, ...], text: str) -> tuple[str, tuple[int, ...] | str]:
    """Return a key that equal completions share: which of them a selector picks is random."""
    return prompt, tokens or text


_SELECTED_CYCLES = """
SELECT DISTINCT cycle FROM rounds JOIN completions ON round = rounds.id
JOIN rewards ON rewards.completion = completions.id WHERE split = 'train' ORDER BY cycle
"""
_SELECTED = """
SELECT prompts.name, tokens, text FROM rounds JOIN completions ON round = rounds.id
JOIN prompts ON prompts.id = prompt JOIN selections ON selections.completion = completions.id
WHERE cycle = ? AND rounds.split = 'train'
"""
