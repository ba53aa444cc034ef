"""Re-verify the completions of a run. No model runs, and cached verdicts are reused."""

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
"""Texts verified between two writes: a kill loses at most this many verdicts."""


@dataclass
class Reverified:
    """The result of re-verification. All numbers count completions, except `calls`."""

    unchanged: int = 0
    """The run's verdict is by the current verifier of the prompt, with the same fingerprint."""
    cached: int = 0
    """The verdict was cached: an earlier call verified the same text with the same fingerprint."""
    verified: int = 0
    """The verdict is new."""
    errors: int = 0
    """The verdict is an error. Errors are not cached: the next call verifies the text again."""
    error: str = ""
    """Detail of the first error."""
    calls: int = 0
    """Calls of verifiers: equal texts are verified once."""
    passed: tuple[int, int] = (0, 0)
    """Completions that passed: before, now."""
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Completions whose verdict changed, by `summary` of the verdict: before, now."""


def reverify(
    ledger: Ledger,
    verifiers: VerifierSet,
    pool: Callable[[], AbstractContextManager[ThreadPoolExecutor]],
    progress: Progress,
) -> Reverified:
    """Verify every completion of a run whose verdict is not by the current `verifiers`; cache the new verdicts.

    The run's own verdicts stay, because its rewards and selections depend on them. The directory is locked, and the
    sandbox started by `pool`, only if there is a completion to verify.
    """
    fingerprints = verifiers.fingerprints()
    stale = _stale(ledger, verifiers, fingerprints)
    with ledger.reading() as db:
        total, passed = db.execute(_TOTALS).fetchone()
    unchanged = total - sum(count for _, count, _ in stale)
    done = Reverified(unchanged=unchanged, passed=(passed or 0, passed or 0))
    if not stale:
        return done
    verifiers.check_prompts(list({prompt.id: prompt for *_, prompt in stale}.values()))
    with ledger.locked(), pool() as threads:
        with ledger.writing() as db:
            rows = {name: (register(db, name, text), text) for name, text in fingerprints.items()}
            verdicts = Verdicts(db, rows)
        with progress.stage("re-verify", len(stale), "texts") as advance:
            for start in range(0, len(stale), _BATCH):
                batch = stale[start : start + _BATCH]
                _verify_batch(ledger, verdicts, verifiers, threads, batch, done)
                advance(len(batch))
    return done


_Stale = list[tuple[int, int, Prompt]]
"""Row of the first completion of a text to verify, number of completions with this text and verdict, prompt."""


def _verify_batch(
    ledger: Ledger,
    verdicts: Verdicts,
    verifiers: VerifierSet,
    pool: ThreadPoolExecutor,
    batch: _Stale,
    done: Reverified,
) -> None:
    texts, before = _read(ledger, [row for row, *_ in batch])
    known = verdicts.recall([prompt for *_, prompt in batch], texts)
    new = [index for index, verdict in enumerate(known) if verdict is None]
    tasks, new_texts = [batch[index][2] for index in new], [texts[index] for index in new]
    completions = [Completion(prompt.id, 0, text) for prompt, text in zip(tasks, new_texts, strict=True)]
    fresh = verifiers.check_all(tasks, completions, pool)
    with ledger.writing():
        verdicts.remember(tasks, new_texts, fresh)
        verdicts.flush()
    verdicts.forget()
    done.calls += len({(prompt.id, text) for prompt, text in zip(tasks, new_texts, strict=True)})
    remaining = iter(fresh)
    for (_, count, _), old, cached in zip(batch, before, known, strict=True):
        _count(done, old, cached or next(remaining), count, is_new=cached is None)


def _read(ledger: Ledger, wanted: list[int]) -> tuple[list[str], list[Verdict]]:
    """Return the texts and verdicts of the completions in rows `wanted`, in that order."""
    with ledger.reading() as db, files.reading(ledger.path):
        query = _TEXTS.format(marks=",".join("?" * len(wanted)))
        found = {
            row: (unpack_text(text), read_verdict(rest)) for row, text, *rest in db.execute(query, wanted)
        }
    return [found[row][0] for row in wanted], [found[row][1] for row in wanted]


def _count(done: Reverified, before: Verdict, now: Verdict, count: int, *, is_new: bool) -> None:
    if is_new:
        done.verified += count
    else:
        done.cached += count
    if now.status is Status.ERROR:
        done.errors += count
        done.error = done.error or now.detail
    passed_before, passed_now = done.passed
    change = (now.status is Status.PASS) - (before.status is Status.PASS)
    done.passed = passed_before, passed_now + count * change
    if summary(before) != summary(now):
        done.changes[summary(before), summary(now)] += count


def summary(verdict: Verdict) -> str:
    """Return a verdict in one word: the stage of a pass or fail, else the status."""
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
