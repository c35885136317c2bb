"""`collectivelint config`: the keys of the configuration."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ..settings.options import options
from ..spelling import nearest
from .words import Word, config_keys


@click.command()
@click.argument("key", required=False, shell_complete=config_keys)
@click.option("--output-format", type=Word(["text", "json"]), default="text", show_default=True)
def config(key: str | None, output_format: str) -> None:
    """List the keys of the configuration, or explain one: its type, its default, and what it does."""
    found = options()
    if key is not None:
        known = [option.key for option in found]
        found = [option for option in found if option.key == key]
        if not found:
            raise click.UsageError(f"no key `{key}`{nearest(key, known)}")
    if output_format == "json":
        click.echo(json.dumps([asdict(option) for option in found] if key is None else asdict(found[0]), indent=2))
        return
    for option in found:
        if key is None:
            click.echo(f"{option.key:<20}  {option.text}")
        else:
            click.echo(f"{option.key}: {option.text}\nType: {option.type}\nDefault: {option.default}")
