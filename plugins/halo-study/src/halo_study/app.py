"""The command `halo study`: plan, run, show and report a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from halo_core.cli.signatures import AsJSON

if TYPE_CHECKING:
    from halo_study.study import Study

app = typer.Typer(help="Compare settings over many runs.", no_args_is_help=True, rich_markup_mode=None)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file, YAML.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Directory of the results.  [default: studies/NAME]"),
]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Directory of the run directories.  [default: OUTPUT/runs]"),
]


def _read(path: Path, output: Path | None) -> tuple[Study, Path]:
    from halo_study.study import read_study

    return read_study(path), output or Path("studies") / path.stem


@app.command()
def plan(
    file: StudyFile,
    output: Output = None,
    pilot: Annotated[
        Path | None,
        typer.Option(
            "--pilot", metavar="RUN", help="A run like those of the study.  [default: its finished runs]"
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs side by side.")] = 1,
    as_json: AsJSON = False,
) -> None:
    """Estimate the cost, and the smallest difference that can be shown."""
    from halo_core.cli.output import print_json
    from halo_study.planning import plan_study, plan_text

    study, directory = _read(file, output)
    found = plan_study(study, directory, pilot=pilot, jobs=jobs)
    if as_json:
        print_json(found)
    else:
        _say(plan_text(found))


@app.command()
def run(
    file: StudyFile,
    output: Output = None,
    runs: Runs = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Runs side by side, each on one core.")
    ] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after this number of runs.")
    ] = None,
    keep: Annotated[
        Literal["all", "ledgers", "none"],
        typer.Option(help="What to keep of the runs of a seed when all are finished; ledgers: no weights."),
    ] = "all",
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Results of another study: take its runs with the same configuration and seed.",
        ),
    ] = None,
) -> None:
    """Run what a study still lacks. A study that was stopped or killed continues."""
    import signal

    from halo_core import Interrupted
    from halo_study.runner import Runner

    study, directory = _read(file, output)
    runner = Runner(
        study, directory, runs=runs, workers=jobs, keep=keep, limit=limit, reuse=reuse or (), say=_say
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = runner.run()
    except KeyboardInterrupt as stop:
        raise Interrupted("stopped; repeat the command to continue: finished runs are kept") from stop
    _say(f"results  {runner.results_path} ({len(results)} runs)")


@app.command()
def status(file: StudyFile, output: Output = None, as_json: AsJSON = False) -> None:
    """Show which runs are finished, and the settings chosen so far."""
    from halo_core.cli.output import print_json
    from halo_core.tables import table
    from halo_study.progress import progress

    study, directory = _read(file, output)
    found = progress(study, directory)
    if as_json:
        print_json(found)
        return
    rows = [("arm", "setting", "choosing", "reported", "failed")]
    rows += [
        (
            each.arm,
            "" if each.value is None else f"{each.value:g}",
            f"{each.choosing} of {each.choosing_total}" if each.choosing_total else "",
            f"{each.reported} of {each.reported_total}",
            str(each.failed),
        )
        for each in found.arms
    ]
    _say(table(rows, left=1))
    _say(f"\n{found.done} of {found.total} runs, {found.seconds / 3600:.1f} hours of wall time")
    if found.done and found.done < found.total:
        _say(f"about {found.seconds_left / 3600:.1f} hours left, one run after another")


@app.command()
def report(file: StudyFile, output: Output = None) -> None:
    """Write report.html and report.md from the results so far."""
    from halo_core import RunError
    from halo_study.analysis import analyse
    from halo_study.fixed import read_fixed
    from halo_study.page import write_pages
    from halo_study.progress import stored_results

    study, directory = _read(file, output)
    results = stored_results(study, directory)
    if not results:
        raise RunError(f"{directory} has no results", hint="halo study run STUDY, with the same --output")
    analysis = analyse(study, results, read_fixed(directory))
    for path in write_pages(analysis, directory, file=file):
        _say(f"report   {path}")
    _say(f"answer   {analysis.answer}")


def _say(line: str) -> None:
    print(line, flush=True)
