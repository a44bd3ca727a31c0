"""Is the process alive, can it serve, and which version is it: open to everybody."""

from __future__ import annotations

from starlette.responses import Response

import rackwright
from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.core.errors import StoreUnavailable


async def healthz(call: Call) -> Response:
    """200 while the process answers at all."""
    return reply({"status": "ok"})


async def readyz(call: Call) -> Response:
    """200 when requests can be served; else 503 with every reason."""
    if call.services.news.stopping:
        return reply({"status": "stopping", "reasons": ["the process ends"]}, 503)
    try:
        reasons = await call.services.views.ready()
    except StoreUnavailable as error:
        reasons = [error.what]
    return reply({"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)


async def version(call: Call) -> Response:
    """The version of the product and of the API."""
    return reply({"name": "rackwright", "version": rackwright.__version__, "api": PREFIX.rsplit("/", maxsplit=1)[-1]})


routes = [
    route("GET", "/healthz", healthz, "public"),
    route("GET", "/readyz", readyz, "public"),
    route("GET", "/version", version, "public"),
]
