"""``rackwright node``: make nodes known, and change what is known of them."""

from __future__ import annotations

import json
from typing import Any

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.lazy import Lazy, LazyGroup
from rackwright.cli.many import each
from rackwright.cli.options import operator
from rackwright.cli.output import Item, say


@click.group(
    cls=LazyGroup,
    lazy={
        "bmc": Lazy("rackwright.cli.bmc:bmc", "Say how nodes are switched on and off."),
        "accept": Lazy("rackwright.cli.machine:accept", "Take new machines in."),
        "commission": Lazy("rackwright.cli.machine:commission", "Take the inventory of machines and check it."),
        "test": Lazy("rackwright.cli.machine:test", "Load machines for a while."),
        "reserve": Lazy("rackwright.cli.machine:reserve", "Keep machines for somebody."),
        "allocate": Lazy("rackwright.cli.allocate:allocate", "Give machines to somebody."),
        "deploy": Lazy("rackwright.cli.machine:deploy", "Install systems; what is on the disks is lost."),
        "release": Lazy("rackwright.cli.machine:release", "Give machines back and erase their disks."),
        "erase": Lazy("rackwright.cli.machine:erase", "Erase the disks of machines."),
        "rescue": Lazy("rackwright.cli.machine:rescue", "Boot machines into the rescue system."),
        "exit-rescue": Lazy("rackwright.cli.machine:exit_rescue", "Let machines out of rescue."),
        "service": Lazy("rackwright.cli.machine:service", "Give machines into the hands of a person."),
        "adopt": Lazy("rackwright.cli.machine:adopt", "Take in machines that have their system already."),
        "retire": Lazy("rackwright.cli.machine:retire", "Take machines out of use."),
        "hold": Lazy("rackwright.cli.machine:hold", "Let nothing more of an activity begin."),
        "unhold": Lazy("rackwright.cli.machine:unhold", "Let an activity go on."),
        "abort": Lazy("rackwright.cli.machine:abort", "End an activity."),
        "retry": Lazy("rackwright.cli.machine:retry", "Try again what has failed of an activity."),
        "move": Lazy("rackwright.cli.places:move", "Let nodes stand in another rack."),
        "timeline": Lazy("rackwright.cli.task:timeline", "Show what ran on a node and what was changed of it."),
    },
)
def node() -> None:
    """Add nodes; change what is known of them; say verbs to machines."""


@examples(
    "rackwright node add n1 --rack r1 --address 127.1.0.1 --label site=lab",
)
@node.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--rack", required=True, help="The rack that they stand in.")
@click.option("--address", help="The node's address; for one node.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated.")
@operator
def add(client: Client, *, names: tuple[str, ...], rack: str, address: str | None, labels: tuple[str, ...]) -> None:
    """Make nodes known."""
    if address and len(names) > 1:
        raise click.UsageError("--address is for one node")
    pairs = dict(split_pair(label, "--label") for label in labels)
    given = [{"name": name, "rack": rack, "address": address, "labels": pairs} for name in names]
    report(client.post("/nodes", given)["items"])


@examples(
    "rackwright node set n1 --unavailable",
    "rackwright node set n1 --address 127.1.0.9",
)
@node.command(name="set")
@click.argument("names", nargs=-1, required=True)
@click.option("--available/--unavailable", default=None, help="Whether work may be begun on it.")
@click.option("--alive/--dead", default=None, help="Whether the machine lives.")
@click.option("--address", help="The node's address; for one node.")
@click.option(
    "--fact", "facts", multiple=True, metavar="PATH=VALUE", help="A fact desired.* or observed.*; JSON or text."
)
@operator
def set_(
    client: Client,
    *,
    names: tuple[str, ...],
    available: bool | None,
    alive: bool | None,
    address: str | None,
    facts: tuple[str, ...],
) -> None:
    """Change what is known or wished of nodes. Tasks that read a changed fact run again."""
    if address and len(names) > 1:
        raise click.UsageError("--address is for one node")
    change = {"available": available, "alive": alive, "address": address, "facts": facts_of(facts)}
    body = {key: value for key, value in change.items() if value not in (None, {})}
    if not body:
        raise click.UsageError("nothing to set: give an option")
    each(names, lambda name: client.patch(f"/nodes/{name}", body), "set")


def report(results: list[Item]) -> None:
    """Say what became of every node; some failed: exit code 6, all: 4."""
    failed = [result for result in results if result.get("error")]
    for result in results:
        say(f"{result['name']} {result.get('error') or 'added'}")
    if failed:
        raise click.exceptions.Exit(exits.PARTIAL if len(failed) < len(results) else exits.CONFLICT)


def split_pair(text: str, option: str) -> tuple[str, str]:
    """``key=value`` as a pair; anything else is a usage error."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError(f"{option} takes KEY=VALUE, not {text!r}")
    return key, value


def json_or_text(text: str) -> Any:
    """A value from the command line: JSON when it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def facts_of(facts: tuple[str, ...]) -> dict[str, Any]:
    """Facts as ``PATH=VALUE``, by path; ``null`` deletes one."""
    return {path: json_or_text(value) for path, value in (split_pair(fact, "--fact") for fact in facts)}
