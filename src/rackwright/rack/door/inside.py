"""What stands behind the door, and what every answer needs of a request: a body with a limit, the node, the URL."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from rackwright.core.errors import InvalidInput, NotAllowed
from rackwright.core.machine_messages import Register
from rackwright.core.served import ServedNode
from rackwright.rack.desk import AgentDesk
from rackwright.rack.images import ImageCache
from rackwright.rack.region import Enlisted
from rackwright.rack.relay import Relay
from rackwright.rack.replica import Replica

MIB = 1 << 20

quiet_after_refusal = 60.0
"""Seconds in which a second refusal of the same node is not told to the region."""

enlist_at_once = 16
"""Strangers that are enlisted at the same time; the others wait."""

_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")

_BEHIND = "rackwright.behind"
"""Name in the ASGI scope."""

_Body = TypeVar("_Body")

log = structlog.get_logger()


class TooLarge(InvalidInput):
    """The body is over the limit."""


class Registry(Protocol):
    """Who makes strangers into nodes: the region."""

    async def enlist(self, register: Register) -> Enlisted:
        """Who this machine is from now on."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What the door answers from. ``archive`` gives the agent for installed systems; ``loaders`` is the folder with
    iPXE's own files; ``ssh_key`` is the public key with which the rack signs in on machines."""

    replica: Replica
    images: ImageCache
    desk: AgentDesk
    relay: Relay
    registry: Registry
    archive: Callable[[], bytes] | None = None
    loaders: str = "/usr/lib/ipxe"
    ssh_key: str = ""
    refusals: dict[str, float] = field(default_factory=dict)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(enlist_at_once))

    def node_of(self, token: str) -> ServedNode:
        """The node with this token, with what it boots now. Raises ``NotAllowed``."""
        node = self.replica.node_by_token(token)
        if node is None:
            mend = "boot it over the network again, it then gets its own"
            raise NotAllowed("this token belongs to no machine of this rack, or is void", where="token", mend=mend)
        return structs.replace(node, bootenv=self.replica.effective_bootenv(node))

    async def refuse(self, node: ServedNode, macs: tuple[str, ...], source: str) -> NotAllowed:
        """Tell people that a token is in wrong hands; gives the error for the machine."""
        now = time.monotonic()
        log.warning("a machine came with another's token", node=node.name, macs=macs, source=source)
        if now - self.refusals.get(node.name, -quiet_after_refusal) >= quiet_after_refusal:
            self.refusals[node.name] = now
            fact = {"why": "another machine came with its token", "macs": list(macs), "source": source}
            await self.relay.note(node.name, {"observed.refused": fact})
        owns = ", ".join(node.macs) or "none"
        what = f"the token is that of {node.name} (MACs: {owns}), but this machine has {', '.join(macs) or 'none'}"
        return NotAllowed(what, where="token", mend=f"add the MAC to `desired.macs` of {node.name} if it is that one")


def put_behind(scope: Scope, behind: Inside) -> None:
    """Let a request find what stands behind the door that takes it."""
    scope[_BEHIND] = behind


def inside(request: Request) -> Inside:
    """What stands behind the door that took this request."""
    found: Inside = request.scope[_BEHIND]
    return found


def door_url(request: Request) -> str:
    """The door's URL as this machine reaches it. Raises ``InvalidInput`` for a host that is none."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise InvalidInput("the request names no host", where="Host", mend="send the header Host (HTTP/1.1)")
    return f"http://{host}"


def bearer(request: Request) -> str:
    """The token of a request, empty when it has none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


async def read(request: Request, kind: type[_Body], limit: int) -> _Body:
    """The body as ``kind``; never holds more than ``limit`` bytes. Raises ``TooLarge`` or ``InvalidInput``."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            mend = "send less: the agent leaves the large parts of its inventory out"
            raise TooLarge(f"the body is over {limit} bytes", where=request.url.path, mend=mend)
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        what = f"the body does not fit: {error}"
        raise InvalidInput(what, where=request.url.path, mend="is this agent of the rack's version?") from None


def reply(value: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
