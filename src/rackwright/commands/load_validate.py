"""``rackwright load validate`` and ``sla-check``: what can be told without load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from rackwright.cli import exits
from rackwright.cli.examples import examples
from rackwright.cli.options import output
from rackwright.cli.output import Column, Output
from rackwright.commands.load_runs import runs_folder
from rackwright.commands.load_task import task_file
from rackwright.core.load.result import RunResult
from rackwright.core.load.task import Task
from rackwright.load.checking import prepare
from rackwright.load.plugins import Plugins
from rackwright.load.report.reading import read_run
from rackwright.load.run_folder import find

RALLY_SLA_FAILED = 2


@examples(
    "rackwright load validate task.yaml",
    "rackwright load validate task.yaml --task-args '{users: 3}' -o yaml",
    "rackwright load validate old.json --syntax-only -o yaml      the v2 form of a v1 file",
)
@click.command
@task_file
@click.option("--syntax-only", is_flag=True, help="Do not look whether its plugins are here.")
@output
def validate(*, file: Path, read: Callable[[], Task], syntax_only: bool, output: Output) -> None:
    """Check a task file and all that it names. Every plugin that is missing is named at once.

    Prints the task in the form v2 with all defaults: -o yaml is itself a task file.
    """
    task = read()
    if not syntax_only:
        for found, prepared in zip(task.workloads, prepare(task, Plugins(file.parent)), strict=True):
            found.description = prepared.workload.description
    amount = f"{len(task.subtasks)} subtasks, {len(task.workloads)} workloads"
    output.item(task.to_v2(), lambda: click.echo(f"{file}: valid: {amount}"), task.title)


VERDICTS = [
    Column("WORKLOAD", lambda item: str(item["workload"])),
    Column("SLA", lambda item: "ok" if item["success"] else "failed"),
    Column("CRITERION", lambda item: str(item["criterion"])),
    Column("ACTION", lambda item: str(item["action"])),
    Column("DETAIL", lambda item: str(item["detail"])),
]


@examples(
    "rackwright load sla-check 20261121-1804",
    "rackwright load sla-check ./run -o jsonl",
)
@click.command("sla-check")
@click.argument("run", default="")
@click.option("--rally-exit-codes", is_flag=True, help="End with 2, as Rally does, where the SLA failed.")
@output
@click.pass_context
def sla_check(ctx: click.Context, *, run: str, rally_exit_codes: bool, output: Output) -> None:
    """Show what became of every promise of a run: its id, its folder, or a file of exported counts. Without one it is
    the newest. Exit codes: 0 all were kept, 7 not, 1 an error.
    """
    result = read_run(Path(run)) if Path(run).is_file() else find(runs_folder(), run).read(seconds=False)
    output.items(_verdicts(result), VERDICTS, "criterion", "criterion")
    if not result.success:
        ctx.exit(RALLY_SLA_FAILED if rally_exit_codes else exits.SLA_BROKEN)


def _verdicts(result: RunResult) -> list[dict[str, object]]:
    return [
        {
            "workload": f"{workload.name} #{workload.position}",
            "criterion": judgement.criterion,
            "action": judgement.action,
            "success": judgement.success,
            "detail": judgement.detail,
            "broken": [list(stretch) for stretch in judgement.broken],
        }
        for workload in result.workloads
        for judgement in workload.judgements
    ]
