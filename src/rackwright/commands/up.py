"""``rackwright up``: everything on one machine, each part a process of its own, under one small supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import structlog

from rackwright.cli.settings import Settings, write_settings
from rackwright.commands import credentials
from rackwright.commands.configuration import UpSetting, WorkersType, read_setting
from rackwright.commands.dask_site import DaskSite, dask_site
from rackwright.commands.database import database, opened_store
from rackwright.commands.leftovers import end_leftovers
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.supervisor import Child, Program, end_all
from rackwright.commands.workers import WORKER
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.jig import folder_name
from rackwright.store import embedded

API_PATIENCE = 60.0
"""Seconds for the api to become ready."""
API_GRACE = 20.0
"""Seconds for the api to end: the drain of its workers, and some more."""
CONDUCTOR_GRACE = 40.0
"""The same for a conductor."""
LEFTOVER_GRACE = 10.0
"""Seconds for what a dead rack left running."""
RACK_GRACE = 45.0
"""Seconds for a rack to end: its running tasks, then its services."""

log = structlog.get_logger()


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
@click.option("--dsn", help="The database; without it an embedded one. Better: RACKWRIGHT_DSN.")
@click.option("--conductors", type=WorkersType(), help="How many conductors; auto: one a processor.  [default: 1]")
@click.option("--apis", type=WorkersType(), help="How many processes serve the api.  [default: 1]")
@click.option("--racks", metavar="NAMES", help="The racks of this machine: r1,r2.  [default: r1]")
@click.option("--host", help="Where the api listens.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port.  [default: 8420]")
@click.option("--machines", is_flag=True, default=None, help="Its one rack serves machines: DHCP, boot, images, power.")
@click.option("--dhcp", type=click.Choice(["kea", "dnsmasq", "none"]), help="What answers DHCP there.  [default: kea]")
@click.option("--dask", is_flag=True, default=None, help="Run a Dask scheduler and workers, to share serialisation.")
@click.option("--dask-workers", type=click.IntRange(min=0), help="How many workers.  [default: 2]")
@click.option("--dask-host", help="Where the scheduler listens.  [default: 127.0.0.1]")
@click.option("--dask-port", type=click.IntRange(0, 65535), help="Its port.  [default: any that is free]")
def up(**options: Any) -> None:
    r"""Run api, conductors, racks and database on this machine, until SIGTERM or Ctrl-C.

    \b
    Example, with a second terminal for the commands:
      rackwright up --racks r1,r2
      rackwright get racks

    What dies is started again. SIGHUP lets api and conductors read their settings anew. All data and tokens are in the
    data folder; client.toml in it lets the commands of the same user in.
    """
    configure_logging("up")
    asyncio.run(_serve(read_setting(UpSetting, "up", options, os.environ)))


async def _serve(setting: UpSetting) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _one_rack_for_machines(setting)
    _make_private(setting.data)
    with _alone(setting.data):
        _port_must_be_free(setting)
        with dask_site(setting) as site:
            await _run(setting, site, stop)
        if not setting.dsn:
            await embedded.wait_stopped(setting.data)
        log.info("everything has ended")


async def _run(setting: UpSetting, site: DaskSite | None, stop: asyncio.Event) -> None:
    async with database(setting.dsn, setting.data) as dsn:
        token = await _admit(setting, dsn)
        stages: list[list[Child]] = []
        try:
            await _unless(stop, _start(setting, dsn, token, site, stages))
            if not stop.is_set():
                log.info("everything runs", api=setting.server, data=str(setting.data))
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, stages)
            await stop.wait()
            log.info("everything stops")
        finally:
            await _end(setting, stages)


async def _admit(setting: UpSetting, dsn: str) -> str:
    """Bring the schema up to date, and let the racks and the operator in. Gives the operator's token."""
    async with opened_store(dsn, setting.data) as store:
        for rack in setting.racks:
            await credentials.rack_token(store, setting.data, rack)
        return await credentials.admin_token(store, setting.data)


async def _start(setting: UpSetting, dsn: str, token: str, site: DaskSite | None, stages: list[list[Child]]) -> None:
    """Start in order, each stage when the one before is ready; ``stages`` grows as it goes."""
    environment = {"RACKWRIGHT_DSN": dsn, "RACKWRIGHT_DATA": str(setting.data)}
    where = ("--host", setting.host, "--port", str(setting.port), "--workers", str(setting.apis))
    api = Child(Program("api", ("api", *where), environment, grace=API_GRACE))
    stages.append([api])
    await api.ready(lambda: _answers(f"{setting.server}/readyz"), API_PATIENCE)
    write_settings(setting.data, Settings(setting.server, token))
    if site is not None:
        environment |= site.environment
        await site.start(stages, dsn)
    stages.append([Child(_conductor(n + 1, setting.conductors, environment)) for n in range(setting.conductors)])
    stages.append([Child(_rack(setting, name)) for name in setting.racks])


async def _end(setting: UpSetting, stages: list[list[Child]]) -> None:
    """End in the opposite order: racks, conductors, api. A rack that is just dead cannot end its services itself."""
    for stage in reversed(stages):
        await end_all(stage)
        if stage is stages[-1]:
            await asyncio.gather(
                *(end_leftovers(_rack_folder(setting, name), LEFTOVER_GRACE) for name in setting.racks)
            )


def _reload(stages: list[list[Child]]) -> None:
    """Let api and conductors read their settings anew."""
    for child in (child for stage in stages for child in stage):
        if child.program.arguments[0] in ("api", "conductor"):
            child.tell(signal.SIGHUP)


def _conductor(number: int, of: int, environment: dict[str, str]) -> Program:
    name = "conductor" if of == 1 else f"conductor {number}"
    return Program(name, ("conductor", "--workers", "1"), environment | {WORKER: str(number)}, grace=CONDUCTOR_GRACE)


def _rack_folder(setting: UpSetting, rack: str) -> Path:
    return setting.data / "racks" / folder_name(rack)


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Do the work, but leave it when ``stop`` comes first."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return working.result()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    return None


def _rack(setting: UpSetting, name: str) -> Program:
    """A rack keeps the services of its nodes. When we are killed it is killed too, so that they go on, and the next
    rack takes them over; only an orderly end stops them."""
    arguments = (
        *("rack", "run", "--name", name, "--api", setting.server),
        *("--token-file", str(credentials.token_file(setting.data, name))),
        *("--data", str(_rack_folder(setting, name))),
        *(("--machines",) if setting.machines else ()),
        *(("--dhcp", setting.dhcp) if setting.dhcp else ()),
    )
    return Program(f"rack {name}", arguments, on_orphan=signal.SIGKILL, grace=RACK_GRACE)


async def _answers(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False


def _one_rack_for_machines(setting: UpSetting) -> None:
    if setting.machines and len(setting.racks) != 1:
        what = f"machines are served by one rack on a host, and there are to be {len(setting.racks)}"
        raise InvalidInput(what, where="--racks", mend="name one rack, or start the others by `rackwright rack run`")


def _make_private(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)
    except OSError as error:
        raise InvalidInput(
            f"the data folder cannot be used: {error.strerror}", where=str(data), mend="give another --data FOLDER"
        ) from None


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Hold the data folder; raises Conflict when another ``up`` does."""
    file = data / "up.lock"
    with open(file, "a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Conflict(
                f"rackwright up already runs with this data folder, as process {lock.read().strip()}",
                where=str(data),
                mend="use that one, end it first, or give another --data FOLDER",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _port_must_be_free(setting: UpSetting) -> None:
    with socket.socket(socket.AF_INET6 if ":" in setting.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((setting.host, setting.port))
        except OSError as error:
            raise InvalidInput(
                f"the api cannot listen there: {error.strerror}",
                where=f"{setting.host}:{setting.port}",
                mend="end what uses the port, or give another --port",
            ) from None
