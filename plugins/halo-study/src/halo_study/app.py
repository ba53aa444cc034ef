"""The command `halo study`: plan, run, show and report a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from halo_study.study import Study

app = typer.Typer(
    help="Compare settings over many runs.", no_args_is_help=True, rich_markup_mode=None
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file, YAML.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Directory of the results.  [default: studies/NAME]"
    ),
]
Runs = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Directory of the run directories.  [default: OUTPUT/runs]"),
]


def _read(path: Path, output: Path | None) -> tuple[Study, Path]:
    from halo_study.study import read_study

    return read_study(path), output or Path("studies") / path.stem


@app.command()
def run(
    file: StudyFile,
    output: Output = None,
    runs: Runs = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Runs side by side, each on one core.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after this number of runs.")] = None,
    keep: Annotated[
        Literal["all", "ledgers", "none"],
        typer.Option(help="What to keep of the runs of a seed when all are finished; ledgers: no weights."),
    ] = "all",
) -> None:
    """Run what a study still lacks. A study that was stopped or killed continues."""
    from halo_study.runner import Runner

    study, directory = _read(file, output)
    runner = Runner(study, directory, runs=runs, workers=jobs, keep=keep, limit=limit, say=_say)
    results = runner.run()
    _say(f"results  {runner.results_path} ({len(results)} runs)")


def _say(line: str) -> None:
    print(line, flush=True)
