"""Plans: what changes would make run. The conductor computes them; here they are asked for and read."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.deployments import one
from rackwright.api.pages import whole
from rackwright.api.services import Services
from rackwright.core.ports import PlanRecord, Transaction
from rackwright.engine import planning
from rackwright.engine.changes import Changes
from rackwright.engine.transact import transact

_LOOK_AGAIN = 1.0
"""Seconds after which a waiting reader looks without news."""


class NewPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan to be computed; ``apply``: and to be carried out at once, as it is."""

    changes: Changes = Changes()
    apply: bool = False


class PlanQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``wait``: seconds to wait for the plan to be computed (or, once it is to be applied, applied or failed)."""

    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0


class PlansQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many plans, the newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


async def request_plan(call: Call) -> Response:
    """Ask for a plan: 202, and where to read it."""
    deployment = await one(call.services.views, call.path["name"])
    given = await call.body(NewPlan)
    changes = msgspec.to_builtins(given.changes)
    id = await planning.request_plan(call.store, deployment.name, changes, apply=given.apply, by=call.caller.name)
    return reply({"id": id, "state": "requested"}, 202, {"Location": f"{PREFIX}/plans/{id}"})


async def list_plans(call: Call) -> Response:
    """Plans of a deployment, the newest first."""
    deployment, query = await one(call.services.views, call.path["name"]), call.query(PlansQuery)
    return whole(await call.services.views.plans(deployment.name, limit=query.limit))


async def get_plan(call: Call) -> Response:
    """One plan; with ``wait`` once it is computed."""
    services, id = call.services, call.path["id"]
    clock = asyncio.get_running_loop().time
    until = clock() + call.query(PlanQuery).wait
    with services.news.watch("plan", str(id)) as bell:
        while True:
            plan, deployment = await _read(services, id)
            left = until - clock()
            if _settled(plan) or left <= 0 or services.news.stopping:
                return reply({**msgspec.structs.asdict(plan), "deployment": deployment})
            await bell.wait(min(left, _LOOK_AGAIN))


async def apply_plan(call: Call) -> Response:
    """Let a computed plan be carried out, exactly as it is: it is refused if anything moved since."""
    id = call.path["id"]
    await planning.apply_plan(call.store, id)
    return reply({"id": id}, 202, {"Location": f"{PREFIX}/plans/{id}"})


async def _read(services: Services, id: int) -> tuple[PlanRecord, str]:
    async def work(tx: Transaction) -> tuple[PlanRecord, str]:
        plan = await tx.plan(id)
        return plan, (await tx.deployments([plan.deployment]))[plan.deployment].name

    return await transact(services.store, work)


def _settled(plan: PlanRecord) -> bool:
    return plan.state in ("applied", "failed") or (plan.state == "ready" and not plan.apply)


routes = [
    route("GET", f"{PREFIX}/deployments/{{name}}/plans", list_plans, "read"),
    route("POST", f"{PREFIX}/deployments/{{name}}/plans", request_plan, "admin"),
    route("GET", f"{PREFIX}/plans/{{id:int}}", get_plan, "read"),
    route("POST", f"{PREFIX}/plans/{{id:int}}/apply", apply_plan, "admin"),
]
