"""``rackwright describe``: everything about one thing."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click
import msgspec

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.get import fetch
from rackwright.cli.kinds import (
    CATALOG,
    DEPLOYMENT,
    MACHINE,
    NETWORK,
    NODE,
    RACK,
    ROLE,
    TASK,
    Kind,
    KindName,
    counts,
    labels,
)
from rackwright.cli.options import operator, output
from rackwright.cli.output import Item, Output, ago, compact, fields, paint, table
from rackwright.core.errors import NotFound
from rackwright.core.lifecycle import Machine, possible

_MIB, _GIB = 1 << 20, 1 << 30
_DESCRIBED = (NODE, MACHINE, RACK, NETWORK, ROLE, CATALOG, DEPLOYMENT, TASK)


@examples(
    "rackwright describe node n1",
    "rackwright describe task 17 -d web",
)
@click.command()
@click.argument("kind", type=KindName(_DESCRIBED))
@click.argument("name")
@click.option("-d", "--deployment", help="For tasks: the deployment.")
@click.option("--catalog", help="For roles: the catalog.")
@output
@operator
def describe(
    client: Client, *, kind: Kind, name: str, deployment: str | None, catalog: str | None, output: Output
) -> None:
    """Show everything about one thing."""
    which = {"deployment": deployment, "catalog": catalog, "rack": None, "state": None}
    found = list(fetch(client, kind, (name,), which))
    if not found:
        raise NotFound(f"no {kind.name} is called {name!r}", mend=f"`rackwright get {kind.name}s` lists them")
    for item in found:
        output.item(item, functools.partial(_people, kind, item), f"{kind.name}/{item[kind.key]}")


def _people(kind: Kind, item: Item) -> None:
    special: dict[str, Callable[[Item], str]] = {
        "tasks": counts,
        "labels": labels,
        "state": lambda item: paint(item["state"]),
    }
    pairs = [
        (name, special[name](item) if name in special and item.get(name) is not None else _value(name, value))
        for name, value in item.items()
        if name not in ("facts", "reasons", "attributes", "machine")
    ]
    fields(pairs)
    _section("machine", _machine(item))
    _section("images at hand", _images(item))
    _section("reasons", [[reason] for reason in item.get("reasons", ())])
    _section("facts", [[path, compact(value)] for path, value in sorted(item.get("facts", {}).items())])
    properties = item.get("attributes", {}).get("properties", {}) if kind is ROLE else {}
    _section(
        "attributes",
        [
            [name, str(schema.get("type", "any")), compact(schema.get("default")), schema.get("description", "")]
            for name, schema in properties.items()
        ],
    )


def _machine(item: Item) -> list[list[str]]:
    """Where a machine stands on every axis, and which verbs can be said to it."""
    said = item.get("machine")
    if not said:
        return []
    verbs = ", ".join(possible(msgspec.convert(said, Machine))) or "none"
    rows = [[name, _value(name, value)] for name, value in said.items() if name not in ("id", "deployment")]
    return [*rows, ["possible now", verbs]]


def _images(item: Item) -> list[list[str]]:
    """What a rack says of its image cache."""
    said = ((item.get("serving") or {}).get("report") or {}).get("images")
    if not said:
        return []
    limit = f" of {said['limit'] / _GIB:.1f}" if "limit" in said else ""
    rows = [["files", str(said["files"])], ["GiB", f"{said['bytes'] / _GIB:.2f}{limit}"]]
    rows += [
        ["fetching", f"{sha256[:12]}: {there / _MIB:.1f} MiB"] for sha256, there in said.get("fetching", {}).items()
    ]
    rates = (("from_region", "from the region"), ("to_machines", "to machines"))
    rows += [[words, f"at most {said[name] / _MIB:.1f} MiB/s"] for name, words in rates if said.get(name)]
    return [*rows, ["trouble", said["trouble"]]] if said.get("trouble") else rows


def _section(title: str, rows: list[list[str]]) -> None:
    if rows:
        click.echo(f"{title}:")
        table([["", *row] for row in rows])


def _value(name: str, value: object) -> str:
    if value is None or value in ([], {}, ""):
        return "-"
    if isinstance(value, float) and (name.endswith("_at") or name in ("last_seen", "since")):
        return f"{ago(value)} ago"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return compact(value)
