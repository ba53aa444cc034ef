"""The content of the report, read from a ledger; `report.html.jinja` lays it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

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
from halo_core.types import Completion, CycleReport, EvalMetrics, Prompt, Split, Stage, Status

_CYCLES = 6
"""Cycles whose samples are shown: the first, the last, and others between them."""
_SAMPLES_PER_STAGE = 3
"""Samples shown of each stage in each of these cycles."""
_SAMPLES_PER_EVALUATED_STAGE = 8
"""The same for a run without cycles, which has only held-out samples."""
_LISTED_PROMPTS = 12
"""Prompts listed in each group: changed, worst and best."""
_LONGEST = 4000
"""Maximum characters shown of a text."""
_LINES = 100
"""Maximum lines shown of a text: at most two printed pages."""
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])")
"""Terminal escape sequences: colours, titles, cursor movements."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, including those that change the writing direction, and lone surrogates."""


@dataclass(frozen=True, slots=True)
class Task:
    """A held-out prompt and its passes before and after."""

    prompt: Prompt
    outcome: PromptOutcome

    @property
    def text(self) -> str:
        """The prompt's text, shortened."""
        return _cut(prompt_text(self.prompt), 400)

    @property
    def share(self) -> float:
        """Pass rate after the last cycle."""
        return self.outcome.after[0] / self.outcome.after[1]


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample in the sample view."""

    found: Found
    kind: str
    """The stage that it reached, or the status of a verdict that is neither pass nor fail."""
    printed: bool
    """True if it represents its kind in print."""
    extracted: str = ""
    """The part of the completion that was verified; empty if that is all of it or unknown."""
    reward_reason: str = ""
    selection_reason: str = ""
    """Why it was not trained on."""

    @property
    def signals(self) -> str:
        """The named numbers of the verdict, one per line."""
        signals = self.found.sample.verdict.signals
        return "\n".join(f"{name} {value:g}" for name, value in signals.items())


class Explains(Protocol):
    """Explains the rewards and the selection of samples; each answer is a few words or empty."""

    def of_reward(self, found: Found) -> str:
        """Return why a sample has its reward."""

    def of_selection(self, found: Found) -> str:
        """Return why a sample was not trained on."""


def render(
    ledger: Ledger,
    extract: Callable[[Prompt, Completion], str] | None = None,
    reasons: Explains | None = None,
) -> str:
    """Return the report of a run as HTML; see `write_report`."""
    run, machine, plugins = summarise(ledger), ledger.machine(), ledger.plugins()
    charts = plots(run.reports)
    samples = _samples(ledger, run.reports)
    if extract:
        samples = [replace(shown, extracted=extract(*_parts(shown))) for shown in samples]
    if reasons:
        samples = [_explained(shown, reasons) for shown in samples]
    best = best_cycle(run.reports)
    return _template().render(
        name=run.directory.resolve().name,
        run=run,
        best=None if best is None else run.reports[best],
        facts=_facts(run, machine),
        findings=_findings(run.reports, plugins),
        events=[event for event in ledger.events() if event[1] != "started"],
        notes=[(report.cycle, note) for report in run.reports if report.train for note in report.train.notes],
        charts=list(zip(charts, draw(charts), strict=True)),
        tables=tables(run.reports),
        tasks=_tasks(ledger, run.reports),
        longest=_LISTED_PROMPTS,
        samples=samples,
        cycles=list(dict.fromkeys(shown.found.cycle for shown in samples)),
        kinds=[kind for kind in (*Stage, *Status) if kind in {shown.kind for shown in samples}],
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
        ("conclusive samples", f"{run.samples:,}"),
        ("tokens trained on", f"{run.tokens:,}"),
        ("time", _seconds(run.seconds)),
        ("sandbox", str(machine.get("sandbox") or "not used")),
    ]
    return [(name, value) for name, value in facts if value]


def _flat(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in machine.items():
        rows += (
            [(key, str(inner)) for key, inner in value.items()]
            if isinstance(value, dict)
            else [(name, str(value))]
        )
    return rows


def _findings(reports: Sequence[CycleReport], plugins: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Diagnose the run, with the thresholds of its plugin `doctor` if it has one."""
    known = {field.name for field in fields(Thresholds)}
    configured = [
        row.get("options") or {}
        for row in plugins
        if (row.get("kind"), row.get("name")) == ("plugin", "doctor")
    ]
    options = {name: value for row in configured for name, value in row.items() if name in known}
    return diagnose(reports, Thresholds(**options))


def _tasks(ledger: Ledger, reports: Sequence[CycleReport]) -> list[tuple[str, list[Task]]]:
    """Return the held-out prompts in groups, each with a heading, the largest changes and extremes first."""
    if not reports:
        return []
    prompts = {prompt.id: prompt for prompt in ledger.prompts("heldout")}
    tasks = [Task(prompts[row.prompt], row) for row in prompt_outcomes(ledger, reports[-1].cycle)]
    groups = [
        (
            "Improved",
            sorted(
                (task for task in tasks if task.outcome.change > 0), key=lambda task: -task.outcome.change
            ),
        ),
        (
            "Became worse",
            sorted((task for task in tasks if task.outcome.change < 0), key=lambda task: task.outcome.change),
        ),
        ("Worst", sorted(tasks, key=lambda task: task.share)),
        ("Best", sorted(tasks, key=lambda task: -task.share)),
    ]
    return [(heading, group) for heading, group in groups if group]


def _samples(ledger: Ledger, reports: Sequence[CycleReport]) -> list[Shown]:
    """Choose the first samples of each stage from some cycles; always the same, so that a report is reproducible."""
    if len(reports) == 1:
        return _measured(ledger, reports[0])
    sampled = [report for report in reports if report.sampled]
    wanted = {round(n * (len(sampled) - 1) / (_CYCLES - 1)) for n in range(_CYCLES)}
    shown: list[Shown] = []
    for report in (sampled[index] for index in sorted(wanted) if sampled):
        assert report.sampled is not None
        for kind in _kinds(report.sampled):
            found = islice(_of_kind(ledger, report.cycle, "train", kind), _SAMPLES_PER_STAGE)
            shown += [
                Shown(item, kind, printed=report is sampled[-1] and not n) for n, item in enumerate(found)
            ]
    return shown


def _explained(shown: Shown, reasons: Explains) -> Shown:
    found = shown.found
    return replace(
        shown, reward_reason=reasons.of_reward(found), selection_reason=reasons.of_selection(found)
    )


def _measured(ledger: Ledger, report: CycleReport) -> list[Shown]:
    """Choose the first samples of each stage from the held-out samples before training."""
    return [
        Shown(item, kind, printed=not n)
        for kind in (_kinds(report.heldout) if report.heldout else [])
        for n, item in enumerate(islice(_of_kind(ledger, 0, "heldout", kind), _SAMPLES_PER_EVALUATED_STAGE))
    ]


def _parts(shown: Shown) -> tuple[Prompt, Completion]:
    return shown.found.sample.prompt, shown.found.sample.completion


def _kinds(metrics: EvalMetrics) -> list[str]:
    counts = {**metrics.stages, "error": metrics.errors, "inconclusive": metrics.inconclusive}
    return [kind for kind, number in counts.items() if number]


def _of_kind(ledger: Ledger, cycle: int, split: Split, kind: str) -> Iterator[Found]:
    if kind in (Status.ERROR, Status.INCONCLUSIVE):
        return find(ledger, Filter(cycle, split, status=kind))
    found = find(ledger, Filter(cycle, split, stage=kind))
    return (item for item in found if item.sample.verdict.conclusive)


def _clean(value: Any) -> Any:
    """Remove terminal escape sequences from a text and replace control characters and lone surrogates."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("\ufffd", _ESCAPES.sub("", lines))


def _cut(text: str, longest: int = _LONGEST) -> str:
    """Shorten a text to about `longest` characters and `_LINES` lines, in the middle: answers tend to be at the end."""
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


def _gap(number: int, unit: str) -> str:
    return f"[... {number:,} {unit} left out ...]\n"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
