"""What racks ask for of what they serve: the next delta, and how far they have said to be."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.core.served import Applied, Delta

LONGEST_WAIT = 60.0
"""Seconds that a question may wait for a change."""
LOOK_AGAIN = 20.0
"""Seconds after which it looks without news: some may have been lost with the connection."""


class ServedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The generation at which the replica is, -1 for none; and how many seconds to wait for a newer one."""

    after: int = -1
    wait: float = 0.0


async def served(call: Call) -> Response:
    """What a replica at generation ``after`` lacks; waits for it, at most ``wait`` seconds. The answer is a delta: an
    empty one when there is nothing."""
    services, rack, asked = call.services, call.caller.rack, call.query(ServedQuery)
    clock = asyncio.get_running_loop().time
    until = clock() + min(asked.wait, LONGEST_WAIT)
    with services.news.watch("served", str(rack)) as bell:
        while True:
            delta = await services.racks.delta(rack, asked.after)
            left = until - clock()
            if delta is not None:
                return reply(delta)
            if left <= 0 or services.news.stopping or await call.request.is_disconnected():
                return reply(Delta(after=asked.after, generation=asked.after))
            await bell.wait(min(left, LOOK_AGAIN))


async def applied(call: Call) -> Response:
    """Take the rack's word that it answers from a generation."""
    services = call.services
    effect = await services.racks.applied(call.caller.rack, await call.body(Applied))
    if effect is not None:
        services.presence.telemetry.took_effect(effect)
    return reply({})


_RACK = f"{PREFIX}/racks/{{name}}"
routes = [
    route("GET", f"{_RACK}/served", served, "rack"),
    route("POST", f"{_RACK}/applied", applied, "rack"),
]
