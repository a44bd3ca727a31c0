"""``rackwright api``: the process that people and racks speak to."""

from __future__ import annotations

import asyncio
import logging
import os
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
from rackwright.commands.configuration import ApiSetting, read_setting
from rackwright.commands.database import opened_store
from rackwright.commands.logging_setup import configure_logging
from rackwright.engine.library import CatalogLibrary

log = structlog.get_logger()


@click.command()
@click.option("--dsn", help="The database; without it the embedded one of the data folder. Better: RACKWRIGHT_DSN.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
@click.option("--host", help="Where it listens.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Its port; 0: any.  [default: 8420]")
@click.option("--admit", is_flag=True, help="Write an operator's token to client.toml in the data folder.")
def api(*, admit: bool, **options: Any) -> None:
    """Serve the API, until SIGTERM or Ctrl-C.

    Any number of them may serve one database; any of them may be killed at any time. `rackwright up` starts one by
    itself. With --admit the operator's token that `up` or --admit gave for this database before is void, unless it is
    that of the same data folder.
    """
    configure_logging("api")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    setting = read_setting(ApiSetting, "api", options, os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(setting, admit))


async def _serve(setting: ApiSetting, admit: bool) -> None:
    with bind(setting.host, setting.port) as listening:
        host, port = listening.getsockname()[:2]
        server = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        async with opened_store(setting.dsn, setting.data) as store:
            if admit:
                setting.data.mkdir(mode=0o700, parents=True, exist_ok=True)
                token = await credentials.admin_token(store, setting.data)
                file = write_settings(setting.data, Settings(server, token))
                log.info("operator admitted", file=str(file))
            news = News(store)
            services = Services(store=store, views=store.views, catalogs=CatalogLibrary(), news=news)
            serving = Server(build(services), news, lambda: log.info("api listens", url=server))
            await serving.serve(sockets=[listening])
    log.info("api ended")
