"""``rackwright wait``: until things are in a state."""

from __future__ import annotations

import time

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.following import Seconds, follow
from rackwright.cli.kinds import DEPLOYMENT, NODE, Kind, KindName, named
from rackwright.cli.options import operator
from rackwright.cli.output import say

_PAUSE = 1.0


@examples(
    "rackwright wait deployment web --timeout 30m",
    "rackwright wait node n1 n2 --for active",
)
@click.command()
@click.argument("kind", type=KindName((NODE, DEPLOYMENT)))
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--for", "state", metavar="STATE", help="The state. Without it a deployment is waited for until it rests."
)
@click.option("--timeout", type=Seconds(), help="Give up (exit 124) after that, like 30m.")
@operator
def wait(client: Client, *, kind: Kind, names: tuple[str, ...], state: str | None, timeout: float | None) -> None:
    """Wait until all of these are in a state."""
    state = (state or "").removeprefix("state=")
    if kind is DEPLOYMENT and len(names) == 1 and state in ("", "active"):
        follow(client, names[0], timeout)
        return
    if not state:
        raise click.UsageError("say what for: --for STATE")
    _until(client, kind, names, state, timeout)


def _until(client: Client, kind: Kind, names: tuple[str, ...], state: str, timeout: float | None) -> None:
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        others = [item for item in named(client, kind, names) if item["state"] != state]
        if not others:
            say(f"{', '.join(names)}: {state}")
            return
        if until is not None and time.monotonic() >= until:
            words = ", ".join(f"{item['name']} is {item['state']}" for item in others)
            say(f"error: not all are {state} after {timeout:g} seconds: {words}")
            raise click.exceptions.Exit(exits.TIMEOUT)
        time.sleep(_PAUSE)
