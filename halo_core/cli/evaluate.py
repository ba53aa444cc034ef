"""`halo eval`: measure a model on prompts, without training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.flags import takes_evaluation
from halo_core.cli.output import name_of, print_json, printable
from halo_core.cli.signatures import AsJSON, Quiet
from halo_core.tables import count

if TYPE_CHECKING:
    from halo_core.diagnosis.readiness import Selection
    from halo_core.ledger.ledger import Ledger
    from halo_core.run.evaluation import Estimate, Evaluation
    from halo_core.types import PairedDifference

_OTHER = "-against"
"""Suffix of the directory of the other model's evaluation, if --output is given."""


@takes_evaluation
def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Directory or hub name of a model, an adapter, or a run."),
    ],
    cycle: Annotated[
        str | None,
        typer.Option(metavar="CYCLE", help="Cycle of a run: a number, best, or last.  [default: last]"),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="Also evaluate another model, or name its evaluation; compare."),
    ] = None,
    against_cycle: Annotated[
        str | None, typer.Option(metavar="CYCLE", help="Cycle of OTHER.  [default: last]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RUN", help="Directory to write.  [default: runs/eval-VERIFIER-MODEL-N]"
        ),
    ] = None,
    show: Annotated[int, typer.Option(min=0, metavar="N", help="Maximum prompts to list.")] = 20,
    quiet: Quiet = False,
    as_json: AsJSON = False,
    *,
    configure: Any,
) -> None:
    """Measure a model on prompts, without training.

    Prints pass@k with intervals, stages, truncation, lengths and speed. For a run, the verifier, the sampling options
    and the held-out prompts are those of the run. The result is a run directory without cycles, for halo samples,
    report and compare. The last lines state whether RAFT can learn from these prompts.
    """
    chosen = _subject(model, cycle)
    other = None if against is None else _subject(against, against_cycle)
    base = chosen.settings or (other.settings if other else {})
    known = other.evaluation if other else None
    measured, selection = _measure(chosen, configure(base), output, quiet=quiet or as_json, against=known)
    second = None
    if other is not None:
        place = None if output is None else output.with_name(output.name + _OTHER)
        second = other.evaluation or _measure(other, configure(base), place, quiet=quiet or as_json)[0]
    _print(measured, selection, second, show=show, as_json=as_json)


@dataclass(frozen=True)
class _Subject:
    """A model to evaluate."""

    model: Mapping[str, Any]
    """Its keys in the configuration's section `model`."""
    settings: Mapping[str, Any]
    """The configuration of the run that it is from; empty if it is not from a run."""
    evaluation: Ledger | None = None
    """The run, if it is an evaluation."""
    origins: Mapping[tuple[str, str], str] | None = None
    """The distributions of the drivers of the run that it is from."""


def _subject(name: str, cycle: str | None) -> _Subject:
    from halo_core.cli.weights import read_cycle
    from halo_core.config.model import ModelConfig
    from halo_core.errors import ConfigError
    from halo_core.ledger.ledger import open_run
    from halo_core.model.loading import with_base_model
    from halo_core.plugin.discovery import origins_of

    if not (Path(name) / "run.yaml").is_file():
        if cycle is not None:
            raise ConfigError(f"{name} is not a run, so it has no cycle {cycle}", hint="leave the cycle out")
        return _Subject({"name": name, "adapter": None}, {})
    ledger = open_run(Path(name))
    config = ledger.config()
    model, number = dict(config["model"]), read_cycle(ledger, cycle or "last")
    if number:
        weights = ledger.check_adapter(number)
        if (weights / "adapter_config.json").is_file():
            base = with_base_model(ModelConfig(name=model["name"], adapter=None)).name
            model |= {"name": base, "adapter": str(weights)}
        else:
            model |= {"name": str(weights), "adapter": None, "revision": None}
    is_evaluation = not config["cycles"]
    return _Subject(
        model,
        {**config, "data": {"heldout": name}},
        ledger if is_evaluation else None,
        origins_of(ledger.plugins()),
    )


def _measure(
    subject: _Subject, raw: dict[str, Any], output: Path | None, *, quiet: bool, against: Ledger | None = None
) -> tuple[Ledger, Selection | None]:
    """Run no cycle with the model; return the run's ledger and the size of the selection that cycle 1 would make."""
    from halo_core import sandbox
    from halo_core.builtin.console import ConsoleReport
    from halo_core.builtin.logfile import LogFile
    from halo_core.builtin.report import ReportFile
    from halo_core.cli.run import interruptible
    from halo_core.loop import run_cycles
    from halo_core.run.evaluation import expected_selection, measured, other_prompts
    from halo_core.run.plan import Plan, next_directory

    plan = Plan.from_raw(raw | {"model": {**(raw.get("model") or {}), **subject.model}}, subject.origins)
    directory = output or next_directory(Path("runs"), plan.config)
    if against is not None and against.prompts("heldout") != plan.data()[1]:
        raise other_prompts(directory, against.directory)
    progress = LogFile(ConsoleReport(quiet=quiet))
    try:
        with plan.open(directory, progress) as (run, hooks):
            running = sandbox.running()
            if running:
                progress.note(running.describe().replace(": ", "  ", 1))
            hooks.register(progress, name="log")
            hooks.register(ReportFile(plan.drivers.verifiers.extracted), name="report")
            with interruptible(run):
                run_cycles(run, hooks)
            selection = expected_selection(plan.drivers, measured(run.ledger), seed=run.seed)
    finally:
        if output is None:
            with suppress(OSError):  # not empty: the run was created
                directory.rmdir()
    return run.ledger, selection


# Output


def _print(
    measured: Ledger, selection: Selection | None, other: Ledger | None, *, show: int, as_json: bool
) -> None:
    from halo_core.diagnosis.readiness import readiness
    from halo_core.run.evaluation import differences, evaluation

    result = evaluation(measured)
    advice = readiness(result.metrics, result.tries, selection)
    changes = None if other is None else differences(other, measured)
    if as_json:
        found = {**result.as_json(), "selection": asdict(selection) if selection else None, "advice": advice}
        if changes is not None and other is not None:
            found["against"] = evaluation(other).as_json() | {
                "differences": {name: asdict(change) for name, change in changes.items()}
            }
        print_json(found)
        return
    label = _valid_label(measured)
    typer.echo("\n".join(_lines(result, label)))
    if show:
        typer.echo("\n" + _prompt_table(result, show))
    if changes is not None and other is not None:
        typer.echo("\n" + "\n".join(_against(evaluation(other), changes, label)))
    typer.echo("\n" + "\n".join(advice))


def _valid_label(ledger: Ledger) -> str:
    from halo_core.verification.verifiers import VerifierSet

    verifiers = VerifierSet.of_run(ledger.config(), ledger.plugins())
    return verifiers.by_name[verifiers.first].valid_label


def _lines(result: Evaluation, label: str) -> list[str]:
    """Return the results over all prompts, a line for each."""
    metrics, lengths = result.metrics, result.lengths
    rows = {
        "model": result.model + (f" with {result.adapter}" if result.adapter else ""),
        "verifier": f"{result.verifier}, {count(metrics.prompts, 'prompt')} x {count(result.tries, 'sample')}",
        "stored in": name_of(result.directory),
        "": "",
        **{f"pass@{k}": _share(each) for k, each in result.pass_at.items()},
        label: _percent(metrics.valid, metrics.valid_interval),
        "stages": ", ".join(f"{stage} {number}" for stage, number in metrics.stages.items()),
        "cut short": f"{metrics.truncated:.1%}"
        + (f" at {result.max_new_tokens} tokens" if result.max_new_tokens else "")
        + (f", {metrics.unfinished:.1%} within their reasoning" if metrics.unfinished else ""),
        "tokens": f"median {lengths['median']:.0f}, 90% at most {lengths['90%']:.0f}, longest {lengths['longest']:.0f}",
        "speed": f"{result.tokens_per_second:.0f} tokens per second, sampling and verifying side by side",
    }
    if metrics.errors or metrics.inconclusive:
        rows["left out"] = f"{count(metrics.errors, 'verdict')} of error, {metrics.inconclusive} inconclusive"
    return [f"{name:<10} {text}".rstrip() for name, text in rows.items()]


def _prompt_table(result: Evaluation, show: int) -> str:
    from halo_core.tables import table

    ks = list(result.pass_at)
    shown = sorted({ks[0], ks[-1]}) if ks else []
    header = (
        "prompt",
        "passes",
        *(name for k in shown for name in (f"pass@{k}", "95%")),
        "cut short",
        "stages",
    )
    rows = [
        (
            printable(each.prompt),
            f"{each.passes}/{each.samples}",
            *(text for k in shown for text in _cells(each.pass_at.get(k))),
            str(each.truncated),
            ", ".join(f"{stage} {number}" for stage, number in each.stages.items()),
        )
        for each in result.prompts[:show]
    ]
    text = table([header, *rows], left=1, ranks=range(len(header)))
    rest = len(result.prompts) - show
    return text if rest <= 0 else f"{text}\nand {rest} more: --show {len(result.prompts)}"


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return "", ""
    return f"{estimate.value:.0%}", "-".join(f"{100 * bound:.0f}" for bound in estimate.interval)


def _against(other: Evaluation, changes: Mapping[str, PairedDifference], label: str) -> list[str]:
    from halo_core.builtin.console import describe_change

    name = other.model + (f" with {other.adapter}" if other.adapter else "")
    lines = [f"against    {name} ({name_of(other.directory)})"]
    return lines + [
        describe_change(label if key == "valid" else key, change) for key, change in changes.items()
    ]


def _share(estimate: Estimate) -> str:
    return _percent(estimate.value, estimate.interval)


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{value:6.1%}  [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
