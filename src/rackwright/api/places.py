"""Where a node stands, and what holds it there."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import whole
from rackwright.engine import holding, moving


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rack in which a node is to stand."""

    rack: str


class Holder(msgspec.Struct, frozen=True):
    """A deployment in which a node is bound."""

    name: str


async def node_deployments(call: Call) -> Response:
    """The deployments of people in which a node is bound."""
    return whole([Holder(name) for name in await holding.holders(call.services.store, call.path["name"])])


async def move_node(call: Call) -> Response:
    """Let a node stand in another rack; refused while a deployment holds it or something is done with it."""
    place = await call.body(Place)
    return reply({"moved": await moving.move(call.store, call.path["name"], place.rack)})


routes = [
    route("GET", f"{PREFIX}/nodes/{{name}}/deployments", node_deployments, "read"),
    route("POST", f"{PREFIX}/nodes/{{name}}/move", move_node, "admin"),
]
