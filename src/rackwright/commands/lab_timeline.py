"""The way of each machine of a lab, from power-on, as its console, its rack and its node tasks tell it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rackwright.cli.client import Client
from rackwright.commands.lab_site import Ground
from rackwright.core.errors import RackwrightError

RACK_SAYS = {
    "boot": "script asked for",
    "machine enlisted": "enlisted",
    "agent registered": "registered",
    "installed system phoned home": "phone home",
}
"""Events of the rack's log, and what they mean."""
ACTIVE = "active"
METAL = "metal"
"""The deployment whose node tasks are the activities of machines."""


@dataclass(frozen=True, order=True)
class Moment:
    """Something that happened to a machine; ``at`` in seconds since the epoch."""

    at: float
    machine: str
    what: str


def moments(ground: Ground, client: Client) -> list[Moment]:
    """All that has happened to the machines of a lab until now, in order."""
    return sorted([*_happenings(ground), *_rack(ground), *_tasks(client)])


def of_machine(told: Iterable[Moment], machine: str) -> list[Moment]:
    """What happened to one machine from the last moment on at which it was given power while nobody knew it, that is
    the first one of the journey that is told."""
    own = [moment for moment in told if moment.machine == machine]
    first = next((number for number, moment in enumerate(own) if moment.what == "on"), 0)
    return own[first:]


def until(told: Iterable[Moment], what: str) -> float | None:
    """Seconds from the first of these moments to the first one of that name; None when there is none."""
    told = list(told)
    return next((moment.at - told[0].at for moment in told if moment.what == what), None)


def show(told: Iterable[Moment], machines: Iterable[str]) -> None:
    """Print the timeline of each machine."""
    from rich.console import Console
    from rich.table import Table

    told = list(told)
    for machine in machines:
        table = Table(title=f"{machine}: seconds since power-on", title_justify="left")
        table.add_column("At", justify="right")
        table.add_column("After", justify="right")
        table.add_column("What")
        own = of_machine(told, machine)
        for before, moment in zip([*own[:1], *own], own, strict=False):
            table.add_row(f"{moment.at - own[0].at:.1f}", f"{moment.at - before.at:.1f}", moment.what)
        Console().print(table)


def _happenings(ground: Ground) -> Iterator[Moment]:
    for line in _lines(ground.happenings):
        what = f"firmware starts, tries {line['device']}" if line["what"] == "start" else line["what"]
        yield Moment(line["at"], line["machine"], what)


def _rack(ground: Ground) -> Iterator[Moment]:
    for line in _lines(ground.log):
        said = RACK_SAYS.get(line.get("event", ""))
        if said is None or line.get("service") != "rack" or "node" not in line:
            continue
        more = line.get("kind") or line.get("system") or ""
        at = datetime.fromisoformat(line["ts"]).timestamp()
        yield Moment(at, line["node"], f"{said}: {more}" if more else said)


def _tasks(client: Client) -> Iterator[Moment]:
    """The node tasks that ended well."""
    with suppress(RackwrightError):
        for run in client.items(f"/deployments/{METAL}/history"):
            if run["outcome"] == ACTIVE:
                yield Moment(run["ended_at"], run["scope"], f"task {run['task']}")


def _lines(file: Any) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file of lines; lines that are none are passed over."""
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict):
                yield said
