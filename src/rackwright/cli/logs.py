"""``rackwright logs``: what a task said."""

from __future__ import annotations

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator


@examples(
    "rackwright logs -d web n1 install -f",
)
@click.command()
@click.argument("scope", metavar="NODE")
@click.argument("task")
@click.option("-d", "--deployment", required=True, help="The deployment.")
@click.option("--attempt", type=click.IntRange(min=1), help="Which attempt; the newest if not given.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt has ended.")
@operator
def logs(client: Client, *, scope: str, task: str, deployment: str, attempt: int | None, follow: bool) -> None:
    """Show all that a TASK said on a NODE (or on a rack or deployment, by its name)."""
    last = "\n"
    for piece in client.text("/logs", deployment=deployment, node=scope, task=task, attempt=attempt, follow=follow):
        click.echo(piece, nl=False)
        last = piece[-1:] or last
    if last != "\n":
        click.echo()
