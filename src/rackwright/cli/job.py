"""``rackwright job``: coarse work of the control plane, now or later."""

from __future__ import annotations

import time

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.many import each
from rackwright.cli.node import json_or_text, split_pair
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Item, Output, ago, compact, moment, say


def _start(item: Item) -> str:
    return "-" if item["not_before"] is None else moment(item["not_before"])


_STATES = ("todo", "doing", "failed", "cancelled", "aborted")
_JOBS = (
    Column("ID", lambda item: str(item["id"])),
    Column("KIND", lambda item: item["kind"]),
    Column("STATE", lambda item: item["state"]),
    Column("ATTEMPTS", lambda item: str(item["attempts"])),
    Column("START", _start),
    Column("SINCE", lambda item: ago(item["changed_at"])),
    Column("LOCK", lambda item: item["lock"] or "-", wide=True),
    Column("ARGUMENTS", lambda item: compact(item["arguments"])),
)


@click.group()
def job() -> None:
    """Ask for work now or later; look at it, retry it, cancel it."""


@examples(
    "rackwright job add deployment.retry deployment=web tasks='[\"reboot\"]' nodes='[\"n1\"]' --after 600",
    'rackwright job add facts.put node=n1 facts=\'{"desired.power": "off"}\' --after 3600',
)
@job.command()
@click.argument("kind")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--after", "seconds", type=click.FloatRange(min=0), help="Start in so many seconds.")
@click.option("--once", is_flag=True, help="Only if no equal one waits already.")
@operator
def add(client: Client, *, kind: str, arguments: tuple[str, ...], seconds: float | None, once: bool) -> None:
    """Ask for a job of a KIND: facts.put, deployment.retry, deployment.commit, deployment.stop, deployment.resume.
    Values are JSON or text."""
    pairs = (split_pair(argument, "a job") for argument in arguments)
    said = {name: json_or_text(value) for name, value in pairs}
    start = None if seconds is None else time.time() + seconds
    id = client.post("/jobs", {"kind": kind, "arguments": said, "not_before": start, "once": once})["id"]
    say("an equal job waits already" if id is None else f"job {id} added")


@job.command(name="list")
@click.option("--state", type=click.Choice(_STATES), help="Only what is in this state.")
@output
@operator
def list_(client: Client, *, state: str | None, output: Output) -> None:
    """List jobs. Those that succeeded are no longer there."""
    output.items(list(client.items("/jobs", state=state)), _JOBS, "job", "id")


@job.command()
@click.argument("ids", nargs=-1, required=True, type=int)
@operator
def retry(client: Client, *, ids: tuple[int, ...]) -> None:
    """Let jobs that failed run again."""
    each(map(str, ids), lambda id: client.post(f"/jobs/{id}/retry", {}), "will run again")


@job.command()
@click.argument("ids", nargs=-1, required=True, type=int)
@operator
def cancel(client: Client, *, ids: tuple[int, ...]) -> None:
    """Let jobs that wait never run."""
    each(map(str, ids), lambda id: client.post(f"/jobs/{id}/cancel", {}), "cancelled")
