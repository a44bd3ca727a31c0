"""``rackwright lab``: machines without hardware, on one Linux host, and everything that a rack does with them."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from rackwright.cli.examples import examples
from rackwright.cli.lazy import Lazy, LazyGroup
from rackwright.cli.options import output
from rackwright.cli.output import Column, Output, say
from rackwright.cli.settings import data_folder
from rackwright.commands import lab_control, lab_ending, lab_start
from rackwright.commands.lab_console import attach
from rackwright.commands.lab_site import MOST_MACHINES, Ground, Lab, check_host
from rackwright.core.errors import NotFound
from rackwright.sim import wires
from rackwright.sim.bmc import Faults

Command = Callable[..., Any]


def on_ground(function: Command) -> Command:
    """The command works on a lab: it gets its ``ground`` first, and the option that says which."""

    @click.option(
        "--data", type=click.Path(file_okay=False, path_type=Path), envvar="RACKWRIGHT_LAB",
        help="The lab's folder (RACKWRIGHT_LAB).  [default: lab in the data folder]",
    )  # fmt: skip
    @functools.wraps(function)
    def run(*, data: Path | None, **options: Any) -> Any:
        return function(Ground(data or own_folder() / "lab"), **options)

    return run


def own_folder() -> Path:
    """The user's folder for data, whichever site the commands speak to at present."""
    return data_folder({name: value for name, value in os.environ.items() if name != "RACKWRIGHT_DATA"})


def with_images(function: Command) -> Command:
    """The command takes images: it gets the folder ``images`` where they are kept."""

    @click.option(
        "--images", type=click.Path(file_okay=False, path_type=Path), envvar="RACKWRIGHT_LAB_IMAGES",
        help="Where images are kept (RACKWRIGHT_LAB_IMAGES).  [default: lab-images in the data folder]",
    )  # fmt: skip
    @functools.wraps(function)
    def run(*positional: Any, images: Path | None, **options: Any) -> Any:
        return function(*positional, images=(images or own_folder() / "lab-images").absolute(), **options)

    return run


@click.group(
    cls=LazyGroup,
    lazy={
        "demo": Lazy("rackwright.commands.lab_demo:demo", "Three machines from power-off to a running cluster."),
        "keep": Lazy("rackwright.commands.lab_keeper:keep", "Keep a lab: `up` starts this."),
    },
)
def lab() -> None:
    """Real QEMU machines with real BMCs on this host, in a network of their own; nothing else is touched."""


@examples(
    "sudo rackwright lab up --nodes 2 --firmware mixed --bmc mixed",
    "sudo rackwright lab up --nodes 1 --unknown 1          and then: lab power on m1",
    'eval "$(rackwright lab env)"; rackwright get nodes',
)
@lab.command()
@click.option("--nodes", default=3, show_default=True, type=click.IntRange(1, MOST_MACHINES), help="How many machines.")
@click.option("--firmware", default="mixed", show_default=True, type=click.Choice(["bios", "uefi", "mixed"]))
@click.option("--bmc", default="mixed", show_default=True, type=click.Choice(["ipmi", "redfish", "mixed"]))
@click.option("--memory", default=512, show_default=True, type=click.IntRange(min=256), help="MiB of a machine.")
@click.option("--disk", default=4, show_default=True, type=click.IntRange(min=1), help="GiB of a machine; grows.")
@click.option("--dhcp", default="kea", show_default=True, type=click.Choice(["kea", "dnsmasq"]))
@click.option(
    "--unknown", default=0, show_default=True, type=click.IntRange(min=0), metavar="N",
    help="Of the last N the rack is told nothing: they make themselves known when they are switched on.",
)  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), help="The api's, on 127.0.0.1.  [default: any that is free]")
@with_images
@on_ground
def up(ground: Ground, **wanted: Any) -> None:
    """Start a lab: machines that are off, each with its BMC, and `rackwright up` with a rack beside them. As root."""
    check_host()
    started = lab_start.start(ground, wanted)
    say(f"the lab runs: api http://127.0.0.1:{started.port}, network namespace {started.namespace}")
    _show(started, Output())
    say('\nTo look around:  eval "$(rackwright lab env)"; rackwright get nodes')
    say("To end it:       rackwright lab down")


@lab.command()
@on_ground
def down(ground: Ground) -> None:
    """End a lab and remove all that it made, also one whose processes were killed."""
    check_host()
    was_there = lab_ending.end(ground)
    say("the lab has ended; nothing is left of it" if was_there else "there is no lab")


@lab.command()
@output
@on_ground
def status(ground: Ground, output: Output) -> None:
    """Show the machines of a lab."""
    _show(ground.load(), output, lab_control.ask(ground.control, "status")["machines"])


@lab.command()
@click.option("--passwords", is_flag=True, help="How to reach every BMC, too.")
@on_ground
def env(ground: Ground, *, passwords: bool) -> None:
    """Print what a shell needs to speak to the lab's api."""
    found = ground.load()
    click.echo(f"export RACKWRIGHT_LAB={ground.folder} RACKWRIGHT_DATA={ground.site}")
    for one in found.machines if passwords else ():
        click.echo(f"# {one.shape.name}: {one.shape.bmc} {one.bmc_address} {one.account.user} {one.account.password}")


@lab.command()
@click.argument("action", type=click.Choice(["on", "off", "reset", "soft"]))
@click.argument("machine")
@on_ground
def power(ground: Ground, *, action: str, machine: str) -> None:
    """Switch a machine by hand, as a person at the rack would: no BMC is asked."""
    name = ground.load().machine(machine).shape.name
    lab_control.ask(ground.control, "power", machine=name, action=action)


@examples("rackwright lab fault m1 --slow 5", "rackwright lab fault m1                    nothing is wrong with it")
@lab.command()
@click.argument("machine")
@click.option("--slow", default=0.0, help="Seconds before each answer.")
@click.option("--password", default="", help="Another password counts.")
@click.option("--lies", type=click.Choice(["on", "off"]), help="The state that it tells, whatever is true.")
@click.option("--gone", is_flag=True, help="It answers nothing.")
@on_ground
def fault(ground: Ground, *, machine: str, slow: float, password: str, lies: Any, gone: bool) -> None:
    """Break a machine's BMC, or mend it."""
    name = ground.load().machine(machine).shape.name
    faults = Faults(slow=slow, password=password, lies=lies or "", gone=gone)
    lab_control.ask(ground.control, "faults", machine=name, faults=msgspec.to_builtins(faults))


@lab.command()
@click.argument("machine")
@click.option("--log", is_flag=True, help="Show all that it has said, and end.")
@on_ground
def console(ground: Ground, *, machine: str, log: bool) -> None:
    """Attach to a machine's serial console; Ctrl-] lets it go."""
    folder = ground.machines / ground.load().machine(machine).shape.name
    said = folder / "console.log"
    if log:
        sys.stdout.buffer.write(said.read_bytes() if said.exists() else b"")
        return
    attach(folder / "console", where=machine)


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@on_ground
def execute(ground: Ground, *, words: tuple[str, ...]) -> None:
    """Run a command in the lab's network."""
    found = ground.load()
    if found.namespace not in wires.namespaces():
        raise NotFound("the lab's network is not there", mend="start it anew: `rackwright lab down`, then up")
    line = wires.inside(found.namespace, words)
    os.environ["RACKWRIGHT_DATA"] = str(ground.site)
    os.execv(line[0], line)


def _show(found: Lab, output: Output, states: dict[str, Any] | None = None) -> None:
    items = [
        {
            "name": one.shape.name,
            "firmware": one.shape.firmware,
            "bmc": one.shape.bmc,
            "bmc_address": one.bmc_address,
            "mac": one.shape.mac(),
            "address": one.address,
            "serial": one.shape.serial,
            **(states or {}).get(one.shape.name, {"on": False, "starts": 0}),
        }
        for one in found.machines
    ]
    output.items(items, _COLUMNS, kind="machine")


_COLUMNS = (
    Column("Name", lambda item: item["name"]),
    Column("Power", lambda item: "on" if item["on"] else "off"),
    Column("Starts", lambda item: str(item["starts"])),
    Column("Firmware", lambda item: item["firmware"]),
    Column("BMC", lambda item: f"{item['bmc']} {item['bmc_address']}"),
    Column("MAC", lambda item: item["mac"]),
    Column("Address", lambda item: item["address"]),
    Column("Serial", lambda item: item["serial"], wide=True),
)
