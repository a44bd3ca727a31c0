"""Bodies in and out: JSON to typed structs, with limits; structs to JSON."""

from __future__ import annotations

from types import GenericAlias
from typing import Any, TypeVar, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rackwright.api.problems import TooLarge, pointer
from rackwright.core.errors import InvalidInput

MIB = 1 << 20
BODY_LIMIT = 8 * MIB
CATALOG_LIMIT = 64 * MIB

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def reply(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(_encoder.encode(value), status, headers, "application/json")


def nothing() -> Response:
    """The answer to a deletion: 204 without a body."""
    return Response(status_code=204)


async def read(request: Request, kind: type[T], limit: int) -> T:
    """The body as ``kind``. Raises InvalidInput with a pointer to what is wrong, TooLarge above ``limit`` bytes."""
    return cast(T, _decode(await _bytes(request, limit), kind))


async def read_some(request: Request, kind: type[T], limit: int) -> list[T]:
    """The body as a list of ``kind``, or as one of them alone. Raises as ``read`` does."""
    data = await _bytes(request, limit)
    if data.lstrip().startswith(b"["):
        return cast(list[T], _decode(data, GenericAlias(list, (kind,))))
    return [cast(T, _decode(data, kind))]


def query(request: Request, kind: type[T]) -> T:
    """The query parameters as ``kind``; one that ``kind`` does not know, or a wrong value, raises InvalidInput."""
    given = dict(request.query_params)
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        what, where = pointer(error)
        raise InvalidInput(f"a query parameter does not fit: {what}", where=f"query{where}") from None


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        what, where = pointer(error)
        raise InvalidInput(f"the body does not fit: {what}", where=where or "/", mend="see the API reference") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body is not JSON: {error}", mend="send UTF-8 encoded JSON") from None


async def _bytes(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit // MIB} MiB", mend="send it in smaller parts")
