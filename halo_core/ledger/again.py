"""Judging and choosing again what a run sampled: no model is asked, and no verdict that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from halo_core.drivers import Reward, Selector
from halo_core.judges import Judges
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import VERDICT, read_verdict, unpack_text
from halo_core.ledger.verdicts import Verdicts, register
from halo_core.progress import Progress
from halo_core.seeds import derive_seed
from halo_core.types import Completion, Prompt, Sample, Status, Verdict

_BATCH = 512
"""Completions judged before their verdicts are written: a kill loses at most so many."""


@dataclass
class Rejudged:
    """What judging again came to, in completions but for `asked`."""

    kept: int = 0
    """The verdict is by the same verifier under the same fingerprint."""
    known: int = 0
    """The verdict was found: an earlier time judged the same text alike."""
    judged: int = 0
    """The verdict is new."""
    asked: int = 0
    """How often a verifier was asked: equal texts are judged once."""
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Completions by what was said of them (status, or stage of a fail) before and is now, where that differs."""


def rejudge(
    ledger: Ledger,
    judges: Judges,
    pool: Callable[[], AbstractContextManager[ThreadPoolExecutor]],
    progress: Progress,
) -> Rejudged:
    """Judge every completion of a run whose verdict is not by `judges` as they are; keep the new verdicts.

    The run's own record is not changed: rewards and selections followed from the verdicts that it had.
    """
    fingerprints = judges.fingerprints()
    done = Rejudged()
    stale = _stale(ledger, fingerprints)
    with ledger.reading() as db:
        done.kept = int(db.execute("SELECT count(*) FROM completions").fetchone()[0]) - sum(
            n for *_, n in stale
        )
    if not stale:
        return done
    judges.check_prompts(list({prompt.id: prompt for prompt, *_ in stale}.values()))
    with ledger.writing() as db:
        verdicts = Verdicts(
            db, {name: (register(db, name, text), text) for name, text in fingerprints.items()}
        )
    with pool() as threads, progress.stage("verify again", len(stale), "texts") as advance:
        for start in range(0, len(stale), _BATCH):
            batch = stale[start : start + _BATCH]
            _judge(ledger, verdicts, judges, threads, batch, done)
            advance(len(batch))
    return done


_Stale = list[tuple[Prompt, str, Verdict, int]]
"""Prompt, text, the verdict that the run had, and how many completions have it."""


def _judge(
    ledger: Ledger,
    verdicts: Verdicts,
    judges: Judges,
    pool: ThreadPoolExecutor,
    batch: _Stale,
    done: Rejudged,
) -> None:
    known = verdicts.recall([row[0] for row in batch], [row[1] for row in batch])
    new = [row for row, verdict in zip(batch, known, strict=True) if verdict is None]
    tasks, texts = [row[0] for row in new], [row[1] for row in new]
    completions = [Completion(prompt.id, 0, text) for prompt, text in zip(tasks, texts, strict=True)]
    judged = judges.check_all(tasks, completions, pool)
    with ledger.writing():
        verdicts.remember(tasks, texts, judged)
        verdicts.flush()
    verdicts.forget()
    done.asked += len(new)
    fresh = iter(judged)
    for (_, _, before, count), verdict in zip(batch, known, strict=True):
        if verdict is None:
            done.judged += count
        else:
            done.known += count
        now = verdict or next(fresh)
        if said(before) != said(now):
            done.changes[said(before), said(now)] += count


def said(verdict: Verdict) -> str:
    """Name a verdict in a word: the stage of a pass or fail, else the status."""
    return str(verdict.stage if verdict.status in (Status.PASS, Status.FAIL) else verdict.status)


def _stale(ledger: Ledger, fingerprints: Mapping[str, str]) -> _Stale:
    prompts = {prompt.id: prompt for prompt in [*ledger.prompts("train"), *ledger.prompts("heldout")]}
    with ledger.reading() as db:
        current = [
            row
            for row, name, text in db.execute("SELECT id, name, fingerprint FROM verifiers")
            if fingerprints.get(name) == text
        ]
        found = db.execute(_STALE.format(marks=",".join("?" * len(current))), current).fetchall()
        return [
            (prompts[name], unpack_text(text), read_verdict(row), count) for name, count, text, *row in found
        ]


_STALE = f"""
SELECT prompts.name, count(*), text, {VERDICT}
FROM completions JOIN verdicts ON verdicts.id = verdict JOIN prompts ON prompts.id = prompt
WHERE verifier IS NULL OR verifier NOT IN ({{marks}}) GROUP BY prompt, text
"""


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
    """Of the samples, as they are paid now."""

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
        judged = [s for s in samples if s.verdict.status in (Status.PASS, Status.FAIL)]
        paid = [replace(sample, reward=float(reward.reward(sample))) for sample in judged]
        chosen = selector.select(paid, seed=derive_seed(seed, cycle, "select"))
        now = {_place(sample) for sample in chosen}
        with ledger.reading() as db:
            was = set(db.execute(_CHOSEN, (cycle,)))
        yield Rechosen(
            cycle,
            len(judged),
            len(was),
            len(now),
            len(was & now),
            len({name for name, _ in was}),
            len({name for name, _ in now}),
            sum(sample.reward or 0.0 for sample in paid) / len(paid) if paid else 0.0,
        )


def _place(sample: Sample) -> tuple[str, int]:
    return sample.prompt.id, sample.completion.index


_CHOSEN_CYCLES = """
SELECT DISTINCT cycle FROM rounds JOIN completions ON round = rounds.id
JOIN rewards ON rewards.completion = completions.id WHERE split = 'train' ORDER BY cycle
"""
_CHOSEN = """
SELECT prompts.name, number FROM rounds JOIN completions ON round = rounds.id
JOIN prompts ON prompts.id = prompt JOIN selections ON selections.completion = completions.id
WHERE cycle = ? AND rounds.split = 'train'
"""
