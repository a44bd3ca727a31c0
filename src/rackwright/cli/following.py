"""Following a deployment until it rests: progress on stderr, failures as they happen, a recap at the end."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.kinds import counts
from rackwright.cli.output import Item, say, table
from rackwright.core.errors import StoreUnavailable

_SETTLE = {"active": 1, "empty": 1, "blocked": 15}
"""A deployment rests when it is found in a state so many times in a row (else 3): gates open a moment after what they
wait for, and somewhat later when a conductor has to be started again."""
_PAUSE = 1.0
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
Say = Callable[[Item], None]


class Seconds(click.ParamType[float]):
    """A length of time: ``90``, ``90s``, ``30m``, ``2h``, ``1d``."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The time in seconds."""
        fit = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if fit is None:
            self.fail(f"{value!r} is no length of time; write 90s, 30m or 2h", param, ctx)
        return float(fit[1]) * _SECONDS[fit[2]]


def follow(client: Client, name: str, timeout: float | None) -> None:
    """Watch a deployment until it rests. Ends the command with PARTIAL when not all of it is active, with TIMEOUT when
    that takes over ``timeout`` seconds; Ctrl-C detaches and lets the work go on."""
    until = None if timeout is None else time.monotonic() + timeout
    try:
        with _progress() as show:
            deployment = _until_rest(client, name, until, show)
    except KeyboardInterrupt:
        say(f"detached; {name} goes on. Watch it again: rackwright wait deployment {name}")
        say(f"stop it: rackwright deployment stop {name}")
        raise click.exceptions.Exit(exits.INTERRUPTED) from None
    if deployment is None:
        say(f"error: {name} is not done after {timeout:g} seconds; it goes on")
        say(f"mend:  rackwright deployment status {name}")
        raise click.exceptions.Exit(exits.TIMEOUT)
    recap(client, deployment)
    if deployment["state"] not in ("active", "empty"):
        raise click.exceptions.Exit(exits.PARTIAL)


def at_rest(deployment: Item) -> bool:
    """True when nothing of it runs or is about to."""
    return deployment["state"] != "annealing" and not deployment["tasks"].get("transition")


def recap(client: Client, deployment: Item) -> None:
    """Say on stderr how every node ended; of those that are well only the number."""
    per_node: dict[str, Counter[str]] = defaultdict(Counter)
    for task in client.items(f"/deployments/{deployment['name']}/tasks"):
        per_node[task["scope"]][task["state"]] += 1
    bad = {node: states for node, states in per_node.items() if set(states) != {"active"}}
    well = len(per_node) - len(bad)
    say(f"\n{deployment['name']}: {deployment['state']}; {well} of {len(per_node)} ok")
    if bad:
        rows = [
            [node, _word(states), ", ".join(f"{number} {state}" for state, number in sorted(states.items()))]
            for node, states in sorted(bad.items())[:50]
        ]
        table(rows, ("ON", "ENDED", "TASKS"), err=True)
    for reason in deployment["reasons"]:
        say(f"  {reason}")
    if deployment["state"] == "proposed":
        say(f"mend:  rackwright deployment commit {deployment['name']}")


def _word(states: Counter[str]) -> str:
    return "failed" if states["error"] else "blocked"


def _until_rest(client: Client, name: str, until: float | None, show: Say) -> Item | None:
    found, failures = 0, 0
    while True:
        try:
            deployment: Item = client.get(f"/deployments/{name}")
        except StoreUnavailable:
            # The api may be on its way back: a restart is no reason to stop watching.
            failures += 1
            if failures > 30:
                raise
        else:
            failures = 0
            show(deployment)
            found = found + 1 if at_rest(deployment) else 0
            if found >= _SETTLE.get(deployment["state"], 3):
                return deployment
        if until is not None and time.monotonic() >= until:
            return None
        time.sleep(_PAUSE)


@contextmanager
def _progress() -> Iterator[Say]:
    if sys.stderr.isatty():
        with _bar() as show:
            yield show
        return
    told = ""

    def show_line(deployment: Item) -> None:
        nonlocal told
        line = f"{deployment['name']}: {deployment['state']}: {counts(deployment)}"
        if line != told:
            say(line)
            told = line

    yield show_line


@contextmanager
def _bar() -> Iterator[Say]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)

        def show(deployment: Item) -> None:
            tasks = deployment["tasks"]
            words = f"{deployment['name']} {deployment['state']}, {tasks.get('transition', 0)} running"
            if tasks.get("error"):
                words += f", {tasks['error']} failed"
            progress.update(bar, description=words, completed=tasks.get("active", 0), total=sum(tasks.values()))

        yield show
