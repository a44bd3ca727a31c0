"""Networks: their ranges, the racks that they are on, and addresses in them for many nodes at once."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.names import split, unknown
from rackwright.api.pages import whole
from rackwright.core.networks import NamedNetwork
from rackwright.engine import networks


class Whom(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes by name, and the interface at which they get or lose an address; empty: their own."""

    names: list[str]
    nic: str = ""


class NetworksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which networks: by name (``a,b,c``), or all."""

    names: str | None = None


async def list_networks(call: Call) -> Response:
    """Networks in the order of their names."""
    return whole(await call.services.views.networks(names=split(call.query(NetworksQuery).names)))


async def get_network(call: Call) -> Response:
    """One network."""
    return await _one(call, call.path["name"])


async def add_network(call: Call) -> Response:
    """Make a network."""
    wanted = await call.body(NamedNetwork)
    await networks.add(call.store, call.services.catalogs, wanted)
    return await _one(call, wanted.name, 201)


async def change_network(call: Call) -> Response:
    """Change fields of a network; ``racks`` is replaced as a whole."""
    changes: dict[str, Any] = await call.body(dict[str, Any])
    await networks.change(call.store, call.services.catalogs, call.path["name"], changes)
    return await _one(call, call.path["name"])


async def delete_network(call: Call) -> Response:
    """Take a network away; refused while nodes have addresses in it."""
    await networks.delete(call.store, call.services.catalogs, call.path["name"])
    return nothing()


async def give(call: Call) -> Response:
    """Give nodes an address each; the answer has one result for each."""
    whom = await call.body(Whom)
    return whole(await networks.give(call.store, call.services.catalogs, call.path["name"], whom.names, whom.nic))


async def release(call: Call) -> Response:
    """Take from nodes the address that they have there; the answer has one result for each."""
    whom = await call.body(Whom)
    return whole(await networks.release(call.store, call.services.catalogs, call.path["name"], whom.names, whom.nic))


async def _one(call: Call, name: str, status: int = 200) -> Response:
    views = call.services.views
    found = await views.networks(names=[name])
    if not found:
        raise unknown("network", name, [network.name for network in await views.networks()])
    return reply(found[0], status)


_ONE = f"{PREFIX}/networks/{{name}}"
routes = [
    route("GET", f"{PREFIX}/networks", list_networks, "read"),
    route("POST", f"{PREFIX}/networks", add_network, "admin"),
    route("GET", _ONE, get_network, "read"),
    route("PATCH", _ONE, change_network, "admin"),
    route("DELETE", _ONE, delete_network, "admin"),
    route("POST", f"{_ONE}/give", give, "admin"),
    route("POST", f"{_ONE}/release", release, "admin"),
]
