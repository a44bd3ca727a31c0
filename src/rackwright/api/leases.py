"""Leases of dynamic addresses: told by the process that works for a rack, asked for by the one that takes over."""

from __future__ import annotations

import time

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.core.leases import LeaseReport
from rackwright.engine import leases


class LeasesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The seat that asks: what it has told itself is left out."""

    seat: str


async def known_leases(call: Call) -> Response:
    """The leases that live and that other seats have told of."""
    return reply(await leases.known(call.services.store, call.caller.rack, call.query(LeasesQuery).seat))


async def note_leases(call: Call) -> Response:
    """Keep what a seat has given. 409 while another seat works for the rack."""
    await leases.note(call.services.store, call.caller.rack, await call.body(LeaseReport), time.time())
    return reply({})


_LEASES = f"{PREFIX}/racks/{{name}}/leases"
routes = [
    route("GET", _LEASES, known_leases, "rack"),
    route("POST", _LEASES, note_leases, "rack"),
]
