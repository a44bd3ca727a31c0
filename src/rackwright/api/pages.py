"""Lists in pages: ``{items, next}``, where ``next`` is an opaque cursor for the page that follows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import Call
from rackwright.core.errors import InvalidInput

T = TypeVar("T")
Key = TypeVar("Key", str, int)
Limit = Annotated[int, msgspec.Meta(ge=1, le=5000)]


class Page(msgspec.Struct, frozen=True):
    """A part of a list; ``next`` is null on the last one."""

    items: Sequence[Any]
    next: str | None = None


def whole(items: Sequence[Any]) -> Response:
    """A list that comes in one page."""
    return reply(Page(items))


def page(call: Call, items: Sequence[T], limit: int, key: Callable[[T], str | int]) -> Response:
    """One page of at most ``limit``; ``items`` holds one more when there is a page after it."""
    if len(items) <= limit:
        return reply(Page(items))
    shown = items[:limit]
    cursor = base64.urlsafe_b64encode(msgspec.json.encode(key(shown[-1]))).decode().rstrip("=")
    url = call.request.url.include_query_params(cursor=cursor)
    return reply(Page(shown, cursor), headers={"Link": f'<{url.path}?{url.query}>; rel="next"'})


def after(cursor: str | None, first: Key) -> Key:
    """The key that a cursor holds; ``first`` without one. Raises InvalidInput for a cursor that is not of this list."""
    if cursor is None:
        return first
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=type(first))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise InvalidInput(
            "the cursor is not one of this list", where="query/cursor", mend="give `next` of the page before"
        ) from None
