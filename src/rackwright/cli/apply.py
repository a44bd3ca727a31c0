"""``rackwright apply``: make what a file says true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rackwright.cli import planning
from rackwright.cli.changes import KEYS, check_keys, read_yaml, resolve_changes
from rackwright.cli.client import Client
from rackwright.cli.deployment_apply import carry_out
from rackwright.cli.examples import examples
from rackwright.cli.following import Follows, waiting
from rackwright.cli.node import report
from rackwright.cli.options import consent, operator
from rackwright.cli.output import Item, say
from rackwright.cli.plan_text import show_plan
from rackwright.core.errors import InvalidInput


@examples(
    "nodes:",
    "  - {name: n1, rack: r1, address: 127.1.0.1}",
    "deployments:",
    "  - name: bus",
    "    catalog: messaging",
    '    bind: {nats: "@all"}',
    "    set: {nats: {port: 4222}}",
)
@click.command()
@click.option("-f", "--file", "path", required=True, type=click.Path(exists=True, dir_okay=False), help="The file.")
@waiting
@consent
@operator
def apply(client: Client, *, path: str, follows: Follows, agree: Callable[[str], None]) -> None:
    """Make what a YAML file says true: nodes that are not known are added, deployments are created and planned."""
    spec = check_keys(read_yaml(path), ("nodes", "deployments"), path)
    nodes, deployments = (_items(spec, key, path) for key in ("nodes", "deployments"))
    _add_nodes(client, nodes)
    for deployment in deployments:
        _apply(client, deployment, path, agree)
    for deployment in deployments:
        follows(client, deployment["name"])


def _items(spec: dict[str, Any], key: str, path: str) -> list[Item]:
    items = spec.get(key) or []
    good = isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in items
    )
    if not good:
        raise InvalidInput(f"{key} is not a list of things with names", where=path, mend="write `- name: ...` lines")
    return list(items)


def _add_nodes(client: Client, nodes: list[Item]) -> None:
    known = {node["name"] for node in client.items("/nodes")} if nodes else set()
    new = [node for node in nodes if node["name"] not in known]
    if new:
        report(client.post("/nodes", new)["items"])


def _apply(client: Client, deployment: Item, path: str, agree: Callable[[str], None]) -> None:
    name = deployment["name"]
    where = f"{path}: deployment {name}"
    changes = {key: value for key, value in deployment.items() if key not in ("name", "parent")}
    changes = resolve_changes(client, check_keys(changes, KEYS, where))
    if not any(item["name"] == name for item in client.items("/deployments", names=name)):
        if "catalog" not in deployment:
            raise InvalidInput("a new deployment needs a catalog", where=where, mend="add `catalog: NAME`")
        body = {"name": name, "catalog": deployment["catalog"], "parent": deployment.get("parent")}
        client.post("/deployments", body)
        say(f"{name} created")
    plan = planning.plan(client, name, changes)
    show_plan(plan)
    carry_out(client, plan, agree, exactly=False)
