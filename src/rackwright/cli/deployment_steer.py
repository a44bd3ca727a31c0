"""The short words for a deployment: create, stop, resume, retry, commit, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.following import Follows, waiting
from rackwright.cli.many import each
from rackwright.cli.options import consent, operator
from rackwright.cli.output import say


@examples(
    "rackwright deployment create bus --catalog messaging",
)
@click.command()
@click.argument("name")
@click.option("--catalog", required=True, help="The catalog whose roles it binds.")
@click.option("--parent", help="The deployment whose attributes it inherits.")
@operator
def create(client: Client, *, name: str, catalog: str, parent: str | None) -> None:
    """Make an empty deployment of a catalog."""
    client.post("/deployments", {"name": name, "catalog": catalog, "parent": parent})
    say(f"{name} created; bind roles: rackwright deployment plan {name} --bind ROLE=NODES")


@click.command()
@click.argument("names", nargs=-1, required=True)
@operator
def stop(client: Client, *, names: tuple[str, ...]) -> None:
    """Begin nothing new in these deployments; what runs ends by itself."""
    each(names, lambda name: client.post(f"/deployments/{name}/stop", {}), "stopped")


@click.command()
@click.argument("names", nargs=-1, required=True)
@operator
def resume(client: Client, *, names: tuple[str, ...]) -> None:
    """Go on after a stop."""
    each(names, lambda name: client.post(f"/deployments/{name}/resume", {}), "resumed")


@examples(
    "rackwright deployment retry web --node n3",
)
@click.command()
@click.argument("name")
@click.option("--task", "tasks", multiple=True, help="Only this task; may be repeated.")
@click.option("--node", "nodes", multiple=True, help="Only on this node; may be repeated.")
@waiting
@operator
def retry(client: Client, *, name: str, tasks: tuple[str, ...], nodes: tuple[str, ...], follows: Follows) -> None:
    """Run failed node tasks again; those that are named also when they are well."""
    say(f"{_count(client, name, 'retry', tasks, nodes)} to run again")
    follows(client, name)


@examples(
    "rackwright deployment commit web --task erase --node n3",
)
@click.command()
@click.argument("name")
@click.option("--task", "tasks", multiple=True, help="Only this task; may be repeated.")
@click.option("--node", "nodes", multiple=True, help="Only on this node; may be repeated.")
@waiting
@consent
@operator
def commit(
    client: Client,
    *,
    name: str,
    tasks: tuple[str, ...],
    nodes: tuple[str, ...],
    agree: Callable[[str], None],
    follows: Follows,
) -> None:
    """Agree to proposed node tasks, so that they run. They may be destructive."""
    agree(f"Let the proposed node tasks of {name} run?")
    say(f"{_count(client, name, 'commit', tasks, nodes)} to run")
    follows(client, name)


@click.command()
@click.argument("names", nargs=-1, required=True)
@consent
@operator
def delete(client: Client, *, names: tuple[str, ...], agree: Callable[[str], None]) -> None:
    """Delete deployments with their facts. What they did on nodes is not undone."""
    agree(f"Delete {', '.join(names)}?")
    each(names, lambda name: client.delete(f"/deployments/{name}"), "deleted")


def _count(client: Client, name: str, word: str, tasks: tuple[str, ...], nodes: tuple[str, ...]) -> Any:
    which = {"tasks": list(tasks) or None, "nodes": list(nodes) or None}
    return client.post(f"/deployments/{name}/{word}", which)["count"]
