"""``rackwright rack``: make a rack known; run the process beside its machines."""

from __future__ import annotations

import os

import click

from rackwright.cli.client import Client
from rackwright.cli.deployment_roll import Amount
from rackwright.cli.examples import examples
from rackwright.cli.lazy import Lazy, LazyGroup
from rackwright.cli.many import each
from rackwright.cli.node import facts_of
from rackwright.cli.options import operator
from rackwright.cli.output import say
from rackwright.core.errors import InvalidInput


@click.group(cls=LazyGroup, lazy={"run": Lazy("rackwright.commands.rack:rack", "Carry out a rack's node tasks.")})
def rack() -> None:
    """Add a rack; run the process beside its machines."""


@examples(
    "rackwright rack limit r1 20",
    "rackwright rack limit @site 500",
)
@rack.command()
@click.argument("name")
@click.argument("amount", type=Amount())
@operator
def limit(client: Client, *, name: str, amount: int | None) -> None:
    """Let at most AMOUNT node tasks run at the same time in a rack, or in all of them together (`@site`). `none` lifts
    the limit."""
    client.put("/limits", {"rack": None if name == "@site" else name, "amount": amount})
    say(f"{name}: {'no limit' if amount is None else f'at most {amount} at the same time'}")


@examples(
    "rackwright rack set r1 r2 --fact desired.rack.feed=A --fact desired.rack.uplink=sw1",
    """rackwright rack set r1 --fact 'desired.rack.bandwidth={"region": 50000000}'""",
)
@rack.command(name="set")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--fact", "facts", multiple=True, required=True, metavar="PATH=VALUE", help="A fact desired.rack.*; JSON or text."
)
@operator
def set_(client: Client, *, names: tuple[str, ...], facts: tuple[str, ...]) -> None:
    """Change what is wished of racks; null deletes a fact. Their processes follow at once."""
    body = {"facts": facts_of(facts)}
    each(names, lambda name: client.patch(f"/racks/{name}", body), "set")


@examples(
    "rackwright rack add r1 --save r1.token",
    "rackwright rack run --name r1 --token-file r1.token --api http://127.0.0.1:8420 --data r1",
)
@rack.command()
@click.argument("name")
@click.option("--save", "into", metavar="FILE", help="Write the rack's token there (0600) instead of stdout.")
@operator
def add(client: Client, *, name: str, into: str | None) -> None:
    """Make a rack known and give its token. It is shown this once: the api keeps only its SHA-256."""
    file = None if into is None else _open(into)
    try:
        token = client.post("/racks", {"name": name})["token"]
    except BaseException:
        if into is not None:
            os.unlink(into)
        raise
    if file is None:
        click.echo(token)
        say(f"rack {name} added; keep the token: it is not shown again")
        return
    with open(file, "w", encoding="ascii") as opened:
        opened.write(f"{token}\n")
    say(f"rack {name} added; its token is in {into}")


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(
            f"the token cannot be written: {error.strerror}", where=path, mend="name a file that is not there yet"
        ) from None
