"""``rackwright serializer``: a worker that shares the serialisation, registered with a Dask scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import structlog

from rackwright.commands.configuration import DASK, SerializerSetting, WorkersType, own_scheduler, read_setting
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.master import presence
from rackwright.commands.supervisor import Child, Program, end_all
from rackwright.commands.workers import WORKER
from rackwright.core.errors import StoreUnavailable
from rackwright.engine.serialization.dask.admission import NAME, STATUSES, Registration
from rackwright.engine.serialization.dask.archive import libraries
from rackwright.engine.serialization.dask.certificates import check_address, security
from rackwright.engine.serialization.dask.desk import ANSWERS, ARCHIVES, Desk
from rackwright.engine.serialization.dask.library import NO_PAGES, configure
from rackwright.engine.telemetry import Telemetry
from rackwright.store.postgres import PostgresStore

if TYPE_CHECKING:
    from distributed import Worker

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
"""Seconds before the scheduler is tried again; each further pause is twice as long."""
CONNECTING = 3.0
"""Seconds that one attempt to connect may take."""
FETCHING = 0.5
"""Seconds for the last answer to be on its way."""
LOOK = 0.05
"""Seconds between two looks at what a worker still has to do."""

log = structlog.get_logger()


@click.command()
@click.option("--node", required=True, envvar="RACKWRIGHT_NODE", help="The node on which this runs.")
@click.option("--scheduler", metavar="tls://HOST:PORT", help="The scheduler.  [default: the one of the data folder]")
@click.option("--certificates", type=click.Path(file_okay=False), help="Their folder.  [default: dask in the data]")
@click.option("--status", type=click.Choice(STATUSES), help="The status of the node.")
@click.option("--status-file", type=click.Path(dir_okay=False), help="A file that holds it, read again and again.")
@click.option("--control", is_flag=True, default=None, help="This is a control host: it is used in any status.")
@click.option("--workers", type=WorkersType(), help="How many processes; auto: one a processor.  [default: 1]")
@click.option("--listen", metavar="HOST", help="Where it listens.  [default: where it reaches the scheduler from]")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
def serializer(**options: Any) -> None:
    r"""Share the serialisation: answer chunks until SIGTERM or Ctrl-C.

    \b
    Example:
      rackwright serializer --scheduler tls://10.0.0.5:8421 --certificates ./dask --node n7 --status provisioned

    It runs the code that the conductor sends, not its own. Told to end, it finishes its chunk first. When the scheduler
    is gone it waits for it to come back.
    """
    configure_logging("serializer")
    setting = read_setting(SerializerSetting, "serializer", options, os.environ)
    structlog.contextvars.bind_contextvars(node=setting.node)
    asyncio.run(_serve(setting))


async def _serve(setting: SerializerSetting) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if setting.workers > 1:
        await _share(setting, stop)
        return
    with tempfile.TemporaryDirectory(prefix="rackwright-serializer-") as folder:
        desk = Desk(Path(folder) / "code", Registration(setting.node, libraries=libraries()))
        try:
            await asyncio.to_thread(desk.warm)
            async with _shown(os.environ.get("RACKWRIGHT_DSN", "")):
                await _work(setting, desk, Path(folder), stop)
        finally:
            desk.close()
    log.info("serializer ended")


@contextlib.asynccontextmanager
async def _shown(dsn: str) -> AsyncIterator[None]:
    """Be listed among the processes as long as the block lasts, where the database is told; it works without, too."""
    async with contextlib.AsyncExitStack() as open_ones:
        telemetry = Telemetry()
        try:
            store = await PostgresStore.open(dsn, pool_size=1, waited=telemetry.waited) if dsn else None
        except StoreUnavailable as error:
            log.warning("the serializer is not listed among the processes", why=str(error))
            store = None
        if store is not None:
            open_ones.push_async_callback(store.close)
            await open_ones.enter_async_context(presence(store.roster, "serializer", telemetry).shown())
        yield


async def _share(setting: SerializerSetting, stop: asyncio.Event) -> None:
    """Let that many processes do the work."""
    optional = {
        "--scheduler": setting.scheduler,
        "--certificates": setting.certificates,
        "--status": setting.status,
        "--status-file": setting.status_file,
        "--listen": setting.listen,
    }
    arguments = ["serializer", "--node", setting.node, "--workers", "1", "--data", str(setting.data)]
    arguments += [word for option, value in optional.items() if value for word in (option, value)]
    arguments += ["--control"] if setting.control else []
    numbers = [str(number + 1) for number in range(setting.workers)]
    workers = [Child(Program(f"serializer {n}", tuple(arguments), {WORKER: n})) for n in numbers]
    await stop.wait()
    await end_all(workers)


async def _work(setting: SerializerSetting, desk: Desk, folder: Path, stop: asyncio.Event) -> None:
    """Be a worker of the scheduler; when it is gone, until it is back."""
    configure()
    from distributed.comm.core import FatalCommClosedError

    pause = FIRST_PAUSE
    while not stop.is_set():
        address = setting.scheduler or own_scheduler(setting.data)
        check_address(address)
        worker = _worker(setting, desk, folder, address)
        try:
            if await _unless(stop, _started(worker)):
                pause = FIRST_PAUSE
                log.info("serializer began", scheduler=address, address=worker.address)
                await _unless(stop, worker.finished())
            if stop.is_set():
                await _leave(worker, desk)
                return
            log.warning("the scheduler is gone", scheduler=address, pause=pause)
        except FatalCommClosedError as error:
            log.error(
                "the scheduler refuses this worker, or is not to be trusted", scheduler=address, reason=str(error)
            )
        except (OSError, TimeoutError, RuntimeError) as error:
            log.warning("the scheduler cannot be reached", scheduler=address, reason=str(error), pause=pause)
        finally:
            with suppress(Exception):
                await worker.close(timeout=1, executor_wait=False)
        await _unless(stop, asyncio.sleep(pause))
        pause = min(2 * pause, LONGEST_PAUSE)


def _worker(setting: SerializerSetting, desk: Desk, folder: Path, address: str) -> Worker:
    """Make one that says what it is with every heartbeat, and takes chunks. While its process answers one, a second one
    is unpacked: the process need not wait for it."""
    from distributed import Worker
    from distributed.worker import DEFAULT_METRICS

    def told(_: Worker) -> dict[str, Any]:
        desk.registration = msgspec.structs.replace(desk.registration, status=_status(setting), control=setting.control)
        return desk.told()

    async def answers(name: str, chunk: bytes) -> tuple[str, bytes]:
        return await asyncio.to_thread(desk.answer_squeezed, name, chunk)

    async def archives(name: str, data: bytes) -> bool:
        return await asyncio.to_thread(desk.supplied, name, data)

    worker = Worker(
        address,
        nthreads=1,
        name=f"{setting.node}-{uuid.uuid4().hex[:8]}",
        security=security(Path(setting.certificates or setting.data / DASK), "worker"),
        protocol="tls",
        host=setting.listen or None,
        memory_limit=0,
        local_directory=str(folder),
        dashboard_address=NO_PAGES,
        metrics={**DEFAULT_METRICS, NAME: told},
    )
    worker.handlers |= {ANSWERS: answers, ARCHIVES: archives}
    return worker


def _status(setting: SerializerSetting) -> str:
    """Give the node's status as it is now; a file that cannot be read says none."""
    if not setting.status_file:
        return setting.status
    try:
        return Path(setting.status_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


async def _started(worker: Worker) -> None:
    """Start it. Raises OSError when the scheduler is not there or refuses us: the worker itself would try for ever."""
    from distributed.comm.core import connect

    comm = await connect(worker.scheduler.address, CONNECTING, **worker.connection_args)
    await comm.close()
    await worker


async def _leave(worker: Worker, desk: Desk) -> None:
    """Take no more chunks, finish the one at hand, and let the answers be fetched."""
    from distributed.core import Status

    if worker.status != Status.running:
        return
    log.info("serializer leaves")
    desk.leave()
    await worker.heartbeat()
    while desk.busy and worker.status == Status.running:
        await asyncio.sleep(LOOK)
    await asyncio.sleep(FETCHING)


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, Any]) -> bool:
    """Do the work, but leave it when ``stop`` comes first. Says whether it was done."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return True
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    return False
