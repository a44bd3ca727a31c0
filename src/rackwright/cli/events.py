"""``rackwright events``: what happened, and what happens."""

from __future__ import annotations

import json
import time

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Item, Output, moment, paint
from rackwright.cli.patience import patiently

_PAUSE = 1.0

COLUMNS = (
    Column("ID", lambda event: str(event["id"]), wide=True),
    Column("TIME", lambda event: moment(event["at"])),
    Column("KIND", lambda event: str(event["kind"])),
    Column("DEPLOYMENT", lambda event: event.get("deployment") or "-"),
    Column("ON", lambda event: event.get("scope") or "-"),
    Column("TASK", lambda event: event.get("task") or "-"),
    Column("TEXT", lambda event: str(event.get("text", ""))),
)


@examples(
    "rackwright events -d web -f",
)
@click.command()
@click.option("-d", "--deployment", help="Of this deployment only.")
@click.option("-f", "--follow", is_flag=True, help="Go on as events come, until Ctrl-C.")
@click.option("--tail", default=50, show_default=True, type=click.IntRange(1, 5000), help="How many of the newest.")
@output
@operator
def events(client: Client, *, deployment: str | None, follow: bool, tail: int, output: Output) -> None:
    """Show what happened."""
    page = client.get("/events", after=-1, limit=tail, deployment=deployment)
    if not follow:
        output.items(page["items"], COLUMNS, "event", "id")
        return
    last = page["last"]
    for event in page["items"]:
        _line(event, output)

    def more() -> None:
        nonlocal last
        for event in client.events(last, deployment):
            last = event["id"]
            _line(event, output)

    while True:
        patiently(more)
        time.sleep(_PAUSE)


def _line(event: Item, output: Output) -> None:
    if not output.for_people:
        click.echo(json.dumps(event, ensure_ascii=False))
        return
    place = " ".join(part for part in (event.get("deployment"), event.get("scope"), event.get("task")) if part)
    click.echo(f"{moment(event['at'])}  {paint(event['kind'])}  {place}  {event.get('text', '')}".rstrip())
