"""``rackwright budget``: how many machines may work at the same time on a rack, a power feed, behind an uplink, ..."""

from __future__ import annotations

import click

from rackwright.cli.client import Client
from rackwright.cli.deployment_roll import Amount
from rackwright.cli.examples import examples
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Output, say

_COLUMNS = (
    Column("KIND", lambda item: item["kind"]),
    Column("PLACE", lambda item: item["place"] or "each"),
    Column("AT ONCE", lambda item: str(item["amount"])),
)


@click.group()
def budget() -> None:
    """Say with how many machines something may be done at the same time, by their places.

    Places are facts: desired.rack.{feed,uplink,zone,image_source} of racks, desired.{feed,uplink,zone} of nodes.
    """


@examples("rackwright budget list")
@budget.command("list")
@output
@operator
def every(client: Client, *, output: Output) -> None:
    """List the budgets that hold for all verbs."""
    output.items(client.get("/budgets")["items"], _COLUMNS, "budget")


@examples(
    "rackwright budget set feed 20            at most 20 machines on each feed",
    "rackwright budget set feed=A 5           on this one 5",
    "rackwright budget set feed none",
)
@budget.command("set")
@click.argument("place", metavar="KIND[=PLACE]")
@click.argument("amount", type=Amount())
@operator
def set_(client: Client, *, place: str, amount: int | None) -> None:
    """Let at most AMOUNT machines at once begin something on a rack, feed, uplink, zone or image_source."""
    kind, _, name = place.partition("=")
    client.put("/budgets", {"kind": kind, "place": name, "amount": amount})
    say(f"{place}: {'no budget' if amount is None else f'at most {amount} machines at the same time'}")
