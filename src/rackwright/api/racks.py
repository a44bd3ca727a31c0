"""Racks: the processes beside the machines, as people see them. What a rack itself asks for is in ``work``."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from rackwright.api import tokens
from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.images import tell_racks
from rackwright.api.names import split, unknown
from rackwright.api.pages import whole
from rackwright.core.errors import InvalidInput
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.engine import intake, machines
from rackwright.engine.transact import transact


class NewRack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rack to be known."""

    name: str


class RackChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wished of a rack: its ``desired.*`` facts by path, null deletes; what is left out stays."""

    facts: dict[str, Any]


class RacksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which racks: by name (``a,b,c``), or all."""

    names: str | None = None


async def list_racks(call: Call) -> Response:
    """Racks in the order of their names."""
    return whole(await call.services.views.racks(names=split(call.query(RacksQuery).names)))


async def fleet(call: Call) -> Response:
    """All node tasks of all deployments, counted by state."""
    return reply({"tasks": await call.services.views.fleet()})


async def get_rack(call: Call) -> Response:
    """One rack."""
    name, views = call.path["name"], call.services.views
    found = await views.racks(names=[name])
    if not found:
        raise unknown("rack", name, [rack.name for rack in await views.racks()])
    return reply(found[0])


async def add_rack(call: Call) -> Response:
    """Make a rack known. The answer holds its token: this once, for only its SHA-256 is kept."""
    rack = await call.body(NewRack)
    token = tokens.new_token(tokens.RACK_PREFIX)
    await machines.add_rack(call.store, rack.name, tokens.digest(token))
    await tell_racks(call, [rack.name])
    location = {"Location": f"{PREFIX}/racks/{rack.name}", "Cache-Control": "no-store"}
    return reply({"name": rack.name, "token": token}, 201, location)


async def change_rack(call: Call) -> Response:
    """Change what is wished of a rack: its networks, its discovery image, whether it accepts unknown machines."""
    services, name, change = call.services, call.path["name"], await call.body(RackChange)
    strange = sorted(path for path in change.facts if not path.startswith("desired."))
    if strange:
        raise InvalidInput(f"{strange[0]} is not for people to set", where="/facts", mend="set facts below `desired`")
    rack = await transact(services.store, lambda tx: machines.scope_named(tx, "rack", name))
    writes = [FactWrite(rack.id, path, value, PEOPLE) for path, value in change.facts.items()]
    await intake.put_facts(call.store, services.catalogs, writes)
    return await get_rack(call)


async def delete_rack(call: Call) -> Response:
    """Forget a rack; refused while nodes stand in it."""
    await machines.remove(call.store, "rack", call.path["name"])
    return nothing()


routes = [
    route("GET", f"{PREFIX}/fleet", fleet, "read"),
    route("GET", f"{PREFIX}/racks", list_racks, "read"),
    route("POST", f"{PREFIX}/racks", add_rack, "admin"),
    route("GET", f"{PREFIX}/racks/{{name}}", get_rack, "read"),
    route("PATCH", f"{PREFIX}/racks/{{name}}", change_rack, "admin"),
    route("DELETE", f"{PREFIX}/racks/{{name}}", delete_rack, "admin"),
]
