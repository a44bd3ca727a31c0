"""``rackwright load``: prove what a service bears."""

from __future__ import annotations

import click

from rackwright.cli.lazy import Lazy, LazyGroup

COMMANDS: dict[str, Lazy] = {
    "report": Lazy("rackwright.commands.load_report:report", "Make one HTML page of runs."),
    "export": Lazy("rackwright.commands.load_report:export", "Write a run in the format of another program."),
    "trends": Lazy("rackwright.commands.load_report:trends_command", "Show how the same workloads did in many runs."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def load() -> None:
    """Prove what a service bears: load by Rally's task files, judged by what they promise."""
