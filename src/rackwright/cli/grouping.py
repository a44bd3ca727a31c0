"""Pools, zones and tags of nodes: put in, taken out, listed; and the rules that give tags."""

from __future__ import annotations

from typing import Any

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import GROUP, TAG_RULE
from rackwright.cli.options import operator, output
from rackwright.cli.output import Item, Output, say
from rackwright.cli.whom import names_of, said, whom

_AT_ONCE = 5000
"""Nodes in one request."""


@click.group()
def pool() -> None:
    """Put nodes into pools; see what is ready in each."""


@examples("rackwright pool add gpu n1 n2", "rackwright pool add lab --rack r7")
@pool.command(name="add")
@click.argument("pool_name", metavar="POOL")
@whom
@operator
def add_to_pool(client: Client, *, pool_name: str, names: tuple[str, ...], **how: Any) -> None:
    """Put nodes into a pool. A node is in one pool at most."""
    _set(client, names, how, {"desired.pool": pool_name})


@pool.command(name="remove")
@whom
@operator
def remove_from_pool(client: Client, *, names: tuple[str, ...], **how: Any) -> None:
    """Take nodes out of their pool."""
    _set(client, names, how, {"desired.pool": None})


@pool.command(name="get")
@output
@operator
def get_pools(client: Client, *, output: Output) -> None:
    """List pools, with their nodes and how many of them are ready."""
    _list(client, "pool", output)


@click.group()
def zone() -> None:
    """Say in which zone nodes and racks stand: what may fail together."""


@examples("rackwright zone add east n1 n2", "rackwright zone rack east r1 r2")
@zone.command(name="add")
@click.argument("zone_name", metavar="ZONE")
@whom
@operator
def add_to_zone(client: Client, *, zone_name: str, names: tuple[str, ...], **how: Any) -> None:
    """Say that nodes stand in a zone. It comes before that of their rack."""
    _set(client, names, how, {"desired.zone": zone_name})


@zone.command(name="remove")
@whom
@operator
def remove_from_zone(client: Client, *, names: tuple[str, ...], **how: Any) -> None:
    """Let nodes stand in the zone of their rack again."""
    _set(client, names, how, {"desired.zone": None})


@zone.command(name="rack")
@click.argument("zone_name", metavar="ZONE")
@click.argument("racks", nargs=-1, required=True)
@operator
def racks_in_zone(client: Client, *, zone_name: str, racks: tuple[str, ...]) -> None:
    """Say that racks, with all their nodes, stand in a zone."""
    for name in racks:
        client.patch(f"/racks/{name}", {"facts": {"desired.rack.zone": zone_name}})
        say(f"{name} stands in {zone_name}")


@zone.command(name="get")
@output
@operator
def get_zones(client: Client, *, output: Output) -> None:
    """List zones, with their nodes and how many of them are ready."""
    _list(client, "zone", output)


@click.group()
def tag() -> None:
    """Tag nodes, by hand or by rules over their facts."""


@examples("rackwright tag add burnt-in n1 n2", "rackwright tag add edge --zone east")
@tag.command(name="add")
@click.argument("tag_name", metavar="TAG")
@whom
@operator
def add_tag(client: Client, *, tag_name: str, names: tuple[str, ...], **how: Any) -> None:
    """Tag nodes."""
    _set(client, names, how, {f"desired.tags.{tag_name}": True})


@tag.command(name="remove")
@click.argument("tag_name", metavar="TAG")
@whom
@operator
def remove_tag(client: Client, *, tag_name: str, names: tuple[str, ...], **how: Any) -> None:
    """Take a tag from nodes. One that a rule gives stays."""
    _set(client, names, how, {f"desired.tags.{tag_name}": None})


@tag.command(name="get")
@output
@operator
def get_tags(client: Client, *, output: Output) -> None:
    """List tags, with their nodes and how many of them are ready."""
    _list(client, "tag", output)


@tag.group()
def rule() -> None:
    """Rules that tag nodes: judged anew whenever a fact changes that they read."""


@examples("rackwright tag rule add big '$.observed.inventory.cpu.threads >= 64'")
@rule.command(name="add")
@click.argument("name")
@click.argument("expression", metavar="EXPR")
@output
@operator
def add_rule(client: Client, *, name: str, expression: str, output: Output) -> None:
    """Tag every node for which a YAQL expression holds; $ is its facts. The rule that gave the tag before is gone."""
    done = client.put(f"/tag-rules/{name}", {"expression": expression})
    output.item(done, lambda: say(f"{name}: {done['nodes']} nodes judged, {done['changed']} changed{_faults(done)}"))


@rule.command(name="get")
@output
@operator
def get_rules(client: Client, *, output: Output) -> None:
    """List rules, with what they read."""
    output.items(list(client.items("/tag-rules")), TAG_RULE.columns, TAG_RULE.name)


@rule.command(name="delete")
@click.argument("name")
@operator
def delete_rule(client: Client, *, name: str) -> None:
    """Take a rule away, and its tag from every node."""
    client.delete(f"/tag-rules/{name}")
    say(f"the rule {name} is gone")


def _list(client: Client, kind: str, output: Output) -> None:
    output.items(list(client.items(f"/{kind}s")), GROUP.columns, kind)


def _set(client: Client, names: tuple[str, ...], how: dict[str, Any], facts: dict[str, Any]) -> None:
    """Set these facts of all nodes that are meant: those that cannot be set are told, some make the exit code 6."""
    meant = names_of(client, said(names, how))
    results: list[Item] = []
    for start in range(0, len(meant), _AT_ONCE):
        items = [{"name": name, "facts": facts} for name in meant[start : start + _AT_ONCE]]
        results += client.patch("/nodes", {"items": items})["items"]
    failed = [result for result in results if result["error"]]
    for result in failed:
        say(f"error: {result['error']}")
    say(f"{len(results) - len(failed)} nodes set")
    if failed:
        raise click.exceptions.Exit(exits.PARTIAL if len(failed) < len(results) else exits.CONFLICT)


def _faults(done: Item) -> str:
    return f"; it failed for {done['failed']}: {done['fault']}" if done["failed"] else ""
