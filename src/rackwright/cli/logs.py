"""``rackwright logs``: what a task said."""

from __future__ import annotations

import base64
import codecs
import functools
import time

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator
from rackwright.cli.patience import patiently

_PAUSE = 0.5
"""Seconds between looks at a log that still grows."""


@examples(
    "rackwright logs -d web n1 install -f",
)
@click.command()
@click.argument("scope", metavar="NODE")
@click.argument("task")
@click.option("-d", "--deployment", required=True, help="The deployment.")
@click.option("--attempt", type=click.IntRange(min=1), help="Which attempt; the newest if not given.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt has ended.")
@operator
def logs(client: Client, *, scope: str, task: str, deployment: str, attempt: int | None, follow: bool) -> None:
    """Show all that a TASK said on a NODE (or on a rack or deployment, by its name)."""
    which = {"deployment": deployment, "node": scope, "task": task}
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    offset, last = 0, "\n"
    while True:
        ask = functools.partial(client.get, "/logs", **which, attempt=attempt, offset=offset)
        piece = patiently(ask) if follow else ask()
        text = decode(base64.b64decode(piece["data"]))
        click.echo(text, nl=False)
        last = text[-1:] or last
        moved = piece["next_offset"] > offset
        attempt, offset = piece["attempt"] or None, piece["next_offset"]
        if not moved and (piece["complete"] or not follow):
            break
        if not moved:
            time.sleep(_PAUSE)
    if last != "\n":
        click.echo()
