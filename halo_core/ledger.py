"""What a run leaves on disk, behind one module.

    run.yaml                     resolved configuration
    machine.json                 versions, and the sandbox tier that held when the run began
    plugins.json                 every driver and plugin: kind, name, distribution, version, options
    prompts.jsonl heldout.jsonl  the prompts as they were read, so the directory stands on its own
    cycles/003/samples.jsonl     one line a batch: completions with verdicts (heldout.jsonl: the same, held-out)
    cycles/003/rewards.jsonl     one line a sample that got a reward: prompt, index, reward, weight (0: left out)
    cycles/003/adapter/          what training changed, loadable by PEFT
    cycles/003/report.json       the cycle's figures; its presence closes the cycle

A batch is one line, appended and synced, so a kill loses at most the batch in flight; a torn last line is
dropped on reading. Everything else is written beside and renamed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from halo_core.data import load_prompts
from halo_core.errors import RunError
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Rates,
    Sample,
    Split,
    Stage,
    Status,
    TrainStats,
    Verdict,
)

_BEGIN = ("plugins.json", "machine.json", "prompts.jsonl", "heldout.jsonl", "run.yaml")
_FILES: Mapping[Split, str] = {"train": "samples.jsonl", "heldout": "heldout.jsonl"}


class Ledger:
    """The files of one run directory. Every method raises a `RunError` when the disk does not play along."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.directory / "run.yaml").is_file()

    def check_unused(self) -> None:
        """Raise a `RunError` unless a run may be begun here: nothing in it but what a killed begin left."""
        if not self.directory.exists():
            return
        with _disk(self.directory):
            names = {path.name.removesuffix(".partial") for path in self.directory.iterdir()}
        if names - {".lock", *_BEGIN}:
            raise RunError(
                f"{self.directory} is not empty and holds no run", hint="choose another place with --output"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second process; the lock dies with its owner."""
        is_new = not self.directory.exists()
        with _disk(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"{self.directory} is in use by another process", hint="wait for it, or stop it"
                ) from error
            try:
                yield
            finally:
                if is_new and not self.exists:  # nothing came of it
                    with suppress(OSError):
                        (self.directory / ".lock").unlink()
                        self.directory.rmdir()

    def begin(
        self,
        config: Mapping[str, Any],
        plugins: Sequence[Any],
        prompts: Sequence[Prompt],
        heldout: Sequence[Prompt],
        machine: Mapping[str, Any] | None = None,
    ) -> None:
        """Write what the run is made of; `run.yaml` last, since its presence marks a run."""
        self._write("machine.json", json.dumps(machine or {}, indent=2) + "\n")
        self._write("plugins.json", json.dumps(plugins, indent=2) + "\n")
        for name, rows in (("prompts.jsonl", prompts), ("heldout.jsonl", heldout)):
            self._write(name, "".join(json.dumps(_prompt_row(prompt), default=str) + "\n" for prompt in rows))
        self._write("run.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

    def machine(self) -> dict[str, Any]:
        """Return what the run was begun on."""
        path = self.directory / "machine.json"
        if not path.is_file():
            return {}
        with _reading(path):
            return dict(json.loads(path.read_bytes()))

    def config(self) -> dict[str, Any]:
        """Return the configuration the run was begun with."""
        path = self.directory / "run.yaml"
        with _reading(path):
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(loaded, dict):
                raise ValueError("not a mapping")
        return loaded

    def prompts(self, split: Split) -> list[Prompt]:
        """Return the prompts of `split` as they were when the run began."""
        path = self.directory / ("prompts.jsonl" if split == "train" else "heldout.jsonl")
        with _disk(path):
            return load_prompts(path) if path.stat().st_size else []

    def cycle_directory(self, cycle: int) -> Path:
        """Where cycle `cycle` keeps its files."""
        return self.directory / "cycles" / f"{cycle:03d}"

    def adapter(self, cycle: int) -> Path:
        """Where the weights after cycle `cycle` are kept."""
        return self.cycle_directory(cycle) / "adapter"

    def append(self, cycle: int, split: Split, batch: Sequence[Sample]) -> None:
        """Add one verified batch; when this returns it is on the disk."""
        line = json.dumps([_sample_row(sample) for sample in batch], separators=(",", ":"))
        path = self.cycle_directory(cycle) / _FILES[split]
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())

    def batches(self, cycle: int, split: Split, prompts: Iterable[Prompt]) -> list[list[Sample]]:
        """Return the batches on disk in order, cutting off what a kill left half written."""
        path = self.cycle_directory(cycle) / _FILES[split]
        if not path.is_file():
            return []
        by_id = {prompt.id: prompt for prompt in prompts}
        found, whole = [], 0
        with _reading(path), path.open("r+b") as file:
            for line in file:
                try:
                    rows = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    rows = None
                if rows is None:
                    file.truncate(whole)
                    break
                found.append([_sample(row, by_id) for row in rows])
                whole += len(line)
        return found

    def keep(self, cycle: int, split: Split, count: int) -> None:
        """Cut off all but the first `count` batches."""
        path = self.cycle_directory(cycle) / _FILES[split]
        with _disk(path), path.open("r+b") as file:
            for _ in range(count):
                file.readline()
            file.truncate(file.tell())

    def write_rewards(self, cycle: int, samples: Iterable[Sample], chosen: Iterable[Sample]) -> None:
        """Record each sample's reward and the weight it is trained with."""
        weights = {(s.prompt.id, s.completion.index): s.weight for s in chosen}
        lines = (
            json.dumps(
                [s.prompt.id, s.completion.index, s.reward, weights.get((s.prompt.id, s.completion.index), 0)]
            )
            for s in samples
            if s.reward is not None
        )
        self._write(f"cycles/{cycle:03d}/rewards.jsonl", "".join(line + "\n" for line in lines))

    def trained(self, cycle: int) -> TrainStats | None:
        """Return what cycle `cycle`'s training did, if it finished; its weights are then in `adapter`."""
        path = self.adapter(cycle) / "train.json"
        if not path.is_file():
            return None
        with _reading(path):
            return TrainStats(**json.loads(path.read_bytes()))

    def write_trained(self, cycle: int, stats: TrainStats, save: Callable[[Path], None]) -> None:
        """Keep the weights (which `save` writes into the directory it is given) together with `stats`."""
        target = self.adapter(cycle)
        beside = target.with_name("adapter.partial")
        with _disk(target):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            save(beside)
            (beside / "train.json").write_text(json.dumps(asdict(stats), indent=2) + "\n")
            for file in beside.rglob("*"):
                _sync(file)
            shutil.rmtree(target, ignore_errors=True)
            beside.rename(target)
            _sync(target.parent)

    def write_report(self, report: CycleReport) -> None:
        """Close the cycle."""
        self._write(f"cycles/{report.cycle:03d}/report.json", json.dumps(asdict(report), indent=2) + "\n")

    def reports(self) -> list[CycleReport]:
        """Return the reports of the cycles that were closed, oldest first."""
        found: list[CycleReport] = []
        while (path := self.cycle_directory(len(found)) / "report.json").is_file():
            with _reading(path):
                found.append(_report(json.loads(path.read_bytes())))
        return found

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        beside = path.with_name(path.name + ".partial")
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
            _sync(path.parent)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `RunError` that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"{path}: {reason}",
            hint="make room or choose another place with --output; what was written is kept",
        ) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into a `RunError` that names it."""
    try:
        with _disk(path):
            yield
    except (ValueError, TypeError, LookupError, yaml.YAMLError) as error:
        raise RunError(
            f"{path} is damaged: {type(error).__name__}: {' '.join(str(error).split())}",
            hint="restore it from a copy, or begin the run anew with another --output",
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prompt_row(prompt: Prompt) -> dict[str, Any]:
    row: dict[str, Any] = {"id": prompt.id}
    row |= {"messages": [dict(m) for m in prompt.messages]} if prompt.messages else {"prompt": prompt.text}
    row |= {"verifier": prompt.verifier} if prompt.verifier else {}
    return row | {"reference": dict(prompt.reference), **prompt.meta}


def _sample_row(sample: Sample) -> list[Any]:
    c, v = sample.completion, sample.verdict
    completion = [c.prompt_id, c.index, c.text, c.prompt_token_ids, c.token_ids, c.finish_reason, c.logprob]
    verdict = [
        v.status,
        v.stage,
        v.score,
        v.warnings,
        v.detail,
        v.cpu_seconds,
        v.wall_seconds,
        v.sandbox,
        v.integrity,
    ]
    return [completion, verdict]


def _sample(row: Sequence[Any], prompts: Mapping[str, Prompt]) -> Sample:
    (prompt_id, index, text, prompt_ids, ids, finish, logprob), (status, stage, *rest) = row
    completion = Completion(prompt_id, index, text, tuple(prompt_ids), tuple(ids), finish, logprob)
    return Sample(prompts[prompt_id], completion, Verdict(Status(status), Stage(stage), *rest))


def _report(row: dict[str, Any]) -> CycleReport:
    for key in ("heldout", "rates"):
        if row[key] is not None:
            for name in ("valid_interval", "passed_interval"):
                row[key][name] = tuple(row[key][name])
            row[key] = Rates(**row[key])
    if row["train"] is not None:
        row["train"] = TrainStats(**row["train"])
    return CycleReport(**row)
