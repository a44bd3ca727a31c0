"""Routes, and the call that an endpoint gets: the request, its caller, and the services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rackwright.api import bodies
from rackwright.api.auth import Caller, Level, identify
from rackwright.api.services import Services
from rackwright.core.audit import Asked
from rackwright.core.ports import Store
from rackwright.engine.behalf import OnBehalf

PREFIX = "/api/v1"
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One request whose caller may make it."""

    request: Request
    caller: Caller
    services: Services
    limit: int

    @property
    def path(self) -> dict[str, Any]:
        """The parameters of the path."""
        return self.request.path_params

    @property
    def store(self) -> Store:
        """The store for changes, in which everything is noted as asked for by this caller."""
        client, state = self.request.client, self.request.state
        asked = Asked(self.caller.name, client.host if client else "", getattr(state, "request_id", ""))
        return OnBehalf(self.services.store, asked)

    async def body(self, kind: type[T]) -> T:
        """The body as ``kind`` (see ``bodies.read``)."""
        return await bodies.read(self.request, kind, self.limit)

    async def some(self, kind: type[T]) -> list[T]:
        """The body as one ``kind`` or a list of them (see ``bodies.read_some``)."""
        return await bodies.read_some(self.request, kind, self.limit)

    def query(self, kind: type[T]) -> T:
        """The query parameters as ``kind`` (see ``bodies.query``)."""
        return bodies.query(self.request, kind)


Endpoint = Callable[[Call], Awaitable[Response]]


def route(method: str, path: str, endpoint: Endpoint, needs: Level, limit: int = bodies.BODY_LIMIT) -> Route:
    """A route: who may call it and how many bytes its body may have are settled before the endpoint is asked."""

    async def serve(request: Request) -> Response:
        services: Services = request.app.state.services
        caller = await identify(request, services.views, services.rack_tokens, needs)
        return await endpoint(Call(request, caller, services, limit))

    return Route(path, serve, methods=[method], name=endpoint.__name__)
