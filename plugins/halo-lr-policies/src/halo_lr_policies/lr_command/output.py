"""Schedules and recommendations as tables, text charts, data files and plots."""

from __future__ import annotations

import csv
import io
import json
import string
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.cli.output import atomic_output
from halo_core.errors import ConfigError, did_you_mean
from halo_core.tables import spell, table
from halo_lr_policies.lr_command.dry_run import Measurements, Schedule
from halo_lr_policies.lr_command.recommend import Recommendation

_CHART_HEIGHT = 12
"""Lines of a text chart above zero."""


def schedule_table(schedule: Schedule, measurements: Measurements) -> str:
    """Return a table of one schedule, with a row for each cycle."""
    rows = [("cycle", "lr", "steps", "lr x steps", "pass rate before")]
    for cycle, (lr, steps, lr_sum) in enumerate(
        zip(schedule.rates, schedule.steps, schedule.sums, strict=True), 1
    ):
        pass_rate = _pass_rate_before(measurements, cycle)
        rows.append((str(cycle), f"{lr:.2e}", f"{steps:.4g}", f"{lr_sum:.2e}", pass_rate))
    rows.append(("sum", "", f"{sum(schedule.steps):.4g}", f"{schedule.lr_sum:.2e}", ""))
    return table(rows, left=0)


def comparison_table(schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule) -> str:
    """Return a table of several schedules, a row for each, with their sums relative to that of `baseline`."""
    cycles = range(1, len(schedules[0].rates) + 1)
    rows = [
        ("", "cycle", *map(str, cycles), "sum", "relative"),
        ("", "pass rate before", *(_pass_rate_before(measurements, cycle) for cycle in cycles), "", ""),
        *_kl_rows(measurements, cycles),
        *_step_rows(measurements, schedules[0].steps),
    ]
    for letter, schedule in zip(_letters(schedules), schedules, strict=True):
        lrs = (f"{lr:.2e}" for lr in schedule.rates)
        sums = f"{schedule.lr_sum:.2e}", f"{schedule.relative(baseline):.2f}"
        rows.append((letter, schedule.label, *lrs, *sums))
    return table(rows, left=2)


def text_chart(schedules: Sequence[Schedule]) -> str:
    """Return a chart of learning rate against cycle, from 0 up; a star marks a point that several schedules share."""
    top = max(max(schedule.rates) for schedule in schedules)
    cycles = len(schedules[0].rates)
    cells: dict[tuple[int, int], str] = {}
    for letter, schedule in zip(_letters(schedules), schedules, strict=True):
        for column, lr in enumerate(schedule.rates):
            cell = round(_CHART_HEIGHT * lr / top), column
            cells[cell] = "*" if cell in cells else letter
    width = len(str(cycles)) + 2
    lines = []
    for level in range(_CHART_HEIGHT, -1, -1):
        axis = f"{top * level / _CHART_HEIGHT:.2e}" if level % 4 == 0 else ""
        drawn = "".join(cells.get((level, column), "").rjust(width) for column in range(cycles))
        lines.append(f"{axis:>8} |{drawn}".rstrip())
    lines.append(f"{'cycle':>8} |" + "".join(str(cycle).rjust(width) for cycle in range(1, cycles + 1)))
    legend = [
        f"{letter} {schedule.label}" for letter, schedule in zip(_letters(schedules), schedules, strict=True)
    ]
    return "\n".join([*lines, "", *legend])


def as_data(schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule) -> dict[str, Any]:
    """Return the schedules as JSON values."""
    values = {
        "measurements": measurements.origin,
        "relative_to": baseline.label,
        "policies": [
            {
                "label": schedule.label,
                "name": schedule.name,
                "options": dict(schedule.options),
                "rates": schedule.rates,
                "steps": schedule.steps,
                "lr_sum": schedule.lr_sum,
                "relative": schedule.relative(baseline),
            }
            for schedule in schedules
        ],
    }
    data: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return data


def recommendation_table(recommendations: Sequence[Recommendation]) -> str:
    """Return a table of recommendations, followed by their sources."""
    rows: list[tuple[str, ...]] = [
        ("method", "weights", "confidence", "lr", "lowest", "highest", "halo-forge notes")
    ]
    sources = []
    for each in recommendations:
        weights = "all" if each.full else "LoRA"
        lrs = (f"{lr:.2e}" for lr in (each.lr, each.low, each.high))
        rows.append((each.method, weights, each.base.confidence, *lrs, each.notes_comparison))
        sources.append(_wrapped(f"{each.method}, {weights}", each.base.source))
    note = "Peak learning rates of AdamW to start from. halo lr recommend METHOD prints the reasons and warnings."
    return "\n".join([table(rows, left=7), "", note, "", *sources])


def recommendation_text(recommendation: Recommendation) -> str:
    """Return one recommendation with all of its reasons."""
    found, base = recommendation, recommendation.base
    rows = [
        ("lr", f"{spell(found.lr)}, range {spell(found.low)} to {spell(found.high)}; try three or more"),
        ("base", f"{spell(base.lr)}, confidence {base.confidence}: {base.source}"),
        *((a.name, f"x {a.factor:.2f}, confidence {a.confidence}: {a.reason}") for a in found.adjustments),
    ]
    if found.steps is not None and found.lr_sum is not None:
        warmup = f"{found.warmup} of them warmup; halo-forge notes: 5 to 10 of 16"
        rows.append(("steps", f"{found.steps} per cycle, {warmup}"))
        rows.append(("lr x steps", f"{spell(found.lr_sum)} per cycle: keep it equal in a comparison"))
    rows += [("halo-forge", found.notes_comparison), *(("", text) for text in found.remarks)]
    rows += [("warning", text) for text in found.warnings]
    return f"{found.method}, {'all weights' if found.full else 'LoRA'}\n\n{labelled(rows)}"


def labelled(rows: Sequence[tuple[str, str]]) -> str:
    """Return lines of labels and texts, with the texts wrapped beside their labels."""
    return "\n".join(_wrapped(label, text) for label, text in rows)


def save(path: Path, schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule) -> None:
    """Write the schedules to `path` in the format of its suffix: .csv, .json or .yaml.

    Raises a `ConfigError` for another suffix and for a path that cannot be written.
    """
    _write(path, _DATA_FORMATS, schedules, measurements, baseline)


def plot(path: Path, schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule) -> None:
    """Plot the learning rates into `path`, a .png or .svg file.

    Raises a `ConfigError` for another suffix and for a path that cannot be written.
    """
    _write(path, _PLOT_FORMATS, schedules, measurements, baseline)


def _write(
    path: Path,
    writers: Mapping[str, _Writer],
    schedules: Sequence[Schedule],
    measurements: Measurements,
    baseline: Schedule,
) -> None:
    suffix = path.suffix.lower()
    if suffix not in writers:
        hint = f"supported: {', '.join(writers)}"
        flags = {**dict.fromkeys(_DATA_FORMATS, "--output"), **dict.fromkeys(_PLOT_FORMATS, "--plot")}
        if suffix in flags:
            hint = f"{suffix} files are written by {flags[suffix]}; {hint}"
        elif suffix:
            hint = did_you_mean(suffix, writers)
        raise ConfigError(f"{path}: unsupported file suffix", hint=hint)
    content = writers[suffix](schedules, measurements, baseline, suffix[1:])
    with atomic_output(path) as place:
        place.write_bytes(content)


def _csv(schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule, kind: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["policy", "cycle", "lr", "steps", "lr_sum"])
    for schedule in schedules:
        for cycle, row in enumerate(zip(schedule.rates, schedule.steps, schedule.sums, strict=True), 1):
            writer.writerow([schedule.label, cycle, *row])
    return text.getvalue().encode()


def _json(schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule, kind: str) -> bytes:
    return json.dumps(as_data(schedules, measurements, baseline), indent=2).encode() + b"\n"


def _yaml(schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule, kind: str) -> bytes:
    import yaml

    text = yaml.safe_dump(as_data(schedules, measurements, baseline), sort_keys=False, allow_unicode=True)
    return bytes(text, "utf-8")


def _plot(schedules: Sequence[Schedule], measurements: Measurements, baseline: Schedule, kind: str) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    for index, schedule in enumerate(schedules):
        cycles = range(1, len(schedule.rates) + 1)
        dashes = ("-", "--", ":")[index // 10 % 3]  # matplotlib has ten colours
        label = f"{schedule.label} ({schedule.relative(baseline):.2f})"
        axes.plot(cycles, schedule.rates, marker="o", linestyle=dashes, label=label)
    axes.set(xlabel="cycle", ylabel="peak learning rate", ylim=(0, None))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"(sum relative to {baseline.label})"
    figure.legend(title=title, loc="outside right upper", fontsize="small")
    figure.supxlabel(textwrap.fill(f"measurements: {measurements.origin}", 150), fontsize="x-small")
    image = io.BytesIO()
    figure.savefig(image, format=kind)
    return image.getvalue()


_Writer = Callable[[Sequence[Schedule], Measurements, Schedule, str], bytes]
_DATA_FORMATS: Mapping[str, _Writer] = {".csv": _csv, ".json": _json, ".yaml": _yaml}
_PLOT_FORMATS: Mapping[str, _Writer] = {".png": _plot, ".svg": _plot}


def _letters(schedules: Sequence[Schedule]) -> list[str]:
    """Return a letter for each schedule, the same in tables and charts; "?" after the 52nd."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    return [letters[index] if index < len(letters) else "?" for index in range(len(schedules))]


def _pass_rate_before(measurements: Measurements, cycle: int) -> str:
    """Return the pass rate before the training of `cycle`: held-out, else of its training samples."""
    metrics = measurements.reports[cycle - 1].heldout or measurements.reports[cycle].sampled
    return f"{metrics.passed:.1%}" if metrics else "?"


def _step_rows(measurements: Measurements, at_peak: Sequence[float]) -> list[tuple[str, ...]]:
    """Return a row of optimizer steps, and one of their equivalent at the peak learning rate if that differs."""
    reports = measurements.reports[1:][: len(at_peak)]
    counts = [report.train.steps if report.train else 0 for report in reports]
    rows = [("", "steps", *map(str, counts), str(sum(counts)), "")]
    if any(abs(equivalent - count) > 1e-6 * count for equivalent, count in zip(at_peak, counts, strict=True)):
        rows.append(("", "steps at peak", *(f"{s:.4g}" for s in at_peak), f"{sum(at_peak):.4g}", ""))
    return rows


def _kl_rows(measurements: Measurements, cycles: Sequence[int]) -> list[tuple[str, ...]]:
    """Return a row of the KL divergence of each previous cycle's training, or no row if none was measured."""
    kls = [report.train.kl if report.train else None for report in measurements.reports]
    if all(kl is None for kl in kls):
        return []
    cells = ("?" if (kl := kls[cycle - 1]) is None else f"{kl:.2g}" for cycle in cycles)
    return [("", "KL before", *cells, "", "")]


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=f"{label:<12}", subsequent_indent=" " * 12)
