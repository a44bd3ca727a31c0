"""Following a deployment until it rests: progress on stderr, failures as they happen, a recap at the end."""

from __future__ import annotations

import functools
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

import click
import rich.console
import rich.progress

from rackwright.cli import exits
from rackwright.cli.client import Client
from rackwright.cli.kinds import counts
from rackwright.cli.output import Item, say, table
from rackwright.cli.patience import patiently

_SETTLE = {"active": 1, "empty": 1, "blocked": 15}
"""A deployment rests when it is found in a state so many times in a row (else 3): gates open a moment after what they
wait for, and somewhat later when a conductor has to be started again."""
_PAUSE = 1.0
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
Follows = Callable[[Client, str], bool]
F = TypeVar("F", bound=Callable[..., Any])


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
        with _progress() as progress:
            deployment = _until_rest(client, name, until, progress)
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


def waiting(function: F) -> F:
    """The command may wait for a deployment: it gets ``follows``, a function of client and name that does so if it was
    asked for, and tells whether it was."""

    @click.option("--wait", is_flag=True, help="Wait until the deployment rests, and tell how every node ended.")
    @click.option("--timeout", type=Seconds(), help="With --wait: give up (exit 124) after that, like 30m.")
    @functools.wraps(function)
    def run(*args: Any, wait: bool, timeout: float | None, **options: Any) -> Any:
        def follows(client: Client, name: str) -> bool:
            if wait:
                follow(client, name, timeout)
            return wait

        return function(*args, follows=follows, **options)

    return cast(F, run)


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


def _until_rest(client: Client, name: str, until: float | None, progress: _Progress) -> Item | None:
    found = 0
    told: set[str] = set()
    while True:
        deployment: Item = patiently(lambda: client.get(f"/deployments/{name}"))
        for reason in deployment["reasons"]:
            if " is error: " in reason and reason not in told:
                told.add(reason)
                progress.tell(reason)
        progress.show(deployment)
        found = found + 1 if at_rest(deployment) else 0
        if found >= _SETTLE.get(deployment["state"], 3):
            return deployment
        if until is not None and time.monotonic() >= until:
            return None
        time.sleep(_PAUSE)


class _Progress(Protocol):
    def show(self, deployment: Item) -> None:
        """How far it is."""

    def tell(self, text: str) -> None:
        """Something that has happened."""


class _Lines:
    """Progress where stderr is no terminal: a line whenever something differs."""

    def __init__(self) -> None:
        self._told = ""

    def show(self, deployment: Item) -> None:
        line = f"{deployment['name']}: {deployment['state']}: {counts(deployment)}"
        if line != self._told:
            say(line)
            self._told = line

    def tell(self, text: str) -> None:
        say(text)


class _Bar:
    """Progress on a terminal: a bar that goes away at the end."""

    def __init__(self, progress: rich.progress.Progress) -> None:
        self._progress = progress
        self._bar = progress.add_task("", total=None)

    def show(self, deployment: Item) -> None:
        tasks = deployment["tasks"]
        words = f"{deployment['name']} {deployment['state']}, {tasks.get('transition', 0)} running"
        if tasks.get("error"):
            words += f", {tasks['error']} failed"
        done, total = tasks.get("active", 0), sum(tasks.values())
        self._progress.update(self._bar, description=words, completed=done, total=total)

    def tell(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


@contextmanager
def _progress() -> Iterator[_Progress]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
    )
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)
