"""Answers that go on: server-sent events. They end at once when the process stops, and pick up where they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import StreamingResponse

from rackwright.api.services import Services
from rackwright.core.errors import InvalidInput, StoreUnavailable

HEARTBEAT = 15.0
"""Seconds between comments that keep proxies from closing a quiet stream."""
_LOOK_AGAIN = 2.0
"""Seconds after which a stream looks without news: news may be lost."""
OPENING = b"retry: 1000\n\n"
"""Milliseconds after which a reader that was cut off comes back."""
STILL_HERE = b": still here\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

log = structlog.get_logger()


async def newest(services: Services) -> int:
    """The id of the newest event; 0 when there is none."""
    events = await services.views.events(after=-1, limit=1)
    return int(events[-1]["id"]) if events else 0


def event_stream(services: Services, after: int, deployment: str | None) -> StreamingResponse:
    """Events with ids above ``after``, as they come (WHATWG HTML, section 9.2): ``id`` is the event's, so that a
    browser that reconnects with Last-Event-ID misses none."""
    return StreamingResponse(_events(services, after, deployment), headers=HEADERS, media_type="text/event-stream")


def last_event(request: Request) -> int | None:
    """The id after which a browser that reconnects wants to go on. Raises InvalidInput for one that is no number."""
    said = request.headers.get("last-event-id")
    if said is not None and not said.isdecimal():
        raise InvalidInput("Last-Event-ID is not a number", where="header Last-Event-ID", mend="send the last id seen")
    return None if said is None else int(said)


def frame(event: dict[str, Any]) -> bytes:
    """One event as it goes over the wire."""
    return message(msgspec.json.encode(event), event["kind"], event["id"])


def message(data: bytes, kind: str, id: int | None = None) -> bytes:
    """JSON as it goes over the wire: it has no line ends, so it is one ``data`` line."""
    known = b"" if id is None else b"id: %d\n" % id
    return known + b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


async def _events(services: Services, after: int, deployment: str | None) -> AsyncIterator[bytes]:
    quiet = 0.0
    yield OPENING
    with services.news.watch("event") as bell:
        while not services.news.stopping:
            try:
                found = await services.views.events(after=after, deployment=deployment, limit=1000)
            except StoreUnavailable as error:
                log.warning("event stream ends", why=error.what)
                return
            for event in found:
                after = event["id"]
                yield frame(event)
            if found:
                quiet = 0.0
                continue
            await bell.wait(_LOOK_AGAIN)
            quiet += _LOOK_AGAIN
            if quiet >= HEARTBEAT:
                quiet = 0.0
                yield STILL_HERE
