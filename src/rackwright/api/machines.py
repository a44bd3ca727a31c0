"""Machines: what racks tell of theirs."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import MIB, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.core.machine_messages import Register
from rackwright.engine import enlisting
from rackwright.engine.observing import Observation

LIMIT = 16 * MIB
"""Bytes of a request: above what one machine may tell, so that it gets a clear answer."""


class Observations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rack saw of its machines."""

    items: list[Observation]


class Registers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Machines that register at a rack."""

    items: list[Register]


async def enlist(call: Call) -> Response:
    """Make a machine that registers at the rack a node, or find the one that it is."""
    services = call.services
    said = await call.body(Register)
    rack = call.caller.rack
    found = await enlisting.enlist(services.store, services.catalogs, rack, said, services.clock())
    return reply(found)


async def enlist_many(call: Call) -> Response:
    """Make machines that register at the rack nodes, in one transaction. Null stands for each that has to ask alone."""
    said = await call.body(Registers)
    return reply({"items": await call.services.racks.enlist(call.caller.rack, said.items)})


async def observed(call: Call) -> Response:
    """Take what the rack saw of its machines, all or nothing."""
    said = await call.body(Observations)
    await call.services.racks.observe(call.caller.rack, said.items)
    return reply({})


_RACK = f"{PREFIX}/racks/{{name}}"
routes = [
    route("POST", f"{_RACK}/enlist", enlist, "rack", LIMIT),
    route("POST", f"{_RACK}/enlist:batch", enlist_many, "rack", LIMIT),
    route("POST", f"{_RACK}/observed", observed, "rack", LIMIT),
]
