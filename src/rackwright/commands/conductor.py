"""``rackwright conductor``: the process that computes plans and keeps node tasks moving."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import click
import structlog

from rackwright.commands.configuration import ConductorSetting, read_policy, read_setting
from rackwright.commands.database import database, opened_store
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.supervisor import Child, Program, end_all
from rackwright.engine import annealer
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.serialization.policy import PolicySettings

log = structlog.get_logger()


@click.command()
@click.option("--dsn", help="The database; without it the embedded one of the data folder. Better: RACKWRIGHT_DSN.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
@click.option("--workers", type=click.IntRange(min=1), help="How many processes.  [default: 1]")
def conductor(**options: Any) -> None:
    """Compute plans and keep node tasks moving, until SIGTERM or Ctrl-C.

    Any number of conductors may work on one database; any of them may be killed at any time.
    """
    configure_logging("conductor")
    setting = read_setting(ConductorSetting, "conductor", options, os.environ)
    asyncio.run(_serve(setting, read_policy({"data": setting.data}, os.environ)))


async def _serve(setting: ConductorSetting, policy: PolicySettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if setting.workers > 1:
        await _share(setting, stop)
        return
    async with opened_store(setting.dsn, setting.data) as store:
        log.info("conductor began")
        await annealer.run(store, CatalogLibrary(), stop, policy)
    log.info("conductor ended")


async def _share(setting: ConductorSetting, stop: asyncio.Event) -> None:
    """Let that many processes do the work."""
    async with database(setting.dsn, setting.data) as dsn:
        environment = {"RACKWRIGHT_DSN": dsn, "RACKWRIGHT_WORKERS": "1", "RACKWRIGHT_DATA": str(setting.data)}
        workers = [Child(Program(f"conductor {n + 1}", ("conductor",), environment)) for n in range(setting.workers)]
        await stop.wait()
        await end_all(workers)
