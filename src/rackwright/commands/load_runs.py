"""``rackwright load status``, ``results`` and ``abort``: runs that were started, here or elsewhere on this host."""

from __future__ import annotations

import os
from pathlib import Path

import click

from rackwright.cli.options import output
from rackwright.cli.output import Column, Item, Output, moment, say, span
from rackwright.cli.settings import data_folder
from rackwright.commands.load_words import print_run
from rackwright.load.report.digest import outline
from rackwright.load.report.reading import read_recording
from rackwright.load.run_folder import RUN, RunFolder, find


def runs_folder() -> Path:
    """Where runs are kept unless another place is named."""
    return data_folder(os.environ) / "load"


@click.command()
@click.argument("name", default="", metavar="[RUN]")
@output
def status(name: str, output: Output) -> None:
    """Show how a run stands, also while it goes on; the newest if none is named."""
    recording = read_recording(name, runs_folder())
    result = recording.run

    def people() -> None:
        say(f"run {result.id}: {result.status}, {result.title}, since {moment(result.started_at)}")
        print_run(recording)

    output.item(outline(recording), people, result.id)


RESULTS = [
    Column("RUN", lambda item: str(item["run"])),
    Column("TITLE", lambda item: str(item["title"])),
    Column("STATUS", lambda item: str(item["status"])),
    Column("SLA", lambda item: {True: "ok", False: "failed", None: ""}[item["success"]]),
    Column("STARTED", lambda item: moment(item["started_at"])),
    Column("TOOK", lambda item: span(item["took"]) if item["took"] is not None else ""),
]


@click.command()
@click.argument("name", default="", metavar="[RUN]")
@output
def results(name: str, output: Output) -> None:
    """List all runs, or show one."""
    if name:
        recording = read_recording(name, runs_folder())
        output.item(outline(recording), lambda: print_run(recording), recording.run.id)
        return
    items: list[Item] = []
    for file in sorted(runs_folder().glob(f"*/{RUN}")):
        result = RunFolder(file.parent).read(seconds=False)
        over = result.finished_at is not None
        items.append(
            {
                "run": result.id,
                "title": result.title,
                "status": result.status,
                "success": result.success if over else None,
                "started_at": result.started_at,
                "took": None if result.finished_at is None else result.finished_at - result.started_at,
            }
        )
    output.items(items, RESULTS, "run", "run")


@click.command()
@click.argument("name", default="", metavar="[RUN]")
def abort(name: str) -> None:
    """End a run: no more starts, what runs may end. The newest if none is named."""
    folder = find(runs_folder(), name)
    result = folder.read(seconds=False)
    if result.finished_at is not None:
        say(f"run {result.id} has ended already")
        return
    folder.ask_abort()
    say(f"run {result.id} will start no more iterations")
