"""The command `halo lr`: learning rates without a run, from one policy, from several, or on a run's measurements."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from halo_core.cli.output import print_json
from halo_core.cli.signatures import AsJSON
from halo_lr_policies.lr_command.defaults import CYCLES, HELDOUT
from halo_lr_policies.lr_command.start import recommend, steps

if TYPE_CHECKING:
    from halo_lr_policies.lr_command.dry_run import Measurements, Schedule

N = TypeVar("N", int, float)

app = typer.Typer(
    help="Calculate learning rates without a model or a run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command()(recommend)
app.command()(steps)


def _parse_shares(text: str) -> list[float]:
    return _parse_numbers(text, float, "--passed", "shares between 0 and 1", 0, 1)


def _parse_counts(text: str) -> list[int]:
    return _parse_numbers(text, int, "--steps", "positive numbers of steps", 1, 10**9)


def _parse_numbers(
    text: str, kind: Callable[[str], N], flag: str, expected: str, low: float, high: float
) -> list[N]:
    from halo_core.errors import ConfigError

    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(low <= number <= high for number in numbers):
        raise ConfigError(f"{flag} {text!r}: expected {expected}, separated by commas")
    return numbers


PoliciesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help='Policies, each with its options after the name: "exponential decay=0.7".',
        show_default="all installed",
    ),
]
SharedOptions = Annotated[
    list[str] | None,
    typer.Option("--lr-opt", "-L", metavar="KEY=VALUE", help="Option of every policy that has it."),
]
PassedOption = Annotated[
    Sequence[float] | None,
    typer.Option(
        parser=_parse_shares,
        metavar="SHARE,...",
        help="Assumed pass rates after cycles 0, 1, ...: 0.3,0.4,0.5. The last value is repeated.",
    ),
]
StepsOption = Annotated[
    Sequence[int] | None,
    typer.Option(
        parser=_parse_counts,
        metavar="COUNT,...",
        help="Assumed optimizer steps of cycles 1, 2, ...: 16,20,22. The last value is repeated.",
    ),
]
HeldoutOption = Annotated[int, typer.Option(min=1, help="Assumed held-out completions per cycle.")]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Plot the learning rates into a .png or .svg file."),
]
ChartOption = Annotated[bool, typer.Option("--chart", help="Print a text chart of the learning rates.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Also write a .csv, .json or .yaml file."),
]


@app.command()
def schedule(
    lr_policy: Annotated[
        str | None,
        typer.Option(help="Policy: a name or ./file.py:Class.", show_default="from --config, else constant"),
    ] = None,
    lr_opt: Annotated[
        list[str] | None, typer.Option("--lr-opt", "-L", metavar="KEY=VALUE", help="Option of the policy.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file with the policy and the number of cycles."),
    ] = None,
    cycles: Annotated[
        int | None,
        typer.Option(
            "--cycles", "-n", min=1, help="Number of cycles.", show_default=f"from --config, else {CYCLES}"
        ),
    ] = None,
    passed: PassedOption = None,
    steps: StepsOption = None,
    heldout_samples: HeldoutOption = HELDOUT,
    plot: PlotOption = None,
    chart: ChartOption = False,
    output: OutputOption = None,
    as_json: AsJSON = False,
) -> None:
    """Print the learning rate of each cycle under a policy.

    Ends with the policy as a section of a configuration file. Policies that react to measurements are given assumed
    ones.
    """
    import yaml

    from halo_lr_policies.lr_command.dry_run import (
        DEFAULT_LR,
        assumed_measurements,
        constant_baseline,
        dry_run,
    )
    from halo_lr_policies.lr_command.output import as_data, schedule_table

    name, options, planned = _read_policy(config, lr_policy, lr_opt or [])
    measurements = assumed_measurements(
        cycles or planned or CYCLES, passed=passed or (), steps=steps or (), heldout=heldout_samples
    )
    result = dry_run(name, options, measurements, cycles=cycles)
    baseline = constant_baseline(DEFAULT_LR, measurements)
    if as_json:
        print_json(as_data([result], measurements, baseline))
        return
    typer.echo(f"{schedule_table(result, measurements)}\n")
    relative = result.relative(baseline)
    typer.echo(f"summed learning rate: {relative:.2f} of that of {baseline.label} over the same steps")
    _print_footer([result], measurements, baseline, plot, chart, output)
    written = as_data([result], measurements, baseline)["policies"][0]["options"]
    section = {"lr_policy": {"name": name, **written}, "cycles": len(result.rates)}
    typer.echo(f"\n{yaml.safe_dump(section, sort_keys=False, allow_unicode=True)}", nl=False)


@app.command()
def compare(
    policies: PoliciesArgument = None,
    lr_opt: SharedOptions = None,
    cycles: Annotated[int, typer.Option("--cycles", "-n", min=1, help="Number of cycles.")] = CYCLES,
    passed: PassedOption = None,
    steps: StepsOption = None,
    heldout_samples: HeldoutOption = HELDOUT,
    plot: PlotOption = None,
    chart: ChartOption = False,
    output: OutputOption = None,
    as_json: AsJSON = False,
) -> None:
    """Compare the learning rates of several policies.

    Prints the learning rate of each cycle, and the sum of learning rate x optimizer steps relative to that of a
    constant learning rate. A policy that lowers the learning rate also has a smaller sum, so two policies may differ
    in effect because of their sums alone. All policies are given the same assumed measurements; simulate uses those
    of a run.
    """
    from halo_core.config.options import parse_assignments
    from halo_lr_policies.lr_command.dry_run import DEFAULT_LR, assumed_measurements, constant_baseline

    shared = parse_assignments(lr_opt or [], flag="-L")
    measurements = assumed_measurements(
        cycles, passed=passed or (), steps=steps or (), heldout=heldout_samples
    )
    schedules, skipped = _dry_runs(policies or [], shared, measurements, cycles)
    baseline = constant_baseline(float(shared.get("base_lr", DEFAULT_LR)), measurements)
    _print_comparison(schedules, measurements, baseline, plot, chart, output, as_json=as_json)
    for reason in skipped:
        typer.echo(f"skipped: {reason}", err=True)


@app.command()
def simulate(
    run: Annotated[Path, typer.Argument(help="Run directory with finished cycles.")],
    policies: PoliciesArgument = None,
    lr_opt: SharedOptions = None,
    cycles: Annotated[
        int | None,
        typer.Option(
            "--cycles", "-n", min=1, help="Use only the first cycles, this many.", show_default="all"
        ),
    ] = None,
    plot: PlotOption = None,
    chart: ChartOption = False,
    output: OutputOption = None,
    as_json: AsJSON = False,
) -> None:
    """Replay policies on the measurements of a recorded run.

    Prints the learning rate that each policy would have chosen in each cycle; needs no GPU. Sums are relative to the
    run's own, over its own optimizer steps. The default of `base_lr` is the run's learning rate in cycle 1. The effect
    that other learning rates would have had on the run is unknown.
    """
    from halo_core.config.options import parse_assignments
    from halo_lr_policies.lr_command.dry_run import recorded_baseline, recorded_measurements

    measurements = recorded_measurements(run)
    shared = parse_assignments(lr_opt or [], flag="-L")
    schedules, skipped = _dry_runs(
        policies or [], shared, measurements, cycles, defaults={"base_lr": measurements.reports[1].lr}
    )
    baseline = recorded_baseline(measurements, cycles=cycles)
    _print_comparison([baseline, *schedules], measurements, baseline, plot, chart, output, as_json=as_json)
    for reason in skipped:
        typer.echo(f"skipped: {reason}", err=True)


def _read_policy(
    config: Path | None, name: str | None, options: Sequence[str]
) -> tuple[str, Any, int | None]:
    """Return the policy's name, its options and the number of cycles; flags override the file."""
    from halo_core.config.layers import assign, load_yaml
    from halo_core.config.options import parse_assignments
    from halo_core.config.schema import read_config

    raw = load_yaml(config) if config else {}
    if name:
        assign(raw, "lr_policy", name)
    for key, value in parse_assignments(options, flag="-L").items():
        assign(raw, f"lr_policy.{key}", value)
    relevant: dict[str, Any] = {key: raw[key] for key in ("lr_policy", "cycles") if key in raw}
    read = read_config({"verifier": ["any"]} | relevant, where=str(config or "configuration"))
    policy = read.spec("lr_policy")
    return policy.name, policy.options, read.cycles if config else None


def _dry_runs(
    texts: Sequence[str],
    shared: Mapping[str, Any],
    measurements: Measurements,
    cycles: int | None,
    *,
    defaults: Mapping[str, Any] | None = None,
) -> tuple[list[Schedule], list[str]]:
    """Dry-run the policies in `texts`, or all installed ones; return the schedules, and why policies were skipped.

    Each policy gets those options of `defaults` and `shared` that it has; its own options override `shared`, which
    overrides `defaults`. Only installed policies that `texts` does not name can be skipped.
    """
    from halo_core.errors import ConfigError, HaloError
    from halo_core.plugin.discovery import available
    from halo_lr_policies.lr_command.dry_run import dry_run, has_option, parse_policy

    sources = [] if texts else sorted(available("lr_policy"), key=lambda source: source.name != "constant")
    names = [source.name for source in sources]
    labels = list(texts) or [
        source.name if names.count(source.name) == 1 else f"{source.distribution}:{source.name}"
        for source in sources
    ]
    used: set[str] = set()
    schedules, skipped = [], []
    for label in labels:
        try:
            name, own = parse_policy(label)
            options = {
                key: value for key, value in {**(defaults or {}), **shared}.items() if has_option(name, key)
            }
            schedules.append(dry_run(name, {**options, **own}, measurements, cycles=cycles, label=label))
            used |= options.keys()
        except HaloError as error:
            if texts:
                raise
            skipped.append(f"{label}: {error}")
    if not schedules:
        raise ConfigError("no usable LR policy is installed", hint="pip install halo-lr-policies")
    for key in shared.keys() - used:
        raise ConfigError(f"-L {key}: none of these policies has this option")
    return schedules, skipped


def _print_comparison(
    schedules: Sequence[Schedule],
    measurements: Measurements,
    baseline: Schedule,
    plot: Path | None,
    chart: bool,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    from halo_lr_policies.lr_command.output import as_data, comparison_table

    if as_json:
        print_json(as_data(schedules, measurements, baseline))
        return
    typer.echo(f"{comparison_table(schedules, measurements, baseline)}\n")
    reference = "the run" if baseline in schedules else baseline.label
    typer.echo(f"sum: learning rate x optimizer steps; relative: divided by the sum of {reference}")
    _print_footer(schedules, measurements, baseline, plot, chart, output)


def _print_footer(
    schedules: Sequence[Schedule],
    measurements: Measurements,
    baseline: Schedule,
    plot: Path | None,
    chart: bool,
    output: Path | None,
) -> None:
    from halo_lr_policies.lr_command import output as writers

    typer.echo(textwrap.fill(f"measurements: {measurements.origin}", 110))
    if chart:
        typer.echo(f"\n{writers.text_chart(schedules)}")
    for path, write in ((output, writers.save), (plot, writers.plot)):
        if path:
            write(path, schedules, measurements, baseline)
            typer.echo(f"wrote {path}")
