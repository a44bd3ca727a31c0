"""The processes of the product itself."""

from __future__ import annotations

from starlette.responses import Response

from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import whole


async def list_services(call: Call) -> Response:
    """Every process: api, conductors, racks and all others, as it last told of itself."""
    return whole(await call.services.presence.roster.services())


routes = [route("GET", f"{PREFIX}/services", list_services, "read")]
