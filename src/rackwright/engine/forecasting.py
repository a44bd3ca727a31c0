"""How long plans will take, told before they begin: from durations of the past, under what limits them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from rackwright.core.forecast import Room, forecast
from rackwright.core.limits import SITE
from rackwright.core.node_task import Neighbourhood
from rackwright.core.ports import Transaction


async def of_plan(
    tx: Transaction,
    deployment: int,
    near: Neighbourhood,
    names: Mapping[int, str],
    taken: Mapping[int, tuple[str, ...]],
) -> dict[str, Any]:
    """The part ``forecast`` of a plan's summary; ``taken`` tells at which places rows take shares of budgets. A
    deployment of which nothing ever ran has none."""
    seconds = await tx.typical_seconds(deployment)
    if not seconds:
        return {}
    racks = {row.rack for row in near.rows.values() if row.rack is not None}
    room = Room(limits=await tx.limits_of({SITE, deployment, *racks}), budgets=await tx.budgets(), taken=taken)
    steering = await tx.steering(deployment)
    rule = steering.waves if steering is not None else None
    progress = steering.progress if steering is not None else None
    count = len(progress.sizes) if progress is not None else 1
    # It may be millions of rows: other requests go on meanwhile.
    found = await asyncio.to_thread(forecast, near.rows, near.barriers, seconds, room, names, rule, count)
    return {} if found is None else {"forecast": msgspec.to_builtins(found)}
