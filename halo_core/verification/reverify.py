"""Judging and choosing again what a run sampled: no model is asked, and no verdict that is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from halo_core import files
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import VERDICT, read_verdict, unpack_text
from halo_core.ledger.verdicts import Verdicts, register
from halo_core.progress import Progress
from halo_core.types import Completion, Prompt, Status, Verdict
from halo_core.verification.verifiers import VerifierSet

_BATCH = 512
"""Completions judged before their verdicts are written: a kill loses at most so many."""


@dataclass
class Rejudged:
    """What judging again came to, in completions but for `asked`."""

    kept: int = 0
    """The verdict is by the verifier that verifiers the prompt now, under the same fingerprint."""
    known: int = 0
    """The verdict was found: an earlier time judged the same text alike."""
    verified: int = 0
    """The verdict is new."""
    errors: int = 0
    """Of those judged, how many got a verdict of error: it says nothing and will be asked for again."""
    error: str = ""
    """What the first of them said."""
    asked: int = 0
    """How often a verifier was asked: equal texts are judged once."""
    passed: tuple[int, int] = (0, 0)
    """Completions that passed, before and now."""
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Completions by what was said of them (status, or stage of a fail) before and is now, where that differs."""


def rejudge(
    ledger: Ledger,
    verifiers: VerifierSet,
    pool: Callable[[], AbstractContextManager[ThreadPoolExecutor]],
    progress: Progress,
) -> Rejudged:
    """Judge every completion of a run whose verdict is not by `verifiers` as they are; keep the new verdicts.

    The run's own record is not changed: rewards and selections followed from the verdicts that it had. The
    directory is locked, and the sandbox started by `pool`, only when there is something to judge.
    """
    fingerprints = verifiers.fingerprints()
    stale = _stale(ledger, verifiers, fingerprints)
    with ledger.reading() as db:
        total, passed = db.execute(_TOTALS).fetchone()
    done = Rejudged(kept=total - sum(count for _, count, _ in stale), passed=(passed or 0, passed or 0))
    if not stale:
        return done
    verifiers.check_prompts(list({prompt.id: prompt for *_, prompt in stale}.values()))
    with ledger.locked(), pool() as threads:
        with ledger.writing() as db:
            rows = {name: (register(db, name, text), text) for name, text in fingerprints.items()}
            verdicts = Verdicts(db, rows)
        with progress.stage("verify again", len(stale), "texts") as advance:
            for start in range(0, len(stale), _BATCH):
                batch = stale[start : start + _BATCH]
                _judge(ledger, verdicts, verifiers, threads, batch, done)
                advance(len(batch))
    return done


_Stale = list[tuple[int, int, Prompt]]
"""The first completion with a text and a verdict that are judged again, how many have them, and the prompt."""


def _judge(
    ledger: Ledger,
    verdicts: Verdicts,
    verifiers: VerifierSet,
    pool: ThreadPoolExecutor,
    batch: _Stale,
    done: Rejudged,
) -> None:
    texts, before = _read(ledger, [row for row, *_ in batch])
    known = verdicts.recall([prompt for *_, prompt in batch], texts)
    new = [place for place, verdict in enumerate(known) if verdict is None]
    tasks, asked = [batch[place][2] for place in new], [texts[place] for place in new]
    completions = [Completion(prompt.id, 0, text) for prompt, text in zip(tasks, asked, strict=True)]
    judged = verifiers.check_all(tasks, completions, pool)
    with ledger.writing():
        verdicts.remember(tasks, asked, judged)
        verdicts.flush()
    verdicts.forget()
    done.asked += len({(prompt.id, text) for prompt, text in zip(tasks, asked, strict=True)})
    fresh = iter(judged)
    for (_, count, _), was, verdict in zip(batch, before, known, strict=True):
        _count(done, was, verdict or next(fresh), count, is_new=verdict is None)


def _read(ledger: Ledger, wanted: list[int]) -> tuple[list[str], list[Verdict]]:
    """Return texts and verdicts of completions, in the order that they are asked for."""
    with ledger.reading() as db, files.reading(ledger.path):
        query = _TEXTS.format(marks=",".join("?" * len(wanted)))
        found = {
            row: (unpack_text(text), read_verdict(rest)) for row, text, *rest in db.execute(query, wanted)
        }
    return [found[row][0] for row in wanted], [found[row][1] for row in wanted]


def _count(done: Rejudged, before: Verdict, now: Verdict, count: int, *, is_new: bool) -> None:
    if is_new:
        done.verified += count
    else:
        done.known += count
    if now.status is Status.ERROR:
        done.errors += count
        done.error = done.error or now.detail
    was, passed = done.passed
    change = (now.status is Status.PASS) - (before.status is Status.PASS)
    done.passed = was, passed + count * change
    if said(before) != said(now):
        done.changes[said(before), said(now)] += count


def said(verdict: Verdict) -> str:
    """Name a verdict in a word: the stage of a pass or fail, else the status."""
    return str(verdict.stage if verdict.conclusive else verdict.status)


def _stale(ledger: Ledger, verifiers: VerifierSet, fingerprints: Mapping[str, str]) -> _Stale:
    prompts = {prompt.id: prompt for prompt in [*ledger.prompts("train"), *ledger.prompts("heldout")]}
    with ledger.reading() as db:
        known = {
            (name, text): row for row, name, text in db.execute("SELECT id, name, fingerprint FROM verifiers")
        }
        current = {name: known.get((name, text)) for name, text in fingerprints.items()}
        by_row = {row: prompts[name] for row, name in db.execute("SELECT id, name FROM prompts")}
        wanted = [(row, current.get(verifiers.name_for(prompt))) for row, prompt in by_row.items()]
        found = db.execute(_STALE, (json.dumps(wanted),))
        return [(first, count, by_row[prompt]) for first, count, prompt in found]


_TOTALS = "SELECT count(*), sum(status = 'pass') FROM completions JOIN verdicts ON verdicts.id = verdict"
_STALE = """
WITH wanted AS MATERIALIZED (SELECT value ->> 0 AS prompt, value ->> 1 AS verifier FROM json_each(?))
SELECT min(completions.id), count(*), completions.prompt
FROM completions JOIN verdicts ON verdicts.id = verdict JOIN wanted ON wanted.prompt = completions.prompt
WHERE verdicts.verifier IS NULL OR verdicts.verifier IS NOT wanted.verifier
GROUP BY completions.prompt, text, verdict
"""
_TEXTS = f"""
SELECT completions.id, text, {VERDICT} FROM completions JOIN verdicts ON verdicts.id = verdict
WHERE completions.id IN ({{marks}})
"""
