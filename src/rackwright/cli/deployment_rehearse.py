"""``rackwright deployment rehearse``: what would be done, in order, without any effect."""

from __future__ import annotations

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Output

_COLUMNS = (
    Column("TASK", lambda one: str(one["task"])),
    Column("ON", lambda one: str(one["scope"])),
    Column("STATE", lambda one: str(one["state"])),
    Column("WOULD", lambda one: str(one["would"])),
    Column("WHY", lambda one: str(one["reason"])),
)


@examples("rackwright deployment rehearse web", "rackwright deployment rehearse web -o json")
@click.command()
@click.argument("name")
@output
@operator
def rehearse(client: Client, *, name: str, output: Output) -> None:
    """Show what every node task that is not active would do, in order. Nothing is moved, and no rack is asked."""
    output.items(list(client.items(f"/deployments/{name}/rehearsal")), _COLUMNS, "rehearsal", "task")
