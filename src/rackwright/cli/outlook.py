"""What a verb for many machines would come to, before it is said."""

from __future__ import annotations

from typing import Any

import click

from rackwright.cli.client import Client
from rackwright.cli.output import Item, Output, say
from rackwright.cli.plan_text import show_forecast


def show_outlook(client: Client, request: dict[str, Any], output: Output) -> None:
    """Print what a request to say a verb would come to. Nothing is done."""
    found: Item = client.post("/nodes:forecast", request)
    output.item(found, lambda: _people(found), f"forecast/{found['verb']}")


def _people(found: Item) -> None:
    machines = sum(found["waves"])
    sizes = (
        f" in {len(found['waves'])} waves ({', '.join(map(str, found['waves']))})" if len(found["waves"]) > 1 else ""
    )
    click.echo(f"{found['verb']}: {machines} machines{sizes}")
    for place, count in found["places"].items():
        click.echo(f"  {place}: {count} machines")
    if machines and found["forecast"]:
        show_forecast(found["forecast"])
    for error in found["errors"].values():
        say(f"error: {error}")
