"""``rackwright get``: lists."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import MACHINE, NODE, ROLE, RUN, TASK, Kind, KindName, named
from rackwright.cli.options import operator, output
from rackwright.cli.output import Item, Output

_PAUSE = 2.0
"""Seconds between looks with --watch."""


@examples(
    "rackwright get nodes -o wide",
    "rackwright get node n1 -o json",
    "rackwright get tasks -d web --state error",
    "rackwright get machines --state ready",
)
@click.command()
@click.argument("kind", type=KindName())
@click.argument("names", nargs=-1)
@click.option("-d", "--deployment", help="For tasks and plans: the deployment.")
@click.option("--catalog", help="Roles of this catalog only.")
@click.option("--rack", help="Nodes of this rack only.")
@click.option("--state", help="Only what is in this state; of machines: their word.")
@click.option("-l", "--selector", help="Nodes with these labels: key=value,key=value.")
@click.option("-w", "--watch", is_flag=True, help="Print again whenever something differs, until Ctrl-C.")
@output
@operator
def get(client: Client, *, kind: Kind, names: tuple[str, ...], output: Output, watch: bool, **which: Any) -> None:
    """List things of a KIND: nodes, machines, racks, networks, roles, catalogs, deployments, tasks, plans."""
    shown: list[Item] | None = None
    while True:
        items = [item for item in fetch(client, kind, names, which) if _fits(kind, item, which)]
        if items != shown:
            _show(kind, names, items, output)
            shown = items
        if not watch:
            return
        time.sleep(_PAUSE)


def fetch(client: Client, kind: Kind, names: tuple[str, ...], which: dict[str, Any]) -> Iterator[Item]:
    """Things of a kind: those named, else all (of the deployment, rack or catalog in ``which``)."""
    if kind.within:
        deployment = which["deployment"]
        if not deployment:
            raise click.UsageError(f"{kind.name}s are found in a deployment: give -d NAME")
        filters = {"state": which["state"]} if kind is TASK else {}
        found = client.items(f"/deployments/{deployment}/{'history' if kind is RUN else kind.name + 's'}", **filters)
        return (item for item in found if not names or str(item["id"]) in names or item.get("task") in names)
    if names and kind is not ROLE:
        return (item for item in named(client, kind, names) if kind is not MACHINE or item["machine"])
    filters = {
        NODE.name: {"rack": which["rack"], "state": which["state"]},
        MACHINE.name: {"rack": which["rack"], "word": which["state"], "machines": "true"},
        ROLE.name: {"catalog": which["catalog"]},
    }
    found = client.items(kind.path, **filters.get(kind.name, {}))
    return (item for item in found if not names or item["name"] in names)


def _fits(kind: Kind, item: Item, which: dict[str, Any]) -> bool:
    if which["state"] and item.get("word" if kind is MACHINE else "state") != which["state"]:
        return False
    wanted = [pair.partition("=") for pair in (which["selector"] or "").split(",") if pair]
    return all(item.get("labels", {}).get(key) == value for key, _, value in wanted)


def _show(kind: Kind, names: tuple[str, ...], items: list[Item], output: Output) -> None:
    if output.form in ("json", "yaml") and len(names) == 1 and len(items) == 1:
        output.item(items[0], lambda: None)
    elif not items and output.for_people:
        click.echo(f"no {kind.name}s", err=True)
    else:
        output.items(items, kind.columns, kind.name, kind.key)
