"""Keeps the lease: tells the api again and again that the rack lives and what it works on."""

from __future__ import annotations

import asyncio

from rackwright.core.messages import Heartbeat
from rackwright.rack.claims import ClaimsLoop
from rackwright.rack.client import RackClient, patiently

per_lease = 3
"""Heartbeats in the time of one lease: two may get lost."""


async def keep_lease(client: RackClient, claims: ClaimsLoop) -> None:
    """Send heartbeats for ever, and end the attempts that the api says are no longer this rack's."""
    await claims.leased.wait()
    while True:
        await asyncio.sleep(claims.lease / per_lease)
        answer = await patiently(
            "heartbeat", lambda: client.heartbeat(Heartbeat(incarnation=claims.incarnation, working=claims.working()))
        )
        claims.cancel(answer.cancel, "the api says that it is no longer this rack's")
