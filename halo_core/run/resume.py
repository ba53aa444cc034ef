"""Checks that a run can be resumed: same configuration, plugins, tools, model and sandbox.

A run resumed with anything else is no longer the same run, and its figures would not show it. So differences raise an
error that lists them; `--changed` accepts them and records them in the ledger.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from halo_core import sandbox
from halo_core.config.hardware import system_name
from halo_core.config.kinds import KINDS
from halo_core.config.layers import differences, short_name
from halo_core.config.model import ModelConfig
from halo_core.config.schema import NON_RESULT_KEYS, RunConfig
from halo_core.drivers.base import LRPolicy
from halo_core.errors import RunError, SandboxError, command
from halo_core.ledger.ledger import Ledger
from halo_core.metrics import weights_cycle
from halo_core.model.devices import choose_device
from halo_core.sandbox import Tier
from halo_core.tables import count
from halo_core.verification.verifiers import VerifierSet

_TIERS: tuple[Tier, ...] = ("none", "weak", "standard", "strong")
_LIBRARIES = ("halo-core", "torch", "transformers", "peft", "accelerate")
_EDGE = 1 << 20
"""Bytes hashed at either end of an input file."""


def environment(config: RunConfig, tier: Tier | None = None) -> dict[str, Any]:
    """Return everything that a run's results may depend on besides configuration and plugins: `machine.json`.

    `tier` is that of the sandboxes on other machines.
    """
    model = config.model
    inputs = {"model": model.name, "adapter": model.adapter, "mix.pairs": config.mix.pairs}
    inputs["model.chat_template"] = model.chat_template
    return {
        "python": platform.python_version(),
        "system": system_name(),
        "threads": os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0))),
        "versions": {name: version(name) for name in _LIBRARIES},
        "inputs": {
            key: content_hash(Path(name)) for key, name in inputs.items() if name and Path(name).exists()
        },
        "sandbox": weakest_tier(tier),
    }


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the files in a directory: names, sizes, first and last MiB of each.

    That detects a model that was trained again into the same directory; reading all of it would take minutes.
    """
    total = hashlib.sha256()
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    for each in files:
        size = each.stat().st_size
        total.update(f"{each.relative_to(path)}\0{size}\n".encode())
        with each.open("rb") as file:
            total.update(file.read(_EDGE))
            file.seek(max(size - _EDGE, 0))
            total.update(file.read())
    return total.hexdigest()


def check_same(directory: Path, recorded: RunConfig, config: RunConfig, *, extend: bool = False) -> None:
    """Raise a `RunError` that lists the differences between the `recorded` configuration of a run and `config`.

    Both are resolved by the installed drivers, so that an option added since is not a difference. With `extend`, the
    number of cycles may have grown.
    """
    before, now = (each.model_dump(mode="json") for each in (recorded, config))
    for key in (*NON_RESULT_KEYS, "cycles") if extend else NON_RESULT_KEYS:
        before.pop(key, None), now.pop(key, None)
    changed = _other_drivers(before, now) + differences(before, now)
    if not changed:
        return
    more = f" (and {len(changed) - 3} more)" if len(changed) > 3 else ""
    hint = (
        f"choose another --output, or resume the run unchanged with: {command('halo', 'resume', directory)}"
    )
    if all(line.startswith("cycles: ") for line in changed):
        more_cycles = command("halo", "resume", directory, "--cycles", config.cycles)
        hint = f"choose another --output, or add cycles with: {more_cycles}"
    raise RunError(
        f"{directory} contains a run of another configuration: {'; '.join(changed[:3])}{more}", hint=hint
    )


def _other_drivers(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List the kinds of driver whose names differ, and remove them: their options cannot be compared."""
    found = []
    for kind in KINDS.values():
        if kind.key in NON_RESULT_KEYS:
            continue
        there, here = (_names(config[kind.key]) for config in (before, now))
        if there != here:
            found.append(f"{kind.name}: {there} there, {here} here")
            del before[kind.key], now[kind.key]
    return found


def _names(value: Any) -> str:
    entries = value if isinstance(value, list) else [value]
    return " and ".join(short_name(entry["name"]) for entry in entries) or "none"


def extend(ledger: Ledger, config: RunConfig, policy: LRPolicy) -> None:
    """Give a run more cycles, with the same result as if it had been started with them.

    Raises a `RunError` if that is impossible: the run already has more, or closed cycles depend on the total.
    """
    before, after, history = ledger.config()["cycles"], config.cycles, ledger.reports()
    if after == before:
        return
    if after < before:
        raise RunError(
            f"{ledger.directory} was started with {count(before, 'cycle')}, not {after}",
            hint="press Ctrl-C to end a run early; the adapter of each cycle is kept",
        )
    weights = ledger.adapter(weights_cycle(history, max(len(history) - 1, 0)) or 1)
    restart = f"start another run from its weights: {command('--adapter', weights)}"
    if config.curriculum.order != "none":
        raise RunError("the prompts that a curriculum selects depend on the number of cycles", hint=restart)
    trained = len(history) if ledger.trained(len(history)) is None else len(history) + 1
    for cycle in range(1, trained):  # the weights of a cycle may be stored before its report
        was, would = (policy.lr(cycle=cycle, cycles=n, history=history[:cycle]) for n in (before, after))
        if was != would:
            raise RunError(
                f"the learning rates depend on the number of cycles: that of cycle {cycle} was {was:.3g} "
                f"and would have been {would:.3g} with {count(after, 'cycle')}",
                hint=restart,
            )
    ledger.write_config(config.model_dump(mode="json"))
    ledger.note("extended", f"from {before} to {count(after, 'cycle')}")


def check_unchanged(
    ledger: Ledger,
    plugins: Sequence[Mapping[str, Any]],
    verifiers: VerifierSet,
    current: Mapping[str, Any],
    *,
    accept: bool,
) -> None:
    """Compare plugins, verifiers, libraries and inputs with those that the run was started with.

    Raises a `RunError` that lists what changed, or with `accept` records the current state and returns.
    """
    fingerprints = verifiers.fingerprints()
    found = _changed_plugins(ledger.plugins(), plugins)
    found += _changed_verifiers(
        _without_removed_options(ledger.fingerprints(), verifiers), fingerprints, found
    )
    found += _changed_environment(ledger.machine(), current)
    if not found:
        return
    if not accept:
        raise RunError(
            f"{ledger.directory} was started with other plugins or tools: {'; '.join(found)}",
            hint="restore them, or resume with the current ones: "
            + command("halo", "resume", ledger.directory, "--changed"),
        )
    ledger.note("changed", "; ".join(found))
    ledger.use_verifiers(fingerprints)
    ledger.write_plugins(plugins)
    kept = {key: value for key, value in ledger.machine().items() if key in ("sandbox", "dtype")}
    ledger.write_machine({**current, **kept})


def recorded_precision(ledger: Ledger, model: ModelConfig) -> ModelConfig:
    """Return `model` with the precision that the run was started with, which another machine might not choose.

    Runs from before it was recorded computed in float32 on a CPU.
    """
    if model.dtype != "auto":
        return model
    dtype: Any = ledger.machine().get("dtype")
    if not dtype:
        dtype = "float32" if choose_device(model.device).type == "cpu" else "auto"
    return replace(model, dtype=dtype)


def weakest_tier(tier: Tier | None) -> Tier | None:
    """Return the weaker of `tier`, that of other machines, and of the tier here; None if no sandbox is in use."""
    running = sandbox.running()
    found = [each for each in (tier, running.tier if running else None) if each is not None]
    return min(found, key=_TIERS.index, default=None)


def check_tier(ledger: Ledger, tier: Tier | None = None) -> None:
    """Raise a `SandboxError` if the sandbox is weaker now than at the start: a run's tier never drops.

    `tier` is that of the sandboxes on other machines.
    """
    started, now = ledger.machine().get("sandbox"), weakest_tier(tier)
    if started in _TIERS and now is not None and _TIERS.index(now) < _TIERS.index(started):
        raise SandboxError(
            f"{ledger.directory} was started in sandbox tier {started!r}, and only {now!r} holds now",
            hint="halo doctor shows what prevents it; or start another run with another --output",
        )


def _changed_plugins(
    recorded: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]
) -> list[str]:
    before = {(row["kind"], row["name"]): row for row in recorded}
    now = {(row["kind"], row["name"]): row for row in current}
    return [
        f"{kind} {name!r} was {_shown(was, row)} and is {_shown(row, was)}"
        for (kind, name), row in now.items()
        if (was := before.get((kind, name))) and _shown(was, row) != _shown(row, was)
    ]


def _shown(row: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the version of a plugin, with its distribution if that of `other` is another one."""
    moved = row["distribution"] != other["distribution"] and not row["version"].startswith("sha256:")
    return f"{row['distribution']} {row['version']}" if moved else str(row["version"])


def _without_removed_options(fingerprints: Mapping[str, str], verifiers: VerifierSet) -> dict[str, str]:
    """Drop a verifier's removed options from its fingerprint, if they had the value that changes nothing."""
    found = dict(fingerprints)
    for name, verifier in verifiers.by_name.items():
        for option, value in verifier.removed_options.items():
            if name in found:
                field = re.escape(f"{option}={value!r}")
                found[name] = re.sub(rf", {field}(?=\))|\b{field}(, |(?=\)))", "", found[name])
    return found


def _changed_verifiers(
    recorded: Mapping[str, str], current: Mapping[str, str], reported: Sequence[str]
) -> list[str]:
    """List the verifiers whose fingerprint changed, unless they are in `reported` already."""
    return [
        f"verifier {name!r} {_change(recorded[name], text)}"
        for name, text in current.items()
        if recorded.get(name, text) != text and not any(f"verifier {name!r}" in line for line in reported)
    ]


def _change(before: str, after: str) -> str:
    """Return the words in which two fingerprints differ."""
    was, now = before.split(), after.split()
    while was and now and was[0] == now[0]:
        del was[0], now[0]
    while was and now and was[-1] == now[-1]:
        del was[-1], now[-1]
    return f"had {' '.join(was) or 'less'} and has {' '.join(now) or 'less'}"


def _changed_environment(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """List the libraries and inputs that changed; anything not recorded, or gone, is not compared."""
    before, now = ({"python": its.get("python"), **its.get("versions", {})} for its in (recorded, current))
    found = [
        f"{name} was {was} and is {now[name]}"
        for name, was in before.items()
        if name != "halo-core" and was and now.get(name, was) != was  # its drivers' versions are compared
    ]
    inputs = current.get("inputs", {})
    return found + [
        f"the files of {name} have changed"
        for name, content in recorded.get("inputs", {}).items()
        if inputs.get(name, content) != content
    ]
