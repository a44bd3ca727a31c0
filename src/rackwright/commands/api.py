"""``rackwright api``: the process that people and racks speak to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import structlog
import uvloop

from rackwright.api.app import build
from rackwright.api.news import News
from rackwright.api.server import Server, bind
from rackwright.api.services import Services
from rackwright.cli.settings import Settings, write_settings
from rackwright.commands import credentials
from rackwright.commands.collector import spare_what_stays
from rackwright.commands.configuration import ApiSetting, WorkersType, read_setting
from rackwright.commands.database import database, opened_store
from rackwright.commands.keys import sealing_key, webhook_key
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.master import Orders, lead, living, presence, take_orders
from rackwright.commands.notices import Notices
from rackwright.commands.workers import Job
from rackwright.engine.clock import followed, shared_clock
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.sealing import Seal
from rackwright.engine.telemetry import Telemetry
from rackwright.store.images import ImageFolder
from rackwright.store.postgres import PostgresStore
from rackwright.web import loads

LISTENING = "RACKWRIGHT_LISTEN_FD"
"""In the environment of a worker: the listening socket, which all workers share."""
HUNG_AFTER = 60.0
"""Seconds without a sign of life after which a worker is replaced."""

log = structlog.get_logger()


@click.command()
@click.option("--dsn", help="The database; without it the embedded one of the data folder. Better: RACKWRIGHT_DSN.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
@click.option("--host", help="Where it listens.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Its port; 0: any.  [default: 8420]")
@click.option("--workers", type=WorkersType(), help="How many processes; auto: one a processor.  [default: 1]")
@click.option("--drain", type=click.FloatRange(min=0), help="Seconds for requests under way at the end.  [default: 10]")
@click.option("--admit", is_flag=True, help="Write an operator's token to client.toml in the data folder.")
def api(*, admit: bool, **options: Any) -> None:
    """Serve the API, until SIGTERM or Ctrl-C.

    Any number of them may serve one database; any of them may be killed at any time. SIGHUP reads the settings anew;
    several workers are then renewed one by one. `rackwright up` starts one by itself. With --admit the operator's token
    that `up` or --admit gave for this database before is void, unless it is that of the same data folder.
    """
    configure_logging("api")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    setting = read_setting(ApiSetting, "api", options, os.environ)
    spare_what_stays()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(setting, options, admit))


async def _serve(setting: ApiSetting, options: Mapping[str, Any], admit: bool) -> None:
    orders, notices = take_orders(), Notices.found(os.environ)
    with _listening(setting) as listening:
        if setting.workers > 1:
            await _share(setting, options, admit, listening, orders, notices)
        else:
            await _alone(setting, admit, listening, orders, notices)
    log.info("api ended")


async def _alone(setting: ApiSetting, admit: bool, listening: socket.socket, orders: Orders, notices: Notices) -> None:
    """Serve as one process."""
    telemetry = Telemetry()
    async with opened_store(setting.dsn, setting.data, telemetry.waited) as store:
        if admit:
            await _admit(setting, store, _url(listening))
        here = presence(store.roster, "api", telemetry)
        news, catalogs, clock = News(store), CatalogLibrary(), shared_clock()
        services = Services(
            store=store,
            views=store.views,
            catalogs=catalogs,
            news=news,
            presence=here,
            clock=clock,
            webhook_key=webhook_key(setting.data, os.environ),
            seal=Seal(sealing_key(setting.data, os.environ)),
            images=ImageFolder(setting.data / "images"),
        )

        def started() -> None:
            notices.ready("serves")
            log.info("api listens", url=_url(listening))

        def left() -> None:
            notices.stopping()
            here.drain()

        server = Server(build(services, loads.routes), news, drain=setting.drain, started=started, left=left)
        async with living(notices), here.shown(), followed(store, clock):
            obeying = asyncio.create_task(_obey(server, orders, notices, catalogs))
            try:
                await server.serve(sockets=[listening])
            finally:
                obeying.cancel()
                await asyncio.wait({obeying})


async def _obey(server: Server, orders: Orders, notices: Notices, catalogs: CatalogLibrary) -> None:
    """Forget what is kept of catalogs at each reload; begin to end when that is ordered."""
    while await orders.next():
        notices.reloading()
        catalogs.forget()
        notices.ready("serves")
        log.info("catalogs are read anew")
    server.leave()
    await orders.hurry.wait()
    server.leave()


async def _share(
    setting: ApiSetting,
    options: Mapping[str, Any],
    admit: bool,
    listening: socket.socket,
    orders: Orders,
    notices: Notices,
) -> None:
    """Serve as several processes that accept from one socket."""
    # It must listen before a worker does: from now on no client is refused, whichever worker comes or goes.
    listening.listen(2048)
    async with database(setting.dsn, setting.data) as dsn:
        async with opened_store(dsn, setting.data) as store:
            if admit:
                await _admit(setting, store, _url(listening))
        environment = {
            "RACKWRIGHT_DSN": dsn,
            "RACKWRIGHT_DATA": str(setting.data),
            LISTENING: str(listening.fileno()),
        }
        arguments = ("api", "--workers", "1", "--drain", str(setting.drain))
        job = Job(
            name="api",
            arguments=arguments,
            environment=environment,
            inherited=(listening.fileno(),),
            drain=setting.drain,
            hung_after=HUNG_AFTER,
        )

        def count() -> int:
            return read_setting(ApiSetting, "api", options, os.environ).workers

        log.info("api begins", url=_url(listening), workers=setting.workers)
        await lead(job, setting.workers, orders, notices, count)


async def _admit(setting: ApiSetting, store: PostgresStore, server: str) -> None:
    setting.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = await credentials.admin_token(store, setting.data)
    file = write_settings(setting.data, Settings(server, token))
    log.info("operator admitted", file=str(file))


@contextlib.contextmanager
def _listening(setting: ApiSetting) -> Iterator[socket.socket]:
    """The socket to accept from: the one that the master handed down, else one of its own."""
    inherited = os.environ.pop(LISTENING, "")
    with socket.socket(fileno=int(inherited)) if inherited else bind(setting.host, setting.port) as listening:
        yield listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
