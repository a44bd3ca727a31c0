"""Where a node stands, and what holds it there."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import whole
from rackwright.engine import holding, moving
from rackwright.engine.moving import Move


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rack in which a node is to stand, the address that it has there, and whether deployments are to let go of it
    (see ``moving.Move``)."""

    rack: str
    address: str | None = None
    force: bool = False


class Holder(msgspec.Struct, frozen=True):
    """A deployment in which a node is bound."""

    name: str


async def node_deployments(call: Call) -> Response:
    """The deployments of people in which a node is bound."""
    return whole([Holder(name) for name in await holding.holders(call.services.store, call.path["name"])])


async def move_node(call: Call) -> Response:
    """Let a node stand in another rack; refused while a deployment holds it or something is done with it."""
    place = await call.body(Place)
    wanted = Move(rack=place.rack, address=place.address, force=place.force)
    library = call.services.catalogs
    return reply(await moving.move(call.store, library, call.path["name"], wanted, call.caller.name))


routes = [
    route("GET", f"{PREFIX}/nodes/{{name}}/deployments", node_deployments, "read"),
    route("POST", f"{PREFIX}/nodes/{{name}}/move", move_node, "admin"),
]
