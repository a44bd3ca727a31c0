"""``rackwright task``: the past of a task on one node, and the end of its wait; ``rackwright node timeline``: all of a
node's."""

from __future__ import annotations

import itertools

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import ATTEMPT
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Item, Output, moment, paint, say
from rackwright.core.errors import NotFound

_ENTRIES = (
    Column("TIME", lambda entry: moment(entry["at"])),
    Column("DEPLOYMENT", lambda entry: entry["deployment"] or "-"),
    Column("WHAT", lambda entry: str(entry["task"] if entry["entry"] == "attempt" else entry["kind"])),
    Column("HOW", lambda entry: paint(entry["outcome"]) if entry["entry"] == "attempt" else str(entry["text"])),
    Column("BY", lambda entry: str((entry["rack"] if entry["entry"] == "attempt" else entry["by"]) or "-")),
    Column("REASON", lambda entry: str(entry.get("reason", ""))),
)


@click.group()
def task() -> None:
    """Look at the past of a task on one node; let a parked one go on."""


@examples(
    "rackwright task attempts n1 install",
    "rackwright task attempts n1 install -d web -o json",
)
@task.command()
@click.argument("scope", metavar="NODE")
@click.argument("name", metavar="TASK")
@click.option("-d", "--deployment", help="In this deployment only.")
@click.option("--tail", default=100, show_default=True, type=click.IntRange(1), help="How many, at most.")
@output
@operator
def attempts(client: Client, *, scope: str, name: str, deployment: str | None, tail: int, output: Output) -> None:
    """Show every attempt of a TASK on a NODE (or a rack or deployment), the newest first."""
    found = client.items(f"/attempts/{scope}", task=name, deployment=deployment, limit=min(tail, 1000))
    output.items(list(itertools.islice(found, tail)), ATTEMPT.columns, ATTEMPT.name, ATTEMPT.key)


@examples(
    "rackwright task continue n1 rack-it -d web",
    "rackwright task continue n1 rack-it -d web --failed 'the rail is bent'",
)
@task.command(name="continue")
@click.argument("scope", metavar="NODE")
@click.argument("name", metavar="TASK")
@click.option("-d", "--deployment", required=True, help="The deployment that it is part of.")
@click.option("--failed", metavar="REASON", help="What it waited for did not come: it failed for this reason.")
@operator
def go_on(client: Client, *, scope: str, name: str, deployment: str, failed: str | None) -> None:
    """Let a parked TASK on a NODE (or a rack or deployment) go on: what it waited for has come."""
    found = list(client.items(f"/deployments/{deployment}/tasks", state="transition", scope=scope, task=name))
    if not found:
        raise NotFound(f"{name} does not run on {scope}", mend="only what is parked can be told to go on")
    for item in found:
        said = {"attempt": item["attempt"], "failed": failed}
        outcome = client.post(f"/node-tasks/{item['id']}/continue", said)["outcome"]
        say(f"{name} on {scope}: {outcome}")


@examples(
    "rackwright node timeline n1",
)
@click.command()
@click.argument("name")
@click.option("--tail", default=50, show_default=True, type=click.IntRange(1), help="How many of the newest.")
@output
@operator
def timeline(client: Client, *, name: str, tail: int, output: Output) -> None:
    """Show what ran on a node and what was changed of it, the oldest first."""
    limit = min(tail, 1000)
    ran = _named(itertools.islice(client.items(f"/attempts/{name}", limit=limit), tail), "attempt")
    changed = _named(itertools.islice(client.items(f"/nodes/{name}/changes", limit=limit), tail), "change")
    entries = sorted([*ran, *changed], key=lambda entry: (entry["at"], entry["id"]))
    output.items(entries[-tail:], _ENTRIES, "entry", "id")


def _named(items: itertools.islice[Item], entry: str) -> list[Item]:
    return [{"entry": entry, **item} for item in items]
