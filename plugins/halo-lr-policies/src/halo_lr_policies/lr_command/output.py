"""EvalMetrics on paper: tables and charts as text, files of numbers, pictures where matplotlib is installed."""

from __future__ import annotations

import csv
import io
import json
import string
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.errors import ConfigError, did_you_mean
from halo_core.tables import spell, table
from halo_lr_policies.lr_command.dry_run import Course, Schedule
from halo_lr_policies.lr_command.recommend import Recommendation

_HEIGHT = 12
"""Lines of a text chart."""


def marks(schedules: Sequence[Schedule]) -> list[str]:
    """Return a letter for each schedule, the same in tables and charts."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    return [letters[place] if place < len(letters) else "?" for place in range(len(schedules))]


def one(schedule: Schedule, course: Course) -> str:
    """Write one schedule, a row for each cycle."""
    rows = [("cycle", "lr", "steps", "lr x steps", "passed before")]
    for number, (rate, steps, lr_sum) in enumerate(
        zip(schedule.rates, schedule.steps, schedule.sums, strict=True), 1
    ):
        rows.append((str(number), f"{rate:.2e}", f"{steps:.4g}", f"{lr_sum:.2e}", _passed(course, number)))
    rows.append(("sum", "", f"{sum(schedule.steps):.4g}", f"{schedule.lr_sum:.2e}", ""))
    return table(rows, left=0)


def side_by_side(schedules: Sequence[Schedule], course: Course, baseline: Schedule) -> str:
    """Write several schedules, a row each, with their summed rates relative to that of `baseline`."""
    numbers = range(1, len(schedules[0].rates) + 1)
    rows = [
        ("", "cycle", *map(str, numbers), "sum", "relative"),
        ("", "passed before", *(_passed(course, number) for number in numbers), "", ""),
        *_kl_row(course, numbers),
        *_step_rows(course, schedules[0].steps),
    ]
    for mark, each in zip(marks(schedules), schedules, strict=True):
        rates = (f"{rate:.2e}" for rate in each.rates)
        rows.append((mark, each.label, *rates, f"{each.lr_sum:.2e}", f"{each.relative(baseline):.2f}"))
    return table(rows, left=2)


def chart(schedules: Sequence[Schedule]) -> str:
    """Draw schedules as text, rate against cycle, from 0 up; a star is where several meet."""
    top = max(max(each.rates) for each in schedules)
    cycles = len(schedules[0].rates)
    cells: dict[tuple[int, int], str] = {}
    for mark, each in zip(marks(schedules), schedules, strict=True):
        for cycle, rate in enumerate(each.rates):
            place = round(_HEIGHT * rate / top), cycle
            cells[place] = "*" if place in cells else mark
    width = len(str(cycles)) + 2
    lines = []
    for level in range(_HEIGHT, -1, -1):
        axis = f"{top * level / _HEIGHT:.2e}" if level % 4 == 0 else ""
        drawn = "".join(cells.get((level, cycle), "").rjust(width) for cycle in range(cycles))
        lines.append(f"{axis:>8} |{drawn}".rstrip())
    lines.append(f"{'cycle':>8} |" + "".join(str(cycle).rjust(width) for cycle in range(1, cycles + 1)))
    legend = [f"{mark} {each.label}" for mark, each in zip(marks(schedules), schedules, strict=True)]
    return "\n".join([*lines, "", *legend])


def plain(schedules: Sequence[Schedule], course: Course, baseline: Schedule) -> dict[str, Any]:
    """Return everything as JSON would have it."""
    found = {
        "course": course.origin,
        "relative_to": baseline.label,
        "policies": [
            {
                "label": each.label,
                "name": each.name,
                "options": dict(each.options),
                "rates": each.rates,
                "steps": each.steps,
                "lr_sum": each.lr_sum,
                "relative": each.relative(baseline),
            }
            for each in schedules
        ],
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def overview(found: Sequence[Recommendation]) -> str:
    """Write recommendations as a table, and where they are from."""
    rows: list[tuple[str, ...]] = [
        ("method", "weights", "confidence", "lr", "lowest", "highest", "the notes")
    ]
    sources = []
    for each in found:
        weights, notes = "all" if each.full else "LoRA", each.notes_say
        numbers = (f"{value:.2e}" for value in (each.lr, each.low, each.high))
        rows.append((each.method, weights, each.base.confidence, *numbers, notes))
        sources.append(_hanging(f"{each.method}, {weights}", each.base.source))
    head = "Peak rates of AdamW to start from; halo lr recommend METHOD says more, and warns."
    return "\n".join([table(rows, left=7), "", head, "", *sources])


def advice(found: Recommendation) -> str:
    """Write one recommendation with all of its reasons."""
    base, weights = found.base, "all weights" if found.full else "LoRA"
    rows = [
        ("rate", f"{spell(found.lr)}, range {spell(found.low)} to {spell(found.high)}; try three or more"),
        ("base", f"{spell(base.lr)}, confidence {base.confidence}: {base.source}"),
        *((a.name, f"x {a.factor:.2f}, confidence {a.confidence}: {a.reason}") for a in found.adjustments),
    ]
    if found.steps is not None and found.lr_sum is not None:
        rows.append(
            ("steps", f"{found.steps} a cycle, {found.warmup} of them warmup; the notes: 5 to 10 of 16")
        )
        rows.append(("lr x steps", f"{spell(found.lr_sum)} a cycle: hold it equal in a comparison"))
    rows += [("notes", found.notes_say), *(("", text) for text in found.remarks)]
    rows += [("warning", text) for text in found.warnings]
    return f"{found.method}, {weights}\n\n{listed(rows)}"


def listed(rows: Sequence[tuple[str, str]]) -> str:
    """Write names and texts, the texts wrapped beside their names."""
    return "\n".join(_hanging(name, text) for name, text in rows)


def save(path: Path, schedules: Sequence[Schedule], course: Course, baseline: Schedule) -> None:
    """Write the numbers to `path`, in the form that its suffix says: .csv, .json or .yaml.

    Raises a `ConfigError` for another suffix and for a path that cannot be written.
    """
    _write(path, _FILES, schedules, course, baseline)


def draw(path: Path, schedules: Sequence[Schedule], course: Course, baseline: Schedule) -> None:
    """Draw the rates into `path`, a .png or .svg file.

    Raises a `ConfigError` for another suffix, where matplotlib is missing, and for a path that cannot be written.
    """
    _write(path, _PICTURES, schedules, course, baseline)


def _write(
    path: Path,
    writers: Mapping[str, _Writer],
    schedules: Sequence[Schedule],
    course: Course,
    baseline: Schedule,
) -> None:
    suffix = path.suffix.lower()
    if suffix not in writers:
        known = f"known here: {', '.join(writers)}"
        flags = {**dict.fromkeys(_FILES, "--output"), **dict.fromkeys(_PICTURES, "--plot")}
        if suffix in flags:
            known = f"that is for {flags[suffix]}; {known}"
        elif suffix:
            known = did_you_mean(suffix, writers)
        raise ConfigError(f"{path}: what kind of file to write is told by its suffix", hint=known)
    content = writers[suffix](schedules, course, baseline, suffix[1:])
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _csv(schedules: Sequence[Schedule], course: Course, baseline: Schedule, kind: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["policy", "cycle", "lr", "steps", "lr_sum"])
    for each in schedules:
        for number, row in enumerate(zip(each.rates, each.steps, each.sums, strict=True), 1):
            writer.writerow([each.label, number, *row])
    return text.getvalue().encode()


def _json(schedules: Sequence[Schedule], course: Course, baseline: Schedule, kind: str) -> bytes:
    return json.dumps(plain(schedules, course, baseline), indent=2).encode() + b"\n"


def _yaml(schedules: Sequence[Schedule], course: Course, baseline: Schedule, kind: str) -> bytes:
    import yaml

    text = yaml.safe_dump(plain(schedules, course, baseline), sort_keys=False, allow_unicode=True)
    return bytes(text, "utf-8")


def _picture(schedules: Sequence[Schedule], course: Course, baseline: Schedule, kind: str) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    for place, each in enumerate(schedules):
        cycles = range(1, len(each.rates) + 1)
        dashes = ("-", "--", ":")[place // 10 % 3]  # matplotlib has ten colours
        label = f"{each.label} ({each.relative(baseline):.2f})"
        axes.plot(cycles, each.rates, marker="o", linestyle=dashes, label=label)
    axes.set(xlabel="cycle", ylabel="peak learning rate", ylim=(0, None))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = f"(sum relative to {baseline.label})"
    figure.legend(title=title, loc="outside right upper", fontsize="small")
    figure.supxlabel(textwrap.fill(f"measurements: {course.origin}", 150), fontsize="x-small")
    image = io.BytesIO()
    figure.savefig(image, format=kind)
    return image.getvalue()


_Writer = Callable[[Sequence[Schedule], Course, Schedule, str], bytes]
_FILES: Mapping[str, _Writer] = {".csv": _csv, ".json": _json, ".yaml": _yaml}
_PICTURES: Mapping[str, _Writer] = {".png": _picture, ".svg": _picture}


def _passed(course: Course, cycle: int) -> str:
    """Return what passed when the rate of `cycle` was chosen."""
    before, now = course.reports[cycle - 1].heldout, course.reports[cycle].sampled
    rates = before or now
    return f"{rates.passed:.1%}" if rates else "?"


def _step_rows(course: Course, at_peak: Sequence[float]) -> list[tuple[str, ...]]:
    """Return the optimizer steps and, where a schedule within the cycle makes them fewer, what they are worth."""
    taken = [report.train.steps if report.train else 0 for report in course.reports[1:]][: len(at_peak)]
    rows = [("", "steps", *map(str, taken), str(sum(taken)), "")]
    if any(abs(worth - steps) > 1e-6 * steps for worth, steps in zip(at_peak, taken, strict=True)):
        rows.append(("", "worth at peak", *(f"{s:.4g}" for s in at_peak), f"{sum(at_peak):.4g}", ""))
    return rows


def _kl_row(course: Course, cycles: Sequence[int]) -> list[tuple[str, ...]]:
    """Return what the cycle before had moved the model by, where that was measured at all."""
    kls = [before.train.kl if before.train else None for before in course.reports]
    if all(kl is None for kl in kls):
        return []
    cells = ("?" if (kl := kls[cycle - 1]) is None else f"{kl:.2g}" for cycle in cycles)
    return [("", "KL before", *cells, "", "")]


def _hanging(name: str, text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=f"{name:<12}", subsequent_indent=" " * 12)
