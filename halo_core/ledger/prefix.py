"""Copying the first cycles of a run into the ledger of another run."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from halo_core import files
from halo_core.ledger.card import CARD, model_card
from halo_core.ledger.ledger import Ledger


def copy_prefix(
    source: Ledger,
    directory: Path,
    *,
    closed: int,
    sampled: bool,
    config: Mapping[str, Any],
    plugins: Sequence[Any],
) -> None:
    """Start a run in `directory` with the cycles 0 to `closed` of `source`, which must be closed.

    With `sampled`, the training samples that `source` has of the next cycle are copied, too. All its verdicts on texts
    are, because a verdict depends on the text alone. `config` and `plugins` describe the new run. `source` may be in
    use by another process. A kill leaves either nothing or the whole prefix in `directory`. Raises a `RunError` if
    `directory` is not empty or a disk operation fails.
    """
    Ledger(directory).check_unused()
    partial = directory.with_name(f"{directory.name}.partial")
    with files.disk(directory):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        target = Ledger(partial)
        for cycle in range(1, closed + 1):
            if source.adapter(cycle).is_dir():  # a cycle that selected nothing may have trained nothing
                shutil.copytree(source.adapter(cycle), target.adapter(cycle))
        with source.reading() as db, closing(sqlite3.connect(target.path)) as copy:
            db.backup(copy)
    with target.writing() as db:
        for statement in _DROP_LATER:
            db.execute(statement, {"closed": closed, "sampled": sampled})
        for cycle, text in _cards(target, closed, config):
            (target.adapter(cycle) / CARD).write_text(text, encoding="utf-8")
            weights_hash = files.directory_hash(target.adapter(cycle))
            db.execute("UPDATE trainings SET weights_hash = ? WHERE cycle = ?", (weights_hash, cycle))
    target.note("shared", f"cycles 0 to {closed} were copied from {source.directory.name}")
    target.describe(config, plugins, source.machine())
    target.close()
    with files.disk(directory):
        shutil.rmtree(directory, ignore_errors=True)  # files of a start that was killed
        partial.rename(directory)
        files.sync(directory.parent)


def _cards(target: Ledger, closed: int, config: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield for each copied adapter with a model card the card of the new run, which names that run's settings."""
    reports = target.reports()
    sizes = {"prompts": len(target.prompts("train")), "heldout": len(target.prompts("heldout"))}
    for cycle in range(1, closed + 1):
        card = target.adapter(cycle) / CARD
        if card.is_file():
            merged = not (card.parent / "adapter_config.json").is_file()
            yield cycle, model_card(config, reports[:cycle], cycle=cycle, merged=merged, **sizes)


_LATER = "SELECT id FROM rounds WHERE cycle > :closed AND NOT (:sampled AND cycle = :closed + 1 AND split = 'train')"
_DROP_LATER = (
    *(
        f"DELETE FROM {table} WHERE completion IN"
        f" (SELECT completions.id FROM completions JOIN rounds ON rounds.id = round WHERE cycle > :closed)"
        for table in ("rewards", "selections")
    ),
    f"DELETE FROM completions WHERE round IN ({_LATER})",
    f"DELETE FROM rounds WHERE id IN ({_LATER})",
    "DELETE FROM verdicts WHERE key IS NULL AND id NOT IN (SELECT verdict FROM completions)",
    "DELETE FROM seconds WHERE cycle > :closed AND NOT (:sampled AND cycle = :closed + 1 AND stage = 'sample')",
    *(f"DELETE FROM {table} WHERE cycle > :closed" for table in ("trainings", "checkpoints", "cycles")),
    "DELETE FROM events WHERE id > 1",
    "UPDATE rounds SET request_hash = ''",  # it contains the hash of the weights, and thus of their card
)
"""Statements that remove everything later than the shared prefix; named parameters: closed, sampled."""
