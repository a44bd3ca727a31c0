"""``rackwright load``: prove what a service bears."""

from __future__ import annotations

import click

from rackwright.cli.lazy import Lazy, LazyGroup

COMMANDS: dict[str, Lazy] = {
    "run": Lazy("rackwright.commands.load_run:run", "Run a task file and judge it."),
    "status": Lazy("rackwright.commands.load_runs:status", "Show how a run stands, also while it goes on."),
    "results": Lazy("rackwright.commands.load_runs:results", "List all runs, or show one."),
    "abort": Lazy("rackwright.commands.load_runs:abort", "End a run."),
    "validate": Lazy("rackwright.commands.load_validate:validate", "Check a task file and all that it names."),
    "sla-check": Lazy("rackwright.commands.load_validate:sla_check", "Show what became of every promise of a run."),
    "keys": Lazy("rackwright.commands.load_agent:keys", "Make keys for a controller and its agents."),
    "report": Lazy("rackwright.commands.load_report:report", "Make one HTML page of runs."),
    "export": Lazy("rackwright.commands.load_report:export", "Write a run in the format of another program."),
    "trends": Lazy("rackwright.commands.load_report:trends_command", "Show how the same workloads did in many runs."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def load() -> None:
    """Prove what a service bears: load by Rally's task files, judged by what they promise."""
