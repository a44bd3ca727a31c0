"""Events: what happened, as a list or as a stream."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import Limit
from rackwright.api.streaming import event_stream, last_event, newest

_LOOK_AGAIN = 2.0


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events with ids above ``after`` (-1: the newest ``limit``); ``wait``: seconds to wait for the first."""

    after: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
    deployment: str | None = None
    limit: Limit = 500


async def list_events(call: Call) -> Response:
    """Events in order, and ``last``: the id to go on from. A stream when ``text/event-stream`` is accepted: it begins
    after Last-Event-ID, or ``after``, or now."""
    query = call.query(EventsQuery)
    if "text/event-stream" in call.request.headers.get("accept", ""):
        return await _stream(call, query)
    after = -1 if query.after is None else query.after
    found = await _wait_for(call, query, after)
    return reply({"items": found, "last": found[-1]["id"] if found else max(after, 0)})


async def _wait_for(call: Call, query: EventsQuery, after: int) -> list[dict[str, Any]]:
    services, clock = call.services, asyncio.get_running_loop().time
    until = clock() + query.wait
    with services.news.watch("event") as bell:
        while True:
            found = await services.views.events(after=after, deployment=query.deployment, limit=query.limit)
            left = until - clock()
            if found or left <= 0 or services.news.stopping:
                return found
            await bell.wait(min(left, _LOOK_AGAIN))


async def _stream(call: Call, query: EventsQuery) -> Response:
    last = last_event(call.request)
    after = query.after if last is None else last
    if after is None or after < 0:
        after = await newest(call.services)
    return event_stream(call.services, after, query.deployment)


routes = [route("GET", f"{PREFIX}/events", list_events, "read")]
