"""Steering deployments: pauses, aborts, windows, waves and rehearsals; and the limits of the site, racks and
deployments."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.deployments import Nothing, one
from rackwright.core.waves import WaveRule
from rackwright.engine import deployments, halting, orders


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many seconds nothing may begin."""

    seconds: float


class Windows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The windows (``Mon-Fri 22:00-06:00``) in which work may begin, by the clocks of a time zone; none: always."""

    windows: list[str]
    time_zone: str = "UTC"


class Noop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether node tasks are only rehearsed."""

    noop: bool


class NewLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most so many node tasks at the same time, null: any number; of a rack, a deployment, or else of the site."""

    amount: int | None
    rack: str | None = None
    deployment: str | None = None


async def pause(call: Call) -> Response:
    """Begin nothing for a time; what runs ends."""
    given = await call.body(Pause)
    await orders.pause(call.store, call.path["name"], given.seconds, call.services.clock())
    return await _as_it_is(call)


async def resume(call: Call) -> Response:
    """Go on after a stop or a pause."""
    await call.body(Nothing)
    await deployments.resume(call.store, call.path["name"])
    await orders.unpause(call.store, call.path["name"], call.services.clock())
    return await _as_it_is(call)


async def abort(call: Call) -> Response:
    """Give back what runs, and propose it with all that was to run; the answer counts the node tasks."""
    await call.body(Nothing)
    return reply({"count": await halting.abort(call.store, call.path["name"], call.services.clock())})


async def put_windows(call: Call) -> Response:
    """Set the windows in place of those that are set."""
    given = await call.body(Windows)
    now = call.services.clock()
    await orders.set_windows(call.store, call.path["name"], given.windows, given.time_zone, now)
    return await _as_it_is(call)


async def put_noop(call: Call) -> Response:
    """Rehearse from now on, or carry out again."""
    given = await call.body(Noop)
    await orders.set_noop(call.store, call.path["name"], given.noop, call.services.clock())
    return await _as_it_is(call)


async def put_waves(call: Call) -> Response:
    """Let the deployment go in waves, from the first one."""
    given = await call.body(WaveRule)
    await orders.set_waves(call.store, call.path["name"], given, call.services.clock())
    return await _as_it_is(call)


async def delete_waves(call: Call) -> Response:
    """Let the deployment go over all nodes at once."""
    await orders.set_waves(call.store, call.path["name"], None, call.services.clock())
    return nothing()


async def promote(call: Call) -> Response:
    """Let the next wave begin once this one is done."""
    await call.body(Nothing)
    await orders.promote(call.store, call.path["name"], call.services.clock())
    return await _as_it_is(call)


async def forgive(call: Call) -> Response:
    """Let a halted wave go on with the failures that it has."""
    await call.body(Nothing)
    await orders.forgive(call.store, call.path["name"], call.services.clock())
    return await _as_it_is(call)


async def put_limit(call: Call) -> Response:
    """Limit how many node tasks run at the same time."""
    given = await call.body(NewLimit)
    await orders.set_limit(call.store, given.amount, rack=given.rack, deployment=given.deployment)
    return reply(given)


async def _as_it_is(call: Call) -> Response:
    return reply(await one(call.services.views, call.path["name"]))


_ONE = f"{PREFIX}/deployments/{{name}}"
routes = [
    route("POST", f"{_ONE}/pause", pause, "admin"),
    route("POST", f"{_ONE}/resume", resume, "admin"),
    route("POST", f"{_ONE}/abort", abort, "admin"),
    route("PUT", f"{_ONE}/windows", put_windows, "admin"),
    route("PUT", f"{_ONE}/noop", put_noop, "admin"),
    route("PUT", f"{_ONE}/waves", put_waves, "admin"),
    route("DELETE", f"{_ONE}/waves", delete_waves, "admin"),
    route("POST", f"{_ONE}/waves/promote", promote, "admin"),
    route("POST", f"{_ONE}/waves/forgive", forgive, "admin"),
    route("PUT", f"{PREFIX}/limits", put_limit, "admin"),
]
