"""What is in the report, gathered from a ledger and laid out by `report.html.jinja`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from halo_core.diagnosis import Finding, Thresholds, diagnose
from halo_core.ledger.browse import Filter, Found, PromptOutcome, find, prompt_outcomes, prompt_text
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.summary import Summary, summarise
from halo_core.metrics import best_cycle
from halo_core.report.charts import draw
from halo_core.report.figures import percent, plots, points, tables
from halo_core.types import CycleReport, Prompt, Stage, Status

_CYCLES = 6
"""Cycles whose samples can be browsed: the first, the last, and others between them."""
_EACH = 3
"""Samples of each stage in each of them."""
_PROMPTS = 12
"""Prompts listed as changed, worst and best."""
_LONGEST = 4000
"""Characters shown of a text."""
_LINES = 100
"""Lines shown of a text: no more than two printed pages."""
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])")
"""What a terminal takes for a command: colours, titles, cursor movements."""
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn a line's direction, and halves of characters: nothing that can be shown."""


@dataclass(frozen=True, slots=True)
class Task:
    """A held-out prompt and its results."""

    prompt: Prompt
    outcome: PromptOutcome

    @property
    def text(self) -> str:
        """The task in words."""
        return _cut(prompt_text(self.prompt), 400)

    @property
    def share(self) -> float:
        """Passes after the last cycle."""
        return self.outcome.after[0] / self.outcome.after[1]


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample of the browser."""

    found: Found
    kind: str
    """The stage that it reached, or what kept it from being judged."""
    printed: bool
    """Whether it stands for its kind on paper."""


def render(ledger: Ledger) -> str:
    """Return the report of a run as HTML."""
    run, machine, plugins = summarise(ledger), ledger.machine(), ledger.plugins()
    charted = plots(run.reports)
    samples = _samples(ledger, run.reports)
    best = best_cycle(run.reports)
    return _template().render(
        name=run.directory.resolve().name,
        run=run,
        best=None if best is None else run.reports[best],
        facts=_facts(run, machine),
        findings=_findings(run.reports, plugins),
        events=[event for event in ledger.events() if event[1] != "started"],
        notes=[(report.cycle, note) for report in run.reports if report.train for note in report.train.notes],
        charts=list(zip(charted, draw(charted), strict=True)),
        tables=tables(run.reports),
        tasks=_tasks(ledger, run.reports),
        longest=_PROMPTS,
        samples=samples,
        cycles=list(dict.fromkeys(each.found.cycle for each in samples)),
        kinds=[kind for kind in (*Stage, *Status) if kind in {each.kind for each in samples}],
        prompt_text=prompt_text,
        config=yaml.safe_dump(ledger.config(), sort_keys=False, allow_unicode=True),
        plugins=plugins,
        fingerprints=ledger.fingerprints(),
        machine=_flat(machine),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("halo_core.report", ""),
        autoescape=True,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "cut": _cut,
        "when": _when,
        "seconds": _seconds,
    }
    return environment.get_template("report.html.jinja")


def _facts(run: Summary, machine: Mapping[str, Any]) -> list[tuple[str, str]]:
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


def _flat(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in machine.items():
        rows += (
            [(key, str(each)) for key, each in value.items()]
            if isinstance(value, dict)
            else [(name, str(value))]
        )
    return rows


def _findings(reports: Sequence[CycleReport], plugins: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Diagnose the run, by the doctor's thresholds where it has one."""
    known = {field.name for field in fields(Thresholds)}
    given = [
        row.get("options") or {}
        for row in plugins
        if (row.get("kind"), row.get("name")) == ("plugin", "doctor")
    ]
    options = {name: value for each in given for name, value in each.items() if name in known}
    return diagnose(reports, Thresholds(**options))


def _tasks(ledger: Ledger, reports: Sequence[CycleReport]) -> list[tuple[str, list[Task]]]:
    """Return the held-out prompts by what became of them, under a heading each; the most telling first."""
    if not reports:
        return []
    prompts = {prompt.id: prompt for prompt in ledger.prompts("heldout")}
    tasks = [Task(prompts[row.prompt], row) for row in prompt_outcomes(ledger, reports[-1].cycle)]
    groups = [
        ("Improved", sorted((t for t in tasks if t.outcome.change > 0), key=lambda t: -t.outcome.change)),
        ("Became worse", sorted((t for t in tasks if t.outcome.change < 0), key=lambda t: t.outcome.change)),
        ("Worst", sorted(tasks, key=lambda t: t.share)),
        ("Best", sorted(tasks, key=lambda t: -t.share)),
    ]
    return [(heading, group) for heading, group in groups if group]


def _samples(ledger: Ledger, reports: Sequence[CycleReport]) -> list[Shown]:
    """Choose some samples of each stage from some cycles; the first ones, so that a report repeats."""
    sampled = [report for report in reports if report.sampled]
    wanted = {round(place * (len(sampled) - 1) / (_CYCLES - 1)) for place in range(_CYCLES)}
    shown: list[Shown] = []
    for report in (sampled[place] for place in sorted(wanted) if sampled):
        rates = report.sampled
        assert rates is not None
        counts = {**rates.stages, "error": rates.errors, "inconclusive": rates.inconclusive}
        kinds = [kind for kind, number in counts.items() if number]
        for kind in kinds:
            found = islice(_of_kind(ledger, report.cycle, kind), _EACH)
            shown += [Shown(each, kind, report is sampled[-1] and not n) for n, each in enumerate(found)]
    return shown


def _of_kind(ledger: Ledger, cycle: int, kind: str) -> Iterator[Found]:
    if kind in (Status.ERROR, Status.INCONCLUSIVE):
        return find(ledger, Filter(cycle, "train", status=kind))
    found = find(ledger, Filter(cycle, "train", stage=kind))
    return (each for each in found if each.sample.verdict.conclusive)


def _clean(value: Any) -> Any:
    """Take out of a text what no page can hold or show: terminal codes, control characters, lone surrogates."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub("\ufffd", _ESCAPES.sub("", lines))


def _cut(text: str, longest: int = _LONGEST) -> str:
    """Shorten a text in its middle, to so many characters and `_LINES`: answers tend to be at the end."""
    lines = text.splitlines(keepends=True)
    if len(lines) > _LINES:
        tail = _LINES // 4
        head = _LINES - tail
        first, last = "".join(lines[:head]), "".join(lines[-tail:])
        return f"{_cut(first, longest // 2)}{_gap(len(lines) - _LINES, 'lines')}{_cut(last, longest // 2)}"
    if len(text) > longest:
        tail = longest // 4
        return f"{text[: longest - tail]}\n{_gap(len(text) - longest, 'characters')}{text[-tail:]}"
    return text


def _gap(number: int, what: str) -> str:
    return f"[... {number:,} {what} left out ...]\n"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
