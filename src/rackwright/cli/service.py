"""``rackwright service``: the processes of the product itself."""

from __future__ import annotations

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import SERVICE
from rackwright.cli.options import operator, output
from rackwright.cli.output import Output


@click.group()
def service() -> None:
    """Show the processes of the product."""


@examples("rackwright service list", "rackwright service list -o json")
@service.command("list")
@output
@operator
def list_services(client: Client, *, output: Output) -> None:
    """List every process: api, conductors, racks and all others, with the last that each told of itself.

    LAG is the longest time by which its loop came late between its last two beats. A process that is lost has not been
    heard of; it is forgotten after a while.
    """
    items = list(client.items("/services"))
    if not items and output.for_people:
        click.echo("no services", err=True)
        return
    output.items(items, SERVICE.columns, SERVICE.name, SERVICE.key)
