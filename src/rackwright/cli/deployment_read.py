"""How a deployment stands."""

from __future__ import annotations

import functools
import time

import click

from rackwright.cli.client import Client
from rackwright.cli.following import at_rest
from rackwright.cli.kinds import DEPLOYMENT, counts
from rackwright.cli.options import operator, output
from rackwright.cli.output import Item, Output, fields, paint

_PAUSE = 1.0


@click.command()
@click.argument("name")
@click.option("-w", "--watch", is_flag=True, help="Print again whenever something differs, until it rests.")
@output
@operator
def status(client: Client, *, name: str, watch: bool, output: Output) -> None:
    """Show how a deployment stands, and why it does not go on."""
    shown: Item | None = None
    while True:
        found: Item = client.get(f"/deployments/{name}")
        if found != shown:
            output.item(found, functools.partial(_people, found), f"{DEPLOYMENT.name}/{name}")
            shown = found
        if not watch or at_rest(found):
            return
        time.sleep(_PAUSE)


def _people(found: Item) -> None:
    fields(
        [
            ("deployment", found["name"]),
            ("state", paint(found["state"])),
            ("node tasks", counts(found)),
            ("members", str(found["members"])),
            ("catalog", found["catalog"]),
        ]
    )
    for reason in found["reasons"]:
        click.echo(f"  {reason}")
