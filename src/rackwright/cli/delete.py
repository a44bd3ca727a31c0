"""``rackwright delete``: forget things."""

from __future__ import annotations

from collections.abc import Callable

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import DEPLOYMENT, NODE, RACK, Kind, KindName
from rackwright.cli.many import each
from rackwright.cli.options import consent, operator


@examples(
    "rackwright delete node n1 n2 --yes",
)
@click.command()
@click.argument("kind", type=KindName((NODE, RACK, DEPLOYMENT)))
@click.argument("names", nargs=-1, required=True)
@consent
@operator
def delete(client: Client, *, kind: Kind, names: tuple[str, ...], agree: Callable[[str], None]) -> None:
    """Delete nodes, racks or deployments, with their facts. What runs on them is not undone."""
    agree(f"Delete {kind.name} {', '.join(names)}?")
    each(names, lambda name: client.delete(f"/{kind.name}s/{name}"), "deleted")
