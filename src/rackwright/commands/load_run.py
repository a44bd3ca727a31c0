"""``rackwright load run``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from rackwright.cli import exits
from rackwright.cli.examples import examples
from rackwright.cli.output import say
from rackwright.commands.load_fleet import Open, Source, generators_options
from rackwright.commands.load_report import write_pieces
from rackwright.commands.load_runs import runs_folder
from rackwright.commands.load_task import task_file
from rackwright.commands.load_words import print_run
from rackwright.core.load.lines import told
from rackwright.core.load.result import RunResult, WorkloadResult
from rackwright.core.load.task import Task
from rackwright.core.load.track import Recording, recording
from rackwright.core.load.verdict import verdict_of
from rackwright.load.checking import prepare
from rackwright.load.plugins import Plugins
from rackwright.load.report.dashboard import Dashboard
from rackwright.load.report.digest import outline
from rackwright.load.report.lines import Lines
from rackwright.load.report.page import page
from rackwright.load.run import Run, Watcher, new_id
from rackwright.load.run_folder import RUN, RunFolder

RALLY_SLA = 2
"""What Rally ends with when an SLA is broken."""


@examples(
    "rackwright load run task.yaml",
    'rackwright load run task.yaml --task-args \'{"url": "http://10.0.0.5/"}\' --abort-on-sla-failure',
    "rackwright load run task.yaml -o jsonl | jq 'select(.event == \"second\")'",
)
@click.command()
@task_file
@generators_options
@click.option("--abort-on-sla-failure", is_flag=True, help="End the run as soon as a criterion does not hold.")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="The run's folder; it must not exist.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Make one page of the run too, when it is over."
)
@click.option("--rally-exit-codes", is_flag=True, help="End with 2 instead of 7 when an SLA is broken.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "jsonl", "json"]), default="table")
def run(*, file: Path, read: Callable[[], Task], generators: Open, **options: Any) -> None:
    """Run a task file and judge it. Exit codes: 0 passed, 1 error, 7 an SLA is broken."""
    ctx = click.get_current_context()
    task = read()
    prepared = prepare(task, Plugins(file.parent))
    folder = RunFolder(options["to"] or runs_folder() / new_id())
    if (folder.path / RUN).exists():
        raise click.UsageError(f"{folder.path} holds a run already", ctx)
    form = options["form"]
    with Dashboard(task.title, Console(stderr=True)) as dashboard:

        def watch(workload: WorkloadResult) -> Watcher:
            return Lines(workload, click.echo) if form == "jsonl" else dashboard.watcher()

        async def carry_out() -> RunResult:
            async with generators(folder.path) as source:
                stop, load = options["abort_on_sla_failure"], source.generators
                result = await _run(Run(task, prepared, folder, generators=load, stop_on_violation=stop, watch=watch))
                await _bring_rows(source, result, folder)
                return result

        result = asyncio.run(carry_out())
    recorded = recording(result, folder.seconds)
    folder.conclude(verdict_of(recorded))
    if options["html"]:
        write_pieces(page([recorded]), options["html"])
    _tell(recorded, folder.path, form)
    if result.status == "aborted":
        ctx.exit(exits.INTERRUPTED)
    if not result.success:
        ctx.exit(RALLY_SLA if options["rally_exit_codes"] else exits.SLA_BROKEN)


async def _run(whole: Run) -> RunResult:
    asked: list[bool] = []

    def abort() -> None:
        whole.abort(cancel=bool(asked))
        asked.append(True)

    _on_signals(abort)
    return await whole.run()


async def _bring_rows(source: Source, result: RunResult, folder: RunFolder) -> None:
    """Bring raw rows from elsewhere. The verdict is kept already; rows that do not come are a note to it."""
    bringing = asyncio.ensure_future(source.bring_rows())
    _on_signals(bringing.cancel)
    try:
        faults = await bringing
    except asyncio.CancelledError:
        faults = {health.name: "they were not waited for" for each in result.workloads for health in each.health}
    for workload in result.workloads:
        names = {health.name for health in workload.health}
        workload.notes += [f"raw rows of {name} did not come: {why}" for name, why in faults.items() if name in names]
    if faults:
        folder.write(result)


def _on_signals(do: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, do)


def _tell(recorded: Recording, folder: Path, form: str) -> None:
    result = recorded.run
    if form == "jsonl":
        click.echo(msgspec.json.encode(told(result, str(folder))).decode())
    elif form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(outline(recorded)), indent=2).decode())
    else:
        print_run(recorded)
        say(f"\nrun {result.id}: {result.status}, {'passed' if result.success else 'failed'}; kept in {folder}")
