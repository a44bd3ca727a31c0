"""Keeps the lease: tells the api again and again that the rack lives, what it works on, and what it keeps running.

Thousands of racks have nothing to do most of the time. One that waits for work has said so: that is a sign of life, and
it tells it but once.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from rackwright.core.messages import Heartbeat, HeartbeatAnswer
from rackwright.rack.attempt import Workshop
from rackwright.rack.claims import ClaimsLoop, Pulse
from rackwright.rack.client import RackClient, patiently

per_lease = 3
"""Heartbeats in the time of one lease, of one that has work: two may get lost."""

idle_part = 0.75
"""Of the lease: the time after which one that has none says that it is there, if it has not asked for work since."""

log = structlog.get_logger()


async def keep_lease(client: RackClient, claims: ClaimsLoop, workshop: Workshop, pulse: Pulse) -> None:
    """Send heartbeats for ever; end the attempts that the api says are no longer this rack's, and stop what is kept for
    node tasks that are no more. ``pulse`` gives what the process tells of itself with each."""

    async def beat() -> HeartbeatAnswer:
        return await client.heartbeat(
            Heartbeat(
                incarnation=claims.incarnation, working=claims.working(), keeping=workshop.kept(), process=pulse()
            )
        )

    dropping: asyncio.Task[None] | None = None
    await claims.leased.wait()
    while True:
        began = time.monotonic()
        answer = await patiently("heartbeat", beat)
        claims.cancel(answer.cancel, "the api says that it is no longer this rack's")
        if answer.lost:
            claims.place.lose("the api says that its lease has ended")
        elif claims.place.held:
            claims.place.take(claims.lease, began)
        if answer.drop and (dropping is None or dropping.done()):
            # Beside the heartbeats: a polite stop may take longer than the lease.
            dropping = asyncio.create_task(workshop.drop(answer.drop))
            dropping.add_done_callback(_tell)
        await _next_due(claims, workshop)


async def _next_due(claims: ClaimsLoop, workshop: Workshop) -> None:
    """Wait until a heartbeat is due after the one that was just sent."""
    turn, sent = claims.lease / per_lease, time.monotonic()
    while True:
        idle = not claims.working() and not workshop.kept()
        due = max(sent, claims.spoke) + claims.lease * idle_part if idle else sent + turn
        left = due - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(left, turn))


def _tell(dropping: asyncio.Task[None]) -> None:
    if not dropping.cancelled() and dropping.exception() is not None:
        log.error("what nobody wants could not be stopped; it is tried again", exc_info=dropping.exception())
