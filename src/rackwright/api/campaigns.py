"""Campaigns and budgets: verbs for many machines, carried on as waves and budgets let them."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.deployments import Nothing
from rackwright.api.pages import whole
from rackwright.core.errors import NotFound
from rackwright.engine import campaign_orders


class NewBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most so many machines at the same time at a place, or (empty) at each place of a kind; null: any number."""

    kind: str
    place: str = ""
    amount: int | None


async def list_campaigns(call: Call) -> Response:
    """Campaigns that are not over."""
    return whole(await campaign_orders.listed(call.services.store))


async def get_campaign(call: Call) -> Response:
    """One of them."""
    return await _one(call)


async def promote(call: Call) -> Response:
    """Let the next wave begin."""
    await call.body(Nothing)
    await campaign_orders.promote(call.store, call.path["id"])
    return await _one(call)


async def forgive(call: Call) -> Response:
    """Let a halted wave go on as it is."""
    await call.body(Nothing)
    await campaign_orders.forgive(call.store, call.path["id"])
    return await _one(call)


async def cancel(call: Call) -> Response:
    """Say the verb to no more machines; the answer counts those that waited."""
    await call.body(Nothing)
    return reply({"count": await campaign_orders.cancel(call.store, call.path["id"])})


async def list_budgets(call: Call) -> Response:
    """The budgets that hold for all."""
    return whole(await campaign_orders.listed_budgets(call.services.store))


async def put_budget(call: Call) -> Response:
    """Set a budget, or take it away."""
    given = await call.body(NewBudget)
    await campaign_orders.set_budget(call.store, given.kind, given.place, given.amount)
    return nothing()


async def _one(call: Call) -> Response:
    id = call.path["id"]
    found = await campaign_orders.listed(call.services.store, [id])
    if not found:
        raise NotFound(f"there is no campaign {id}", mend="`rackwright campaign list` lists those that are not over")
    return reply(found[0])


routes = [
    route("GET", f"{PREFIX}/campaigns", list_campaigns, "read"),
    route("GET", f"{PREFIX}/campaigns/{{id:int}}", get_campaign, "read"),
    route("POST", f"{PREFIX}/campaigns/{{id:int}}/promote", promote, "admin"),
    route("POST", f"{PREFIX}/campaigns/{{id:int}}/forgive", forgive, "admin"),
    route("POST", f"{PREFIX}/campaigns/{{id:int}}/cancel", cancel, "admin"),
    route("GET", f"{PREFIX}/budgets", list_budgets, "read"),
    route("PUT", f"{PREFIX}/budgets", put_budget, "admin"),
]
