"""Where nodes stand, and what holds them there."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rackwright.cli import planning
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.many import each
from rackwright.cli.options import operator
from rackwright.cli.output import say


@examples(
    "rackwright node move n1 n2 --rack r2",
    "rackwright node move n1 --rack r2 --address 10.88.0.11",
)
@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--rack", required=True, help="The rack in which they are to stand.")
@click.option("--address", help="The address that it has there; for one node.")
@click.option("--force", is_flag=True, help="Unbind them in every deployment first.")
@operator
def move(client: Client, *, names: tuple[str, ...], rack: str, address: str | None, force: bool) -> None:
    """Let nodes stand in another rack. That one serves them from now on; they get its tokens when they boot there."""
    if address and len(names) > 1:
        raise click.UsageError("--address is for one node")
    if force:
        unbind(client, names)

    def go(name: str) -> None:
        client.post(f"/nodes/{name}/move", {"rack": rack})
        if address:
            client.patch(f"/nodes/{name}", {"address": address})

    each(names, go, f"stands in {rack}")


def unbind(client: Client, names: Sequence[str]) -> None:
    """Unbind nodes in every deployment that holds them; returns once that is carried out."""
    held: dict[str, list[str]] = {}
    for name in names:
        for item in client.get(f"/nodes/{name}/deployments")["items"]:
            held.setdefault(item["name"], []).append(name)
    for deployment, nodes in sorted(held.items()):
        changes = {"unbind": {"*": nodes}, "cascade": True}
        planning.plan(client, deployment, changes, apply=True)
        say(f"{', '.join(nodes)} unbound in {deployment}")
