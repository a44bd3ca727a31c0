"""Choosing machines, and what they are chosen by: pools, zones, tags and the rules that give tags."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import whole
from rackwright.core.estate import GroupKind
from rackwright.core.wishes import Wish
from rackwright.engine import picking, tag_orders


class NewRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold for a node to have the tag."""

    expression: str


async def allocate(call: Call) -> Response:
    """Give machines that are as wished: all of them or none. The answer has one item for each."""
    wish = await call.body(Wish)
    return whole(await picking.allocate(call.store, call.services.catalogs, wish, call.services.clock()))


async def outlook(call: Call) -> Response:
    """Tell what there is for a wish; nothing is done."""
    return reply(await picking.outlook(call.services.store, await call.body(Wish)))


async def list_pools(call: Call) -> Response:
    """Pools, with their nodes counted."""
    return await _groups(call, "pool")


async def list_zones(call: Call) -> Response:
    """Zones, with their nodes counted."""
    return await _groups(call, "zone")


async def list_tags(call: Call) -> Response:
    """Tags, with their nodes counted."""
    return await _groups(call, "tag")


async def list_rules(call: Call) -> Response:
    """The rules that give tags."""
    return whole(await call.services.views.tag_rules())


async def put_rule(call: Call) -> Response:
    """Make or change the rule that gives a tag, and judge every node by it."""
    given = await call.body(NewRule)
    return reply(await tag_orders.put(call.store, call.services.catalogs, call.path["name"], given.expression))


async def delete_rule(call: Call) -> Response:
    """Take a rule away, and its tag from every node."""
    return reply(await tag_orders.delete(call.store, call.services.catalogs, call.path["name"]))


async def _groups(call: Call, kind: GroupKind) -> Response:
    return whole(await call.services.views.groups(kind))


routes = [
    route("POST", f"{PREFIX}/nodes:allocate", allocate, "admin"),
    route("POST", f"{PREFIX}/nodes:outlook", outlook, "read"),
    route("GET", f"{PREFIX}/pools", list_pools, "read"),
    route("GET", f"{PREFIX}/zones", list_zones, "read"),
    route("GET", f"{PREFIX}/tags", list_tags, "read"),
    route("GET", f"{PREFIX}/tag-rules", list_rules, "read"),
    route("PUT", f"{PREFIX}/tag-rules/{{name}}", put_rule, "admin"),
    route("DELETE", f"{PREFIX}/tag-rules/{{name}}", delete_rule, "admin"),
]
