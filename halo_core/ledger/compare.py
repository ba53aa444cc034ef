"""Comparison of two runs, A and B, content by content. Measured times are left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from halo_core import files
from halo_core.config.layers import flat
from halo_core.config.schema import NON_RESULT_KEYS
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.rows import unpack_text, unpack_tokens

__all__ = ["Part", "compare"]

_Rows = Iterator[tuple[str, tuple[Any, ...]]]
"""The place of a row ("cycle 1 train, prompt 'a', completion 3"), and its values."""
_MEASURED = ("seconds", "waits")
_NOTHING = ("", ())


@dataclass(frozen=True, slots=True)
class Part:
    """The comparison of one kind of content."""

    name: str
    rows: int
    """Number of rows, of the run that has more."""
    differing: int
    first: str = ""
    """The first difference; empty if there is none."""

    @property
    def same(self) -> bool:
        """True if nothing differs."""
        return self.differing == 0


def compare(one: Ledger, other: Ledger) -> list[Part]:
    """Compare two runs, from their configuration to their results. Raises a `RunError` for a damaged run."""
    return [_part(name, _read(rows, one), _read(rows, other)) for name, rows in _PARTS.items()]


def _read(rows: Callable[[Ledger], _Rows], ledger: Ledger) -> _Rows:
    with files.reading(ledger.path):
        yield from rows(ledger)


def _part(name: str, rows_a: _Rows, rows_b: _Rows) -> Part:
    count = differing = 0
    first = ""
    for (place, left), (other_place, right) in zip_longest(rows_a, rows_b, fillvalue=_NOTHING):
        count += 1
        if (place, left) == (other_place, right):
            continue
        differing += 1
        first = first or _describe(place, left, other_place, right)
    return Part(name, count, differing, first)


def _describe(place: str, left: Sequence[Any], other_place: str, right: Sequence[Any]) -> str:
    if place != other_place:
        return f"A has {place or 'nothing more'}, B has {other_place or 'nothing more'}"
    was, now = next((a, b) for a, b in zip_longest(left, right) if a != b)
    texts = str(was), str(now)
    end = min(map(len, texts))  # where one ends, if it is the beginning of the other
    position = next((n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), end)
    return f"{place}: A {_short(was, position)}, B {_short(now, position)}"


def _short(value: Any, position: int, width: int = 60) -> str:
    """Return at most `width` printable characters of `value`, including the one at `position`."""
    text = value if isinstance(value, str) else repr(value)
    if position > width - 10 and len(text) > width:
        text = f"...{text[position - 20 :]}"
    text = text if text and text.isprintable() else repr(text)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _configuration(ledger: Ledger) -> _Rows:
    config = {key: value for key, value in ledger.config().items() if key not in NON_RESULT_KEYS}
    return ((key, (value,)) for key, value in _flat(config))


def _flat(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a row for each nested value, as text, in which NaN equals itself."""
    return sorted((key, json.dumps(value)) for key, value in flat(values).items())


def _plugins(ledger: Ledger) -> _Rows:
    with files.reading(ledger.directory / "plugins.json"):
        for row in ledger.plugins():
            if row["kind"] in NON_RESULT_KEYS:
                continue
            yield f"{row['kind']} {row['name']!r}", (row["distribution"], row["version"])
    for name, text in ledger.fingerprints().items():
        yield f"fingerprint of verifier {name!r}", (text,)


def _prompts(ledger: Ledger) -> _Rows:
    with ledger.reading() as db:
        for split, name, body in db.execute("SELECT split, name, body FROM prompts ORDER BY id"):
            yield f"{split} prompt {name!r}", (body,)


def _completions(ledger: Ledger) -> _Rows:
    columns = "batch, text, contexts.tokens, completions.tokens, finish, logprob, logprobs, loss_mask"
    joined = "JOIN contexts ON contexts.id = context"
    for place, (batch, text, context, tokens, *rest) in _samples(ledger, columns, joined):
        ids = (unpack_tokens(context), unpack_tokens(tokens))
        yield place, (unpack_text(text), ids, *rest, batch)


def _verdicts(ledger: Ledger) -> _Rows:
    columns = "status, stage, score, warnings, detail, sandbox, integrity, signals"
    return _samples(ledger, columns, "JOIN verdicts ON verdicts.id = verdict")


def _selections(ledger: Ledger) -> _Rows:
    joined = (
        "LEFT JOIN rewards ON rewards.completion = completions.id"
        " LEFT JOIN selections ON selections.completion = completions.id"
    )
    return _samples(ledger, "reward, weight", joined)


def _adapters(ledger: Ledger) -> _Rows:
    """Yield the hash of each adapter on the disk, or of one that was not kept, and the statistics of its training."""
    kept_all = ledger.config().get("keep_adapters", "all") == "all"
    with ledger.reading() as db:
        for cycle, stats in db.execute("SELECT cycle, stats FROM trainings ORDER BY cycle"):
            directory = ledger.adapter(cycle)
            weights_hash = "missing" if kept_all else ledger.weights_hash(cycle)
            with files.disk(directory):
                if directory.is_dir():
                    weights_hash = files.directory_hash(directory)
            yield f"cycle {cycle}", (f"adapter {weights_hash[:12]}", stats)


def _figures(ledger: Ledger) -> _Rows:
    with ledger.reading() as db:
        for cycle, text in db.execute("SELECT cycle, report FROM cycles ORDER BY cycle"):
            figures = {key: value for key, value in json.loads(text).items() if key not in _MEASURED}
            for key, value in _flat(figures):
                yield f"cycle {cycle}: {key}", (value,)


def _samples(ledger: Ledger, columns: str, joined: str) -> _Rows:
    with ledger.reading() as db:
        requests = db.execute(
            "SELECT id, cycle, split FROM rounds ORDER BY cycle, split = 'heldout'"
        ).fetchall()
        for request, cycle, split in requests:
            found = db.execute(
                f"SELECT prompts.name, number, {columns} FROM completions JOIN prompts ON prompts.id = prompt"
                f" {joined} WHERE round = ? ORDER BY completions.id",
                (request,),
            )
            for name, index, *row in found:
                yield f"cycle {cycle} {split}, prompt {name!r}, completion {index}", tuple(row)


_PARTS: Mapping[str, Callable[[Ledger], _Rows]] = {
    "configuration": _configuration,
    "plugins": _plugins,
    "prompts": _prompts,
    "completions": _completions,
    "verdicts": _verdicts,
    "selections": _selections,
    "adapters": _adapters,
    "figures": _figures,
}
