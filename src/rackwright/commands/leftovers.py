"""What a rack's process left running: it may have been killed, and not be back yet, when everything is to end."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from rackwright.drivers.jig.process import bearers, kill_all

LOOK = 0.05
"""Seconds between two looks."""

log = structlog.get_logger()


async def end_leftovers(rack: Path, grace: float) -> None:
    """End all processes that the rack with this data folder ever started, politely for ``grace`` seconds. The rack's
    own process must have ended."""
    find = partial(bearers, f"RACKWRIGHT_MARK={rack}/")
    found = find()
    for stat in found:
        with suppress(ProcessLookupError):
            os.kill(stat.pid, signal.SIGTERM)
    clock = asyncio.get_running_loop().time
    end = clock() + grace
    while find() and clock() < end:
        await asyncio.sleep(LOOK)
    await kill_all(find)
    if found:
        log.warning("the rack was not there to end its processes: they were ended", rack=rack.name, count=len(found))
