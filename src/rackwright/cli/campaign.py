"""``rackwright campaign``: verbs that go over many machines, and how far they are."""

from __future__ import annotations

import functools

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Item, Output, ago, fields, say

_COLUMNS = (
    Column("ID", lambda item: str(item["id"])),
    Column("VERB", lambda item: item["verb"]),
    Column("WAITING", lambda item: str(item["waiting"])),
    Column("UNDER WAY", lambda item: str(item["under_way"])),
    Column("FAILED", lambda item: str(item["failed"])),
    Column("AGE", lambda item: ago(item["began_at"])),
    Column("IT IS AT", lambda item: item["told"]),
    Column("BY", lambda item: item["asked_by"], wide=True),
)


@click.group()
def campaign() -> None:
    """See and steer verbs that go over many machines as waves and budgets let them.

    They begin with a verb: rackwright node deploy -l role=web --waves 1,10%,100% --max-per feed=20
    """


@examples("rackwright campaign list")
@campaign.command("list")
@output
@operator
def every(client: Client, *, output: Output) -> None:
    """List the campaigns that are not over."""
    output.items(client.get("/campaigns")["items"], _COLUMNS, "campaign")


@examples("rackwright campaign show 7 -o json")
@campaign.command()
@click.argument("id", type=int)
@output
@operator
def show(client: Client, *, id: int, output: Output) -> None:
    """Show everything about one."""
    item: Item = client.get(f"/campaigns/{id}")
    output.item(item, functools.partial(_people, item), f"campaign/{id}")


@examples("rackwright campaign promote 7")
@campaign.command()
@click.argument("id", type=int)
@operator
def promote(client: Client, *, id: int) -> None:
    """Let the next wave begin as soon as this one rests and is well."""
    say(f"campaign {id}: {client.post(f'/campaigns/{id}/promote', {})['told']}")


@examples("rackwright campaign forgive 7")
@campaign.command()
@click.argument("id", type=int)
@operator
def forgive(client: Client, *, id: int) -> None:
    """Let a halted wave go on as it is."""
    say(f"campaign {id}: {client.post(f'/campaigns/{id}/forgive', {})['told']}")


@examples("rackwright campaign cancel 7")
@campaign.command()
@click.argument("id", type=int)
@operator
def cancel(client: Client, *, id: int) -> None:
    """Say its verb to no more machines; what is under way goes on."""
    count = client.post(f"/campaigns/{id}/cancel", {})["count"]
    say(f"campaign {id} is cancelled; machines that waited: {count}")


def _people(item: Item) -> None:
    waves, budgets = ", ".join(map(str, item["waves"])), ", ".join(f"{k}={v}" for k, v in item["max_per"].items())
    fields([
        ("verb", item["verb"]),
        ("it is at", item["told"]),
        ("waiting", str(item["waiting"])),
        ("under way", str(item["under_way"])),
        ("failed", str(item["failed"])),
        ("machines per wave", waves),
        ("at most", budgets or "-"),
        ("began", f"{ago(item['began_at'])} ago, by {item['asked_by'] or '-'}"),
    ])  # fmt: skip
