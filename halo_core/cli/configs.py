"""`halo config`: show or validate a configuration without running it."""

from __future__ import annotations

from typing import Any

import typer

from halo_core.cli.flags import takes_config

config_app = typer.Typer(
    help="Show, validate or describe a configuration.", no_args_is_help=True, rich_markup_mode=None
)


@config_app.command()
@takes_config
def show(raw: dict[str, Any]) -> None:
    """Print the resolved configuration as YAML.

    It contains every option of every driver.
    """
    import yaml

    from halo_core.run.plan import Plan

    config = Plan.from_raw(raw).config
    typer.echo(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), nl=False)


@config_app.command()
def schema() -> None:
    """Print a JSON schema of the configuration.

    It covers the installed drivers with their options. Editors with YAML support use it to complete and check a file
    that starts with: # yaml-language-server: $schema=FILE
    """
    from halo_core.cli.output import print_json
    from halo_core.run.config_schema import config_schema

    print_json(config_schema())


@config_app.command()
@takes_config
def validate(raw: dict[str, Any]) -> None:
    """Check all that a run checks first; print its size.

    Checks the prompts, the model's files, the device, the tools of each driver and the packages of each plugin. Loads
    no weights and downloads nothing.
    """
    from halo_core.metrics import caution
    from halo_core.model.actor import Actor
    from halo_core.run.plan import Plan
    from halo_core.tables import count

    plan = Plan.from_raw(raw)
    prompts, heldout = plan.data()
    plan.drivers.verifiers.check_prompts([*prompts, *heldout])
    plan.preflight()
    config = plan.config
    missing = Actor(config.model).preflight()
    typer.echo(
        f"ok: {count(config.cycles, 'cycle')} of {count(len(prompts), 'prompt')} x "
        f"{count(config.samples_per_prompt, 'sample')}, "
        f"{count(len(heldout), 'held-out prompt')} x {config.heldout.samples_per_prompt}"
    )
    for warning in plan.data_notes(prompts, heldout):
        typer.echo(f"warning: {warning}")
    if missing:
        typer.echo(f"note: {missing} is not on this machine; the run downloads it from the hub")
    if warning := caution(len(heldout)):
        typer.echo(f"note: {warning}")
