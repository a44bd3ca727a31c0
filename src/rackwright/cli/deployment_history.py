"""How a deployment went: who changed what, what ran when, and what decided how long it took."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.following import Seconds
from rackwright.cli.gantt import Bar, seconds, show
from rackwright.cli.kinds import CHANGE, RUN
from rackwright.cli.options import operator, output
from rackwright.cli.output import Column, Item, Output, moment

EACH = 40
"""Up to so many attempts are drawn one by one; of more, one line for each task."""

_AFTER = {
    "begin": "nothing: it was the first",
    "edge": "the one above, which it follows",
    "barrier": "the one above, the last of all that it waits for",
    "scope": "the one above, for the place was busy",
}
_STEPS = (
    Column("TASK", lambda step: str(step["task"])),
    Column("ON", lambda step: str(step["scope"])),
    Column("STARTED", lambda step: moment(step["started_at"])),
    Column("WAITED", lambda step: seconds(step["waited"])),
    Column("RAN", lambda step: seconds(step["ran"])),
    Column("AFTER", lambda step: _AFTER[step["why"]]),
)


@examples(
    "rackwright deployment history web",
    "rackwright deployment history web --attempts --node n1",
)
@click.command()
@click.argument("name")
@click.option("--attempts", is_flag=True, help="Every attempt of the past instead, the oldest first.")
@click.option("--node", help="Attempts on this node (or rack or deployment) only.")
@click.option("--task", help="Attempts of this task only.")
@click.option("--tail", default=100, show_default=True, type=click.IntRange(1), help="How many changes, at most.")
@output
@operator
def history(
    client: Client, *, name: str, attempts: bool, node: str | None, task: str | None, tail: int, output: Output
) -> None:
    """Show who changed what, the newest first: plans, members, facts, stops, retries."""
    if attempts or node or task:
        runs = list(client.items(f"/deployments/{name}/history", scope=node, task=task))
        output.items(runs, RUN.columns, RUN.name, RUN.key)
        return
    client.get(f"/deployments/{name}")
    changes = client.items(f"/deployments/{name}/changes", limit=min(tail, 1000))
    output.items(list(itertools.islice(changes, tail)), CHANGE.columns, CHANGE.name, CHANGE.key)


@examples(
    "rackwright deployment timeline web",
    "rackwright deployment timeline web --since 2h -o json",
)
@click.command()
@click.argument("name")
@click.option("--since", type=Seconds(), help="From so long ago on, like 2h; without it the last run.")
@output
@operator
def timeline(client: Client, *, name: str, since: float | None, output: Output) -> None:
    """Draw what ran when: each attempt where they are few, else each task with its counts."""
    began = None if since is None else max(time.time() - since, 0.0)
    found = client.get(f"/deployments/{name}/timeline", since=began)
    output.item(found, functools.partial(_draw, client, name, found), f"deployment/{name}")


@examples(
    "rackwright deployment critical-path web",
)
@click.command(name="critical-path")
@click.argument("name")
@click.option("--since", type=Seconds(), help="Look at what ran from so long ago on; without it at the last run.")
@output
@operator
def critical_path(client: Client, *, name: str, since: float | None, output: Output) -> None:
    """Show the chain of node tasks that decided how long the last run took, waiting and running apart."""
    began = None if since is None else max(time.time() - since, 0.0)
    found = client.get(f"/deployments/{name}/critical-path", since=began)
    output.item(found, functools.partial(_chain, found, output), f"deployment/{name}")


def _draw(client: Client, name: str, found: Item) -> None:
    lanes: list[Item] = found["lanes"]
    if not lanes:
        click.echo(f"nothing ran since {moment(found['since'])}", err=True)
        return
    bars = [Bar(lane["task"], lane["started_at"], lane["ended_at"], _note(lane)) for lane in lanes]
    ended = sum(sum(lane["outcomes"].values()) for lane in lanes)
    if ended <= EACH and not any(lane["running"] for lane in lanes):
        runs = client.items(f"/deployments/{name}/history", since=found["since"])
        bars = [_bar(run) for run in runs if run["started_at"] <= found["until"]]
        bars.sort(key=lambda bar: bar.start)
    show(bars, time.time())


def _bar(run: Item) -> Bar:
    note = f"{run['outcome']}, {seconds(run['ended_at'] - run['started_at'])}"
    return Bar(f"{run['task']} on {run['scope']}", run["started_at"], run["ended_at"], note)


def _note(lane: Item) -> str:
    counts = {**lane["outcomes"], **({"running": lane["running"]} if lane["running"] else {})}
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _chain(found: dict[str, Any], output: Output) -> None:
    if not found["steps"]:
        click.echo(f"nothing ran to a good end since {moment(found['since'])}", err=True)
        return
    output.items(found["steps"], _STEPS)
    whole = found["waited"] + found["ran"]
    click.echo(
        f"{seconds(whole)} in all for {found['attempts']} node tasks: "
        f"{seconds(found['ran'])} running, {seconds(found['waited'])} waiting"
    )
