"""``rackwright conductor``: the process that computes plans and keeps node tasks moving."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import structlog

from rackwright.commands.collector import spare_what_stays
from rackwright.commands.configuration import ConductorSetting, WorkersType, read_keep, read_policy, read_setting
from rackwright.commands.database import database, opened_store
from rackwright.commands.errands import run_errands
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.master import Orders, lead, living, presence, take_orders
from rackwright.commands.notices import Notices
from rackwright.commands.workers import Job
from rackwright.core.errors import RackwrightError
from rackwright.engine import annealer, lifecycle, retention, serving
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.presence import Presence
from rackwright.engine.serialization.policy import PolicySettings
from rackwright.engine.telemetry import Telemetry
from rackwright.store.postgres import PostgresStore

HUNG_AFTER = 600.0
"""Seconds without a sign of life after which a worker is replaced. A plan of millions of node tasks keeps the loop of
its worker for a while."""

log = structlog.get_logger()


@click.command()
@click.option("--dsn", help="The database; without it the embedded one of the data folder. Better: RACKWRIGHT_DSN.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The data folder (RACKWRIGHT_DATA).")
@click.option("--workers", type=WorkersType(), help="How many processes; auto: one a processor.  [default: 1]")
@click.option("--drain", type=click.FloatRange(min=0), help="Seconds for work under way at the end.  [default: 30]")
def conductor(**options: Any) -> None:
    """Compute plans and keep node tasks moving, until SIGTERM or Ctrl-C.

    Any number of conductors may work on one database; any of them may be killed at any time. What is not done within
    --drain is undone, and another conductor does it. SIGHUP reads the settings anew; several workers are then renewed
    one by one.
    """
    configure_logging("conductor")
    setting = read_setting(ConductorSetting, "conductor", options, os.environ)
    spare_what_stays()
    asyncio.run(_serve(setting, options))


async def _serve(setting: ConductorSetting, options: Mapping[str, Any]) -> None:
    orders, notices = take_orders(), Notices.found(os.environ)
    if setting.workers > 1:
        await _share(setting, options, orders, notices)
        return
    policy, telemetry = _policy(setting), Telemetry()
    async with opened_store(setting.dsn, setting.data, telemetry.waited) as store:
        here = presence(store.roster, "conductor", telemetry)
        async with living(notices), here.shown():
            notices.ready("works")
            log.info("conductor began")
            while await _until_order(store, setting, policy, orders, here):
                notices.reloading()
                policy = _policy_again(setting, policy)
                notices.ready("works")
                log.info("settings and catalogs are read anew")
            notices.stopping()
    log.info("conductor ended")


async def _until_order(
    store: PostgresStore, setting: ConductorSetting, policy: PolicySettings, orders: Orders, here: Presence
) -> bool:
    """Work until an order comes; True for a reload. What is not done within the drain is undone."""
    stop = asyncio.Event()
    working = asyncio.create_task(_work(store, setting, policy, stop))
    ordered = asyncio.create_task(orders.next())
    await asyncio.wait({working, ordered}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        ordered.cancel()
        working.result()
    if orders.stop.is_set():
        here.drain()
    stop.set()
    hurrying = asyncio.create_task(orders.hurry.wait())
    await asyncio.wait({working, hurrying}, timeout=setting.drain, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not working.done():
        log.warning("what is not done yet is undone, for another conductor", drain=setting.drain)
        working.cancel()
        await asyncio.wait({working})
    else:
        working.result()
    return await ordered


async def _work(store: PostgresStore, setting: ConductorSetting, policy: PolicySettings, stop: asyncio.Event) -> None:
    """Keep node tasks moving, and deliver hooks and carry out jobs beside it."""
    library = CatalogLibrary()
    async with asyncio.TaskGroup() as group:
        group.create_task(annealer.run(store, library, stop, policy))
        group.create_task(lifecycle.watch(store, setting.missing_after, stop))
        group.create_task(serving.watch(store, stop))
        group.create_task(run_errands(store, setting.data, library, stop))
        group.create_task(retention.run(store, lambda: read_keep(setting.data, os.environ), stop))


def _policy(setting: ConductorSetting) -> PolicySettings:
    return read_policy({"data": setting.data}, os.environ)


def _policy_again(setting: ConductorSetting, policy: PolicySettings) -> PolicySettings:
    """The policy as it is set now; the one before when that is wrong."""
    try:
        return _policy(setting)
    except RackwrightError as error:
        log.error("the settings are wrong: they stay as they were", why=str(error))
        return policy


async def _share(setting: ConductorSetting, options: Mapping[str, Any], orders: Orders, notices: Notices) -> None:
    """Let that many processes do the work."""
    async with database(setting.dsn, setting.data) as dsn:
        job = Job(
            name="conductor",
            arguments=("conductor", "--workers", "1", "--drain", str(setting.drain)),
            environment={"RACKWRIGHT_DSN": dsn, "RACKWRIGHT_DATA": str(setting.data)},
            drain=setting.drain,
            hung_after=HUNG_AFTER,
        )

        def count() -> int:
            return read_setting(ConductorSetting, "conductor", options, os.environ).workers

        await lead(job, setting.workers, orders, notices, count)
    log.info("conductors ended")
