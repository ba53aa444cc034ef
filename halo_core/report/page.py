"""What is in the report, gathered from a ledger and laid out by `report.html.jinja`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jinja2
import yaml

from halo_core.ledger import Ledger
from halo_core.ledger.browse import Fared, Filter, Found, fared, find, prompt_text
from halo_core.ledger.summary import Summary, summarise
from halo_core.report.charts import charts
from halo_core.types import CycleReport, Prompt, Stage, Status

_CYCLES = 6
"""Cycles whose samples can be browsed: the first, the last, and others between them."""
_EACH = 3
"""Samples of each stage in each of them."""
_PROMPTS = 12
"""Prompts listed as changed, worst and best."""
_LONGEST = 4000
"""Characters shown of a text."""


@dataclass(frozen=True, slots=True)
class Task:
    """A held-out prompt and how it fared."""

    prompt: Prompt
    fared: Fared

    @property
    def text(self) -> str:
        """The task in words."""
        return _cut(prompt_text(self.prompt), 600)


def render(ledger: Ledger) -> str:
    """Return the report of a run as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("halo_core.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"percent": _percent, "cut": _cut, "when": _when, "seconds": _seconds}
    run = summarise(ledger)
    return environment.get_template("report.html.jinja").render(
        run=run,
        facts=_facts(run, ledger.machine()),
        charts=charts(run.reports),
        samples=_samples(ledger, run.reports),
        stages=[stage.value for stage in Stage],
        prompt_text=prompt_text,
        config=yaml.safe_dump(ledger.config(), sort_keys=False, allow_unicode=True),
        plugins=ledger.plugins(),
        fingerprints=ledger.fingerprints(),
        machine=ledger.machine(),
        events=[event for event in ledger.events() if event[1] != "begun"],
        notes=[(report.cycle, note) for report in run.reports if report.train for note in report.train.notes],
        **_tasks(ledger, run.reports),
    )


def _facts(run: Summary, machine: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("status", f"{run.status}, cycle {run.done} of {run.cycles}"),
        ("verifier", run.verifier),
        ("LR policy", run.lr_policy),
        ("model", run.model),
        ("seed", str(run.seed)),
        ("samples judged", f"{run.samples:,}"),
        ("tokens trained on", f"{run.tokens:,}"),
        ("time", _seconds(run.seconds)),
        ("sandbox", str(machine.get("sandbox") or "nothing was run in one")),
    ]
    return [(name, value) for name, value in facts if value]


def _tasks(ledger: Ledger, reports: Sequence[CycleReport]) -> dict[str, list[Task]]:
    last = reports[-1].cycle if reports else 0
    prompts = {prompt.id: prompt for prompt in ledger.prompts("heldout")}
    tasks = [Task(prompts[row.prompt], row) for row in (fared(ledger, last) if reports else ())]
    up = sorted((t for t in tasks if t.fared.change > 0), key=lambda t: -t.fared.change)
    down = sorted((t for t in tasks if t.fared.change < 0), key=lambda t: t.fared.change)
    ranked = sorted(tasks, key=lambda t: t.fared.after[0] / t.fared.after[1])
    return {
        "up": up[:_PROMPTS],
        "down": down[:_PROMPTS],
        "worst": ranked[:_PROMPTS],
        "best": ranked[::-1][:_PROMPTS],
    }


def _samples(ledger: Ledger, reports: Sequence[CycleReport]) -> list[Found]:
    """Choose some samples of each stage from some cycles; the first ones, so that a report repeats."""
    sampled = [report for report in reports if report.rates]
    wanted = {round(place * (len(sampled) - 1) / (_CYCLES - 1)) for place in range(_CYCLES)}
    found: list[Found] = []
    for report in (sampled[place] for place in sorted(wanted) if sampled):
        assert report.rates is not None
        for stage in report.rates.stages:
            found += find(ledger, Filter(cycle=report.cycle, split="train", stage=stage), limit=_EACH)
        if report.rates.errors:
            filter = Filter(cycle=report.cycle, split="train", status=Status.ERROR.value)
            found += find(ledger, filter, limit=_EACH)
    return found


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}%"


def _cut(text: str, longest: int = _LONGEST) -> str:
    """Shorten `text`; what no page can hold (lone surrogates) is replaced."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= longest else f"{text[:longest]}\n... {len(text) - longest} characters more"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
