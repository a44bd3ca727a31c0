"""``rackwright demo``: from nothing to a running cluster, and through its troubles, on this machine."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from types import FrameType

import click

from rackwright.cli import exits
from rackwright.commands import demo_ground as ground
from rackwright.commands.demo_acts import Stage, change, deploy, survive
from rackwright.commands.demo_load import prove
from rackwright.commands.demo_machine import Machine
from rackwright.commands.demo_report import Report
from rackwright.core.errors import RackwrightError

acts = (deploy, change, survive, prove)
"""In their order."""


@click.command()
@click.option(
    "--nodes", default=12, show_default=True, type=click.IntRange(3, ground.MOST_NODES), help="How many machines."
)
@click.option("--keep", is_flag=True, help="Leave everything running at the end.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="A new data folder.  [default: temporary]"
)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of the end.")
def demo(*, nodes: int, keep: bool, data: Path | None, form: str) -> None:
    r"""Deploy a real NATS cluster on loopback addresses, change it, kill what runs it, and put it under load.

    \b
    Act 1  deploys it: every node an address of its own, every server a real process.
    Act 2  changes one attribute: exactly the node tasks that the plan names run again.
    Act 3  kills (-9) the conductor, a rack and PostgreSQL in the middle of a roll-out.
    Act 4  puts load on it from two of its nodes, then kills a server under the load.

    It exits with 0 only if all of that was seen to work. Nothing is left running without --keep.
    """
    ground.check_programs()
    machines = ground.choose_nodes(nodes, os.getpid())
    folder = ground.make_folder(data)
    report = Report(quiet=form == "json")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _as_interrupt)
    machine = Machine(folder, stays=keep)
    try:
        fault = _play(machine, machines, report)
    except BaseException:
        _clear(machine, report, remove=data is None)
        raise
    kept = keep and not fault
    if not kept:
        _clear(machine, report, remove=data is None and not fault)
    report.show(form, fault=fault)
    if kept:
        _tell_how_to_use(machine, report)
    if fault:
        report.say(f"the logs are in {folder}")
        raise click.exceptions.Exit(exits.ERROR)


def _play(machine: Machine, nodes: list[ground.Node], report: Report) -> str:
    """Play all acts; gives what went wrong."""
    try:
        with report.step("0 Start", "start api, conductor, racks and PostgreSQL") as result:
            client = machine.client()
            result.text = f"{client.server}, data in {machine.data}"
        stage = Stage(machine, client, nodes, report)
        for act in acts:
            act(stage)
    except RackwrightError as error:
        return str(error)
    return ""


def _clear(machine: Machine, report: Report, *, remove: bool) -> None:
    with report.step("5 End", "end everything in order") as result:
        machine.end()
        result.text = "nothing is left running"
    if remove:
        shutil.rmtree(machine.data, ignore_errors=True)


def _tell_how_to_use(machine: Machine, report: Report) -> None:
    report.say("\nThe cluster goes on. To look around:")
    report.say(f"  export RACKWRIGHT_DATA={machine.data}")
    report.say("  rackwright get nodes")
    report.say("  rackwright deployment status messaging           in error: it broke its promise under load")
    report.say("  rackwright deployment retry messaging --wait      the load again; nobody kills a server now")
    report.say(f"  tail -f {machine.log}")
    report.say(f"To end it: kill {machine.pid}; then remove {machine.data}")


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
