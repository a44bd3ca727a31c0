"""``rackwright network``: subnets and VLANs, the racks that they are on, and addresses in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import NETWORK
from rackwright.cli.many import each
from rackwright.cli.node import split_pair
from rackwright.cli.options import operator, output
from rackwright.cli.output import Item, Output, compact, fields, say
from rackwright.cli.whom import names_of, said, whom

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def network() -> None:
    """Make networks, reserve ranges of them, give addresses to nodes."""


def _described(function: F) -> F:
    """The command says what a network is like."""
    for option in (
        click.option(
            "--rack", "racks", multiple=True, metavar="RACK=ADDRESS[@INTERFACE]", help="A rack that it is on."
        ),
        click.option("--gateway", metavar="ADDRESS", help="The way out."),
        click.option("--dns", multiple=True, metavar="ADDRESS", help="A DNS server; may be repeated."),
        click.option("--domain", metavar="NAME", help="The domain of its nodes."),
        click.option(
            "--forwarder",
            "forwarders",
            multiple=True,
            metavar="ADDRESS",
            help="A resolver for names that are not the rack's; may be repeated.",
        ),
        click.option("--dynamic", metavar="FIRST-LAST", help="For machines without an address of their own."),
        click.option("--lease", type=click.IntRange(min=1), metavar="SECONDS", help="For which an address is given."),
        click.option("--static", metavar="FIRST-LAST", help="Out of which nodes are given addresses."),
        click.option("--reserved", multiple=True, metavar="FIRST[-LAST]", help="Never given to nodes."),
        click.option("--vlan", type=click.IntRange(1, 4094), help="The tag of its VLAN."),
        click.option("--shared/--alone", default=None, help="Whether several racks may have it."),
        click.option("--relayed/--direct", default=None, help="Whether it is reached through a DHCP relay."),
        click.option("--proxy/--own", default=None, help="Whether another server gives the addresses."),
    ):
        function = option(function)
    return function


@examples(
    "rackwright network add lan --cidr 10.77.0.0/24 --rack r1=10.77.0.1 --dynamic 10.77.0.200-10.77.0.250 "
    "--static 10.77.0.10-10.77.0.199",
    "rackwright network add six --cidr fd00:77::/64 --rack r1=fd00:77::1 --static fd00:77::100-fd00:77::ffff",
)
@network.command()
@click.argument("name")
@click.option("--cidr", required=True, metavar="RANGE", help="Like 10.77.0.0/24 or fd00:77::/64.")
@_described
@operator
def add(client: Client, *, name: str, cidr: str, **how: Any) -> None:
    """Make a network. Two racks have the same one only where it is said to be shared."""
    client.post("/networks", {"name": name, "cidr": cidr, "racks": {}, **_body(how)})
    say(f"network {name} added")


@examples("rackwright network set lan --vlan 12", "rackwright network set lan --static 10.77.0.10-10.77.0.150")
@network.command(name="set")
@click.argument("name")
@_described
@operator
def set_(client: Client, *, name: str, **how: Any) -> None:
    """Change a network; what is not said stays. Options that may be repeated replace what there was."""
    body = _body(how)
    if not body:
        raise click.UsageError("nothing to set: give an option")
    client.patch(f"/networks/{name}", body)
    say(f"network {name} changed")


@examples("rackwright network reserve lan 10.77.0.20", "rackwright network reserve lan 10.77.0.30-10.77.0.39")
@network.command()
@click.argument("name")
@click.argument("ranges", nargs=-1, required=True, metavar="FIRST[-LAST]...")
@click.option("--free", is_flag=True, help="They are reserved no longer.")
@operator
def reserve(client: Client, *, name: str, ranges: tuple[str, ...], free: bool) -> None:
    """Keep ranges of a network from being given to nodes; who has an address there keeps it."""
    there = [list(span) for span in client.get(f"/networks/{name}")["reserved"]]
    asked = [_span(text) for text in ranges]
    kept = [span for span in there if span not in asked]
    client.patch(f"/networks/{name}", {"reserved": kept if free else [*kept, *asked]})
    say(f"{', '.join(ranges)} {'reserved no longer' if free else 'reserved'}")


@network.command()
@output
@operator
def get(client: Client, *, output: Output) -> None:
    """List networks, and how full they are."""
    output.items(list(client.items("/networks")), NETWORK.columns, NETWORK.name)


@network.command()
@click.argument("name")
@output
@operator
def describe(client: Client, *, name: str, output: Output) -> None:
    """Show everything about a network."""
    found = client.get(f"/networks/{name}")
    output.item(found, lambda: fields((key, compact(value)) for key, value in found.items()), f"network/{name}")


@network.command()
@click.argument("names", nargs=-1, required=True)
@operator
def delete(client: Client, *, names: tuple[str, ...]) -> None:
    """Take networks away; refused while nodes have addresses in them."""
    each(names, lambda name: client.delete(f"/networks/{name}"), "deleted")


at_interface = click.option(
    "--nic", default="", metavar="NAME", help="At this interface; without it, the node's own address."
)


@examples("rackwright network give bmc --nic ipmi --rack r1", "rackwright network give lan n1 n2")
@network.command()
@click.argument("network_name", metavar="NETWORK")
@at_interface
@whom
@output
@operator
def give(client: Client, *, network_name: str, nic: str, names: tuple[str, ...], output: Output, **how: Any) -> None:
    """Give nodes an address each out of the static range, all at once. Who has one there already keeps it."""
    _say(client, f"/networks/{network_name}/give", nic, said(names, how), output)


@network.command()
@click.argument("network_name", metavar="NETWORK")
@at_interface
@whom
@output
@operator
def release(client: Client, *, network_name: str, nic: str, names: tuple[str, ...], output: Output, **how: Any) -> None:
    """Take from nodes the address that they have there."""
    _say(client, f"/networks/{network_name}/release", nic, said(names, how), output)


def _say(client: Client, path: str, nic: str, meant: dict[str, Any], output: Output) -> None:
    """Say it of the addresses that those who are meant have at this interface."""
    _tell(client.post(path, {"names": names_of(client, meant), "nic": nic})["items"], output)


def _tell(results: list[Item], output: Output) -> None:
    """Print what became of every node; some that failed make the exit code 6, all of them 4."""
    failed = sum(bool(result["error"]) for result in results)
    if not output.for_people:
        output.items(results, ())
    else:
        for result in results:
            say(
                f"error: {result['error']}"
                if result["error"]
                else f"{result['name']} {result['address'] or 'released'}"
            )
    if failed:
        raise click.exceptions.Exit(exits.PARTIAL if failed < len(results) else exits.CONFLICT)


def _body(how: dict[str, Any]) -> dict[str, Any]:
    """What the options of a network say, as the api takes it."""
    said = {key: value for key, value in how.items() if value not in (None, ())}
    read: dict[str, Callable[[Any], Any]] = {
        "racks": lambda racks: dict(map(_place, racks)),
        "dynamic": _span,
        "static": _span,
        "reserved": lambda spans: list(map(_span, spans)),
        "dns": list,
        "forwarders": list,
    }
    return {key: read[key](value) if key in read else value for key, value in said.items()}


def _place(text: str) -> tuple[str, dict[str, str]]:
    rack, where = split_pair(text, "--rack")
    address, _, interface = where.partition("@")
    return rack, {"address": address, "interface": interface}


def _span(text: str) -> list[str]:
    first, _, last = text.partition("-")
    return [first.strip(), last.strip() or first.strip()]
