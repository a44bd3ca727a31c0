"""Power: how a node is switched, as people set it and as its rack asks for it. Switching itself is a verb."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.core.errors import InvalidInput
from rackwright.core.power import NodePowers, PowerSetting
from rackwright.engine import power
from rackwright.engine.sealing import Seal


class NodesNamed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The nodes that a rack asks for."""

    nodes: list[str]


async def set_power(call: Call) -> Response:
    """Say how a node is switched. The password is sealed, and never shown again."""
    setting = await call.body(PowerSetting)
    await power.set_power(call.store, call.services.catalogs, _seal(call), call.path["name"], setting)
    return nothing()


async def drop_power(call: Call) -> Response:
    """Forget how a node is switched."""
    await power.set_power(call.store, call.services.catalogs, _seal(call), call.path["name"], None)
    return nothing()


async def powers(call: Call) -> Response:
    """How nodes of the calling rack are switched, with their passwords."""
    asked = await call.body(NodesNamed)
    found = await power.powers(call.services.store, _seal(call), call.caller.rack, asked.nodes)
    return reply(NodePowers(found), 200, {"Cache-Control": "no-store"})


def _seal(call: Call) -> Seal:
    if call.services.seal is None:
        raise InvalidInput("this api has no key to seal secrets with", mend="give it a data folder")
    return call.services.seal


routes = [
    route("PUT", f"{PREFIX}/nodes/{{name}}/power", set_power, "admin"),
    route("DELETE", f"{PREFIX}/nodes/{{name}}/power", drop_power, "admin"),
    route("POST", f"{PREFIX}/racks/{{name}}/power", powers, "rack"),
]
