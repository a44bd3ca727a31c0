"""Where nodes stand."""

from __future__ import annotations

import click

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
@click.option("--force", is_flag=True, help="Deployments that hold them let go of them.")
@operator
def move(client: Client, *, names: tuple[str, ...], rack: str, address: str | None, force: bool) -> None:
    """Let nodes stand in another rack. That one serves them from now on; they get its tokens when they boot there."""
    if address and len(names) > 1:
        raise click.UsageError("--address is for one node")
    wanted = {"rack": rack, **({"address": address} if address else {}), **({"force": True} if force else {})}

    def go(name: str) -> None:
        unbound = client.post(f"/nodes/{name}/move", wanted)["unbound"]
        if unbound:
            say(f"{name} unbound in {', '.join(unbound)}")

    each(names, go, f"stands in {rack}")
