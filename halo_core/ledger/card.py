"""The model card of trained weights: what was trained on what, and how it was measured.

It is the `README.md` beside the weights, with the front matter of the Hugging Face hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from halo_core.ledger.ledger import Ledger
from halo_core.tables import count
from halo_core.types import CycleReport

CARD = "README.md"
_SECRET = re.compile(r"key|token$|secret|password|credential", re.IGNORECASE)
"""Names of options that a card does not show."""
_LOGIN = re.compile(r"://[^/\s@]*@")
"""User and password in an address."""


def card_of(ledger: Ledger, cycle: int, *, merged: bool) -> str:
    """Return the card of the weights of a cycle of a run; `merged`: they are a whole model, not an adapter."""
    return model_card(
        ledger.config(),
        ledger.reports(),
        cycle=cycle,
        prompts=len(ledger.prompts("train")),
        heldout=len(ledger.prompts("heldout")),
        merged=merged,
    )


def model_card(
    config: Mapping[str, Any],
    history: Sequence[CycleReport],
    *,
    cycle: int,
    prompts: int,
    heldout: int,
    merged: bool,
) -> str:
    """Return the card of the weights of `cycle`, of a run with the resolved `config`.

    `history` has the reports that are known. `prompts` and `heldout` are the numbers of prompts. `merged`: the weights
    are a whole model, not an adapter. It names files without their directories.
    """
    base = _name(config["model"]["name"])
    front = {
        "base_model": base,
        "library_name": "transformers" if merged else "peft",
        "tags": ["halo", "reinforcement-learning-with-verifiable-rewards"],
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {base}, trained with halo",
        "\n".join(_training(config, cycle=cycle, prompts=prompts, merged=merged)),
        "## Measurement",
        "\n".join(_measurement(config, history, cycle=cycle, heldout=heldout)),
        "## Limits",
        "A completion passes if the verifier accepts it; what the verifier does not check was not trained. The licence "
        "is that of the base model, and of the data.",
    ]
    return "\n\n".join(parts) + "\n"


def _training(config: Mapping[str, Any], *, cycle: int, prompts: int, merged: bool) -> list[str]:
    model, adapter = config["model"], config["model"].get("adapter")
    verifiers = ", ".join(_driver(each) for each in config["verifier"])
    drivers = ("generator", "reward", "selector", "trainer", "lr_policy")
    tries = f"{count(config['samples_per_prompt'], 'completion')} of each in a cycle"
    if (config.get("rounds") or {}).get("size"):
        tries += f" on average, sampled in rounds ({_options(config['rounds'])})"
    rows = {
        "base model": _name(model["name"])
        + (f", revision {model['revision']}" if model.get("revision") else ""),
        **({"started from adapter": _name(adapter)} if adapter else {}),
        "weights": f"{'the whole model' if merged else 'an adapter (PEFT)'}, after {count(cycle, 'cycle')}",
        "prompts": f"{prompts} of {_sources(config['data'])}, {tries}",
        "verifier": verifiers,
        **{key.replace("_", " "): _driver(config[key]) for key in drivers},
        **_by_cycle(config),
        "seed": str(config["seed"]),
        "halo-core": version("halo-core"),
    }
    return ["| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in rows.items())]


def _measurement(
    config: Mapping[str, Any], history: Sequence[CycleReport], *, cycle: int, heldout: int
) -> list[str]:
    tries, own = config["heldout"]["samples_per_prompt"], config["heldout"].get("generator")
    known = [report for report in history if report.heldout is not None and report.cycle <= cycle]
    lines = [
        f"On {count(heldout, 'held-out prompt')} that were never trained on, {count(tries, 'completion')} of each, "
        f"sampled with {_driver(own) if own else 'the generator above'}; 95% bootstrap intervals, prompts resampled.",
        "",
        "| after cycle | pass | 95% | difference from before training |",
        "|---|---|---|---|",
    ]
    for report in known:
        assert report.heldout is not None
        low, high = report.heldout.passed_interval
        first = known[0].heldout
        change = 100 * (report.heldout.passed - first.passed) if first else 0.0
        gain = f"{change:+.1f} points" if report.cycle else ""
        lines.append(f"| {report.cycle} | {report.heldout.passed:.1%} | {low:.1%} to {high:.1%} | {gain} |")
    if not known or known[-1].cycle < cycle:
        lines += [
            "",
            f"These weights, of cycle {cycle}, were stored before they were measured: see the run's report.",
        ]
    return lines


def _by_cycle(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the drivers and the options that change from cycle to cycle."""
    return {
        f"{kind.replace('_', ' ')}{'' if key == 'name' else f', {key}'}, by cycle": ", ".join(
            _driver(value) if isinstance(value, Mapping) else f"`{_plain(value)}`" for value in values
        )
        for kind, changes in (config.get("per_cycle") or {}).items()
        for key, values in changes.items()
        if not _SECRET.search(key)
    }


def _driver(spec: Mapping[str, Any]) -> str:
    options = _options({key: value for key, value in spec.items() if key != "name"})
    return f"`{_name(spec['name'])}`" + (f" ({options})" if options else "")


def _options(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_plain(value)}" for key, value in values.items() if not _SECRET.search(key))


def _plain(value: Any) -> str:
    text = _name(value) if isinstance(value, str) and Path(value).is_absolute() else str(value)
    text = _LOGIN.sub("://", text)
    return text if len(text) <= 60 else text[:57] + "..."


def _sources(data: Mapping[str, Any]) -> str:
    names = [each["prompts"] for each in data.get("sources") or ()] or [
        data.get("prompts") or "the verifier's demo"
    ]
    return ", ".join(_name(name) for name in names)


def _name(name: Any) -> str:
    """Return a name on the hub unchanged, and the last part of a path."""
    text = str(name)
    return Path(text).name if Path(text).is_absolute() else text


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
