"""Whether a run may be gone on with: the same configuration, plugins, tools, model and sandbox, or what differs.

A run that goes on with something else than it was begun with is not the run that was begun, and nothing in
its figures would say so. So what differs is an error that lists it; `--changed` accepts it, and the ledger says so.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from halo_core import sandbox
from halo_core.config.layers import differences
from halo_core.config.schema import NON_RESULT_KEYS, RunConfig
from halo_core.drivers import LRPolicy
from halo_core.errors import RunError, SandboxError, command
from halo_core.ledger import Ledger

_TIERS = ("none", "weak", "standard", "strong")
_LIBRARIES = ("halo-core", "torch", "transformers", "peft", "accelerate")
_ENDS = 1 << 20
"""Bytes looked at, at either end of a file of an input."""


def surroundings(config: RunConfig) -> dict[str, Any]:
    """Return what a run's results may depend on besides its configuration and its plugins: `machine.json`."""
    held = sandbox.running()
    inputs = {"model": config.model.name, "adapter": config.model.adapter, "mix.pairs": config.mix.pairs}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "threads": os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0))),
        "versions": {name: version(name) for name in _LIBRARIES},
        "inputs": {
            key: content_of(Path(name)) for key, name in inputs.items() if name and Path(name).exists()
        },
        "sandbox": held.tier if held else None,
    }


def content_of(place: Path) -> str:
    """Return a digest of a file, or of the files in a directory: names, sizes, the first and last MiB of each.

    A model that was trained anew into the same place has another one; reading all of it would take minutes.
    """
    digest = hashlib.sha256()
    found = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.is_file())
    for path in found:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(place)}\0{size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(size - _ENDS, 0))
            digest.update(file.read())
    return digest.hexdigest()


def check_same(directory: Path, begun: RunConfig, config: RunConfig, *, extend: bool = False) -> None:
    """Raise a `RunError` that lists what differs from the configuration that the run was `begun` with.

    Both are resolved by the drivers that are here: an option that one has gained since is no difference. With
    `extend`, the number of cycles may have grown.
    """
    there, here = (each.model_dump(mode="json") for each in (begun, config))
    for key in (*NON_RESULT_KEYS, "cycles") if extend else NON_RESULT_KEYS:
        there.pop(key, None), here.pop(key, None)
    changed = differences(there, here)
    if not changed:
        return
    more = f" (and {len(changed) - 3} more)" if len(changed) > 3 else ""
    hint = f"choose another --output, or go on as it was with: {command('halo', 'resume', directory)}"
    if all(line.startswith("cycles: ") for line in changed):
        more_cycles = command("halo", "resume", directory, "--cycles", config.cycles)
        hint = f"choose another --output, or add cycles with: {more_cycles}"
    raise RunError(
        f"{directory} holds a run of another configuration: {'; '.join(changed[:3])}{more}", hint=hint
    )


def extend(ledger: Ledger, config: RunConfig, policy: LRPolicy) -> None:
    """Give a run more cycles, as though it had been begun with them.

    Raises a `RunError` where that is not so: it has more already, or what was done depends on how many there are.
    """
    before, after, history = ledger.config()["cycles"], config.cycles, ledger.reports()
    if after == before:
        return
    if after < before:
        raise RunError(
            f"{ledger.directory} was begun with {before} cycles, not {after}",
            hint="press Ctrl-C to end a run early; the adapter of each cycle is kept",
        )
    weights = ledger.adapter(max(len(history) - 1, 1))
    anew = f"begin another run from its weights: {command('--adapter', weights)}"
    if config.curriculum.order != "none":
        raise RunError("which prompts a curriculum takes depends on the number of cycles", hint=anew)
    for cycle in range(1, len(history)):
        was, would = (policy.lr(cycle=cycle, cycles=n, history=history[:cycle]) for n in (before, after))
        if was != would:
            raise RunError(
                f"the learning rates depend on the number of cycles: that of cycle {cycle} was {was:.3g} "
                f"and would have been {would:.3g} with {after} cycles",
                hint=anew,
            )
    ledger.write_config(config.model_dump(mode="json"))
    ledger.note("extended", f"from {before} to {after} cycles")


def check_unchanged(
    ledger: Ledger,
    plugins: Sequence[Mapping[str, Any]],
    fingerprints: Mapping[str, str],
    here: Mapping[str, Any],
    *,
    accept: bool,
) -> None:
    """Notice plugins, tools, libraries and inputs that are not those that the run was begun with.

    Raises a `RunError` that lists them, or with `accept` goes on with what is there now.
    """
    found = _changed_plugins(ledger.plugins(), plugins)
    found += _changed_judges(ledger.fingerprints(), fingerprints, found)
    found += _changed_surroundings(ledger.machine(), here)
    if not found:
        return
    if not accept:
        raise RunError(
            f"{ledger.directory} was begun with other plugins or tools: {'; '.join(found)}",
            hint="put them back, or go on with what is here now: "
            + command("halo", "resume", ledger.directory, "--changed"),
        )
    ledger.note("changed", "; ".join(found))
    ledger.use_verifiers(fingerprints)
    ledger.write_plugins(plugins)
    ledger.write_machine({**here, "sandbox": ledger.machine().get("sandbox")})


def check_tier(ledger: Ledger) -> None:
    """Raise a `SandboxError` when less is contained now than when the run began: the tier never drops in a run."""
    began, held = ledger.machine().get("sandbox"), sandbox.running()
    if began in _TIERS and held is not None and _TIERS.index(held.tier) < _TIERS.index(began):
        raise SandboxError(
            f"{ledger.directory} was begun in sandbox tier {began!r}, and only {held.tier!r} holds now",
            hint="halo doctor says what keeps it from holding; or begin another run with another --output",
        )


def _changed_plugins(there: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]]) -> list[str]:
    before = {(row["kind"], row["name"]): row for row in there}
    now = {(row["kind"], row["name"]): row for row in here}
    return [
        f"{kind} {name!r} was {before[kind, name]['version']} and is {now[kind, name]['version']}"
        for kind, name in now
        if (kind, name) in before and before[kind, name]["version"] != now[kind, name]["version"]
    ]


def _changed_judges(there: Mapping[str, str], here: Mapping[str, str], said: Sequence[str]) -> list[str]:
    """Say which verifiers judge by something else, unless that was said already."""
    return [
        f"verifier {name!r} {_change(there[name], text)}"
        for name, text in here.items()
        if there.get(name, text) != text and not any(f"verifier {name!r}" in line for line in said)
    ]


def _change(before: str, after: str) -> str:
    """Say in which words two fingerprints differ."""
    was, now = before.split(), after.split()
    while was and now and was[0] == now[0]:
        del was[0], now[0]
    while was and now and was[-1] == now[-1]:
        del was[-1], now[-1]
    return f"judged by {' '.join(was) or 'less'} and judges by {' '.join(now) or 'less'}"


def _changed_surroundings(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say which libraries and inputs are others; what the run did not record, or is gone, is not compared."""
    before, now = ({"python": its.get("python"), **its.get("versions", {})} for its in (there, here))
    found = [
        f"{name} was {was} and is {now[name]}"
        for name, was in before.items()
        if name != "halo-core" and was and now.get(name, was) != was  # its drivers' versions are compared
    ]
    inputs = here.get("inputs", {})
    return found + [
        f"the files of {name} are not those that they were"
        for name, digest in there.get("inputs", {}).items()
        if inputs.get(name, digest) != digest
    ]
