"""What a conductor does beside moving node tasks: the delivery of hooks, and coarse jobs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rackwright.commands.keys import webhook_key
from rackwright.core.hooks import Courier, Kind, events_of
from rackwright.drivers.hook.function import FunctionCourier, find_functions
from rackwright.drivers.hook.script import ScriptCourier
from rackwright.drivers.hook.webhook import WebhookCourier
from rackwright.engine import hooks, jobs
from rackwright.engine.library import CatalogLibrary
from rackwright.store.job_worker import carry_out
from rackwright.store.postgres import PostgresStore

HOOKS = "hooks"
"""The folder in the data folder in which scripts of hooks run."""


async def run_errands(store: PostgresStore, data: Path, library: CatalogLibrary, stop: asyncio.Event) -> None:
    """Carry out jobs, the delivery of hooks among them, until ``stop`` is set."""
    functions = find_functions()
    await hooks.register(store, {name: events_of(tuple(each.events)) for name, each in functions.items()})
    webhooks, scripts = WebhookCourier(webhook_key(data, os.environ)), ScriptCourier(str(data / HOOKS))
    await scripts.open()
    couriers: dict[Kind, Courier] = {"webhook": webhooks, "python": FunctionCourier(functions), "script": scripts}
    try:
        await carry_out(store.dsn, jobs.kinds(store, library, couriers), jobs.EVERY, stop)
    finally:
        await webhooks.close()
        scripts.close()
