"""``rackwright sim``: racks and machines that are not there, for a region that is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import structlog
import uvloop

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import reachable
from rackwright.cli.output import say
from rackwright.cli.settings import read_settings
from rackwright.commands import sim_site
from rackwright.commands.collector import spare_what_stays
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.rack import raise_file_limit
from rackwright.commands.sim_executor import AtOnce
from rackwright.commands.sim_fleet import Fleet, FleetSetting
from rackwright.commands.sim_ground import laid
from rackwright.commands.supervisor import Child, Program
from rackwright.core.errors import InvalidInput
from rackwright.sim.fleet.chances import USUAL, Chances, read

TELL = 5.0
"""Seconds between two lines on how it goes."""
SITE_PATIENCE = 120.0
"""Seconds for a region of one's own to become ready."""
SITE_GRACE = 120.0
"""Seconds for it to end."""
MOST_PER_PROCESS = 1200
"""Racks that one process may have: each takes about a dozen open files."""

log = structlog.get_logger()


@examples(
    "rackwright sim --up --nodes 200 --racks 5                a region of its own, and machines for it",
    "rackwright sim --nodes 10000 --racks 250 --seed 7        for the region that runs",
    "rackwright sim --step write-image=20-60,failed=0.01 --step firmware=~90,silent=0.001",
)
@click.command()
@click.option("--nodes", default=100, show_default=True, type=click.IntRange(1, 10_000_000), help="How many machines.")
@click.option("--racks", default=4, show_default=True, type=click.IntRange(1, 9999), help="On how many racks.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 65535), help="Same seed, same machines.")
@click.option(
    "--step", "steps", multiple=True, metavar="STEP=DELAY[,failed=SHARE][,retryable=SHARE][,silent=SHARE]",
    help="How long a step takes and how often it fails; may be repeated.",
)  # fmt: skip
@click.option("--instant", is_flag=True, help="All takes no time, but for what --step says.")
@click.option("--http", is_flag=True, help="Machines reach their racks over HTTP, on 127.80.0.0/16.")
@click.option("--dhcp", is_flag=True, help="Machines ask their racks' DHCP, in a network namespace; takes root.")
@click.option(
    "--fetch", "fetched", default="nothing", show_default=True, type=click.Choice(["nothing", "boot", "images"]),
    help="Bytes that machines really fetch: what they boot, or the images that they write too.",
)  # fmt: skip
@click.option("--file-size", default=0, show_default=True, type=click.IntRange(min=0), metavar="BYTES",
              help="Of each file of the images that are brought in; 0: a line.")  # fmt: skip
@click.option("--door-port", default=8480, show_default=True, type=click.IntRange(1, 65535), help="The port there.")
@click.option(
    "--bmc", default="inside", show_default=True, type=click.Choice(["inside", "redfish", "ipmi"]),
    help="What machines' BMCs speak, on 127.81.0.0 and up; inside: they are switched without a protocol.",
)  # fmt: skip
@click.option("--bmc-port", default=8443, show_default=True, type=click.IntRange(1, 65535), help="The port there.")
@click.option("--beat", default=10.0, show_default=True, type=click.FloatRange(min=0),
              help="Seconds between two words of installed machines; 0: they are silent.")  # fmt: skip
@click.option("--patience", default=30.0, show_default=True, type=click.FloatRange(min=0),
              help="Seconds until a machine that has nothing to do is switched off.")  # fmt: skip
@click.option("--pace", default=200.0, show_default=True, type=click.FloatRange(min=0.1),
              help="Machines that are switched on in a second, at first.")  # fmt: skip
@click.option("--capacity", default=64, show_default=True, type=click.IntRange(min=1), help="Tasks at once on a rack.")
@click.option("--part", default="1/1", show_default=True, metavar="I/N", help="Be this part of the racks only.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="A folder.  [default: a temporary one]")
@click.option("--up", "own", is_flag=True, help="Start a region of its own in the folder, too.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@reachable
def sim(connect: Callable[[], Client], *, own: bool, data: Path | None, form: str, **given: Any) -> None:
    """Simulate racks and machines, until SIGTERM or Ctrl-C.

    The racks do what real ones do, with the same code; their machines boot, register and carry out what agents do, and
    nothing is really there. Machines make themselves known; say verbs to them as to any other. At the end it tells what
    has happened.
    """
    configure_logging("sim", "warning")
    # Next to nothing of what thousands of racks log is told: that should cost as little.
    structlog.configure(cache_logger_on_first_use=True)
    raise_file_limit()
    spare_what_stays()
    with contextlib.ExitStack() as stack:
        folder = (data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rackwright-sim-")))).absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            told = runner.run(_serve(_setting(folder, given), folder / "region" if own else None, connect))
    _print(told, form)


def _setting(folder: Path, given: dict[str, Any]) -> FleetSetting:
    if given["nodes"] < given["racks"]:
        raise InvalidInput("there are more racks than machines", where="--racks", mend="give fewer racks")
    part, _, parts = given["part"].partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise InvalidInput(f"{given['part']!r} is no part", where="--part", mend="write 1/2 and 2/2")
    chances = Chances(given["seed"], read(given["steps"], {} if given["instant"] else USUAL))
    own = (
        "nodes", "racks", "http", "dhcp", "fetched", "file_size", "door_port", "bmc", "bmc_port", "beat", "patience",
        "pace", "capacity",
    )  # fmt: skip
    setting = FleetSetting(
        data=folder, chances=chances, part=int(part), parts=int(parts), **{name: given[name] for name in own}
    )
    if len(setting.own_racks()) > MOST_PER_PROCESS:
        least = -(-setting.racks // MOST_PER_PROCESS)
        what = f"one process takes at most {MOST_PER_PROCESS} racks"
        raise InvalidInput(what, where="--racks", mend=f"start {least} of them: --part 1/{least} and so on")
    return setting


async def _serve(setting: FleetSetting, region: Path | None, connect: Callable[[], Client]) -> dict[str, Any]:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if setting.bmc == "inside":
        # Drivers of real BMCs wait in threads for BMCs that this very loop serves.
        asyncio.get_running_loop().set_default_executor(AtOnce())
    began = time.monotonic()
    async with _region(region, connect) as client:
        with _ground(setting, client) as reached:
            fleet = Fleet(setting, reached)
            standing = await _watched(fleet, stop, client.server)
    return {**standing, "seconds": round(time.monotonic() - began, 1), "peak_mib": _peak(), "happened": _sorted(fleet)}


async def _watched(fleet: Fleet, stop: asyncio.Event, server: str) -> dict[str, int]:
    """Let it run until it is to stop; how it stood then."""
    async with fleet.running():
        say(f"{len(fleet.setting.own_racks())} racks work for {server}")
        switching = asyncio.create_task(fleet.switch_on())
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL):
                    await stop.wait()
            say(" ".join(f"{name}={count}" for name, count in fleet.standing().items()))
        switching.cancel()
        return fleet.standing()


@contextlib.contextmanager
def _ground(setting: FleetSetting, client: Client) -> Iterator[Client]:
    """Be where the machines are; gives the region as it is reached from there."""
    if not setting.dhcp:
        yield client
        return
    racks = {sim_site.rack_name(number): setting.address(number) for number in setting.own_racks()}
    with laid(client.server, racks) as url, contextlib.closing(client.at(url)) as reached:
        yield reached


@contextlib.asynccontextmanager
async def _region(folder: Path | None, connect: Callable[[], Client]) -> AsyncIterator[Client]:
    """The region to speak to: the one that runs, or one of our own."""
    if folder is None:
        yield connect()
        return
    words = ("up", "--data", str(folder), "--port", str(_free_port()))
    site = Child(Program("site", words, {}, grace=SITE_GRACE))
    try:
        await site.ready(lambda: _answers(folder), SITE_PATIENCE)
        say(f"a region runs: RACKWRIGHT_DATA={folder}")
        client = Client(read_settings(None, None, {"RACKWRIGHT_DATA": str(folder)}))
        try:
            yield client
        finally:
            client.close()
    finally:
        await site.end()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def _answers(folder: Path) -> bool:
    """Whether the region is there, and has let us in."""
    if not (folder / "client.toml").exists():
        return False
    server = read_settings(None, None, {"RACKWRIGHT_DATA": str(folder)}).server
    async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
        try:
            return (await client.get(f"{server}/readyz")).is_success
        except httpx.HTTPError:
            return False


def _sorted(fleet: Fleet) -> dict[str, int]:
    return dict(sorted(fleet.tally.items()))


def _peak() -> int:
    """MiB that this process had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _print(told: dict[str, Any], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(told))
        return
    happened = told.pop("happened")
    for name, count in {**told, **happened}.items():
        click.echo(f"{name:<32} {count}")
