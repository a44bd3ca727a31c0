"""What racks ask for: work, the taking of results, the prolonging of leases, and the keeping of logs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from msgspec import structs
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.services import Services
from rackwright.core.errors import RackwrightError
from rackwright.core.messages import ClaimRequest, Claims, Heartbeat, LogChunks, Results
from rackwright.core.services import Beat, Process
from rackwright.core.texts import packed
from rackwright.engine.transact import transact

LONGEST_WAIT = 60.0
"""Seconds that a claim may wait for work."""
LOOK_AGAIN = 2.0
"""Seconds after which it is looked for work without news: that whose back-off is over makes none."""

log = structlog.get_logger()


async def claim(call: Call) -> Response:
    """Hand out node tasks; wait for some when there are none, but not for a rack that has gone or when stopping."""
    services, rack = call.services, call.caller.rack
    request = await call.body(ClaimRequest)
    _hear(call, request.process)
    clock = asyncio.get_running_loop().time
    began = clock()
    until, asked = began + min(request.wait, LONGEST_WAIT), request
    with services.news.watch("work", str(rack)) as bell:
        while True:
            items = await services.racks.claim(rack, asked)
            left = until - clock()
            if items or left <= 0 or services.news.stopping:
                return reply(packed(Claims(items, services.lease), request.knows))
            rang = await bell.wait(left)
            if not rang or await call.request.is_disconnected():
                return reply(Claims([], services.lease))
            # Whose cable was pulled is still here: only what it said when it came prolongs its lease.
            asked = structs.replace(request, waited=clock() - began)


async def look_for_work(services: Services) -> None:
    """Ring for the racks that wait and have work, for ever: one question for all of them, however many they are."""
    while True:
        await asyncio.sleep(LOOK_AGAIN)
        try:
            for rack in await _with_work(services, services.news.awaited("work")):
                services.news.tell("work", str(rack))
        except RackwrightError as error:
            log.warning("nobody could look for work", why=str(error))


async def _with_work(services: Services, waiting: Sequence[str]) -> set[int]:
    """Those of the racks that wait for which there may be work."""
    if not waiting:
        return set()
    racks, now = {int(rack): 1 for rack in waiting}, services.clock()
    return set(await transact(services.store, lambda tx: tx.ready(racks, now)))


async def results(call: Call) -> Response:
    """Take results; the answer has one verdict for each, and the next node tasks if it was asked for them."""
    services = call.services
    batch = await call.body(Results)
    if services.news.stopping:
        batch = structs.replace(batch, next=None)
    verdicts = await services.racks.exchange(call.caller.rack, batch)
    if batch.next is not None and verdicts.next is not None:
        verdicts = structs.replace(verdicts, next=packed(verdicts.next, batch.next.knows))
    return reply(verdicts)


async def heartbeat(call: Call) -> Response:
    """Prolong the leases of what the rack works on; the answer says what is no longer its own."""
    beat = await call.body(Heartbeat)
    _hear(call, beat.process)
    return reply(await call.services.racks.heartbeat(call.caller.rack, beat))


def _hear(call: Call, beat: Beat | None) -> None:
    """Keep what a rack tells of its process with the next beat of this one."""
    if beat is not None:
        call.services.presence.tell(_of_rack(call, beat))


def _of_rack(call: Call, beat: Beat) -> Beat:
    """The beat as that of this rack, whatever it says: a rack can speak for itself only."""
    rack, said = call.caller.rack, beat.process
    process = Process(
        id=f"rack {rack} {said.id[:64]}",
        kind="rack",
        name=call.path["name"],
        host=said.host[:255],
        pid=said.pid,
        version=said.version[:64],
        started_at=said.started_at,
    )
    return Beat(process=process, number=beat.number, state=beat.state, loop_lag=beat.loop_lag)


async def logs(call: Call) -> Response:
    """Keep pieces of the logs of the rack's own node tasks; a piece that comes again changes nothing."""
    chunks = await call.body(LogChunks)
    await call.services.logs.keep(call.caller.rack, chunks.items)
    return reply({})


_RACK = f"{PREFIX}/racks/{{name}}"
routes = [
    route("POST", f"{_RACK}/claims", claim, "rack"),
    route("POST", f"{_RACK}/results", results, "rack"),
    route("POST", f"{_RACK}/heartbeat", heartbeat, "rack"),
    route("POST", f"{_RACK}/logs", logs, "rack"),
]
