"""``/agent``: the agents of machines register, fetch work, tell what they do, and bring results."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rackwright.core.errors import Conflict, NotAllowed, NotFound, Retryable
from rackwright.core.machine_messages import Ended, PhoneHome, Poll, RackKey, Register, Registered, Said
from rackwright.core.served import ServedNode
from rackwright.rack.door.inside import MIB, Inside, bearer, inside, read, reply

REGISTER_LIMIT = 4 * MIB
BODY_LIMIT = 2 * MIB
RESULT_LIMIT = 4 * MIB

heartbeat = 10.0
"""Seconds in which an agent polls again."""

enlist_patience = 20.0
"""Seconds for the region to enlist a stranger, and for the rack to learn of it; then the machine asks again."""

come_again = 5.0
"""Seconds that a machine is asked to wait."""

log = structlog.get_logger()


class Installed(msgspec.Struct, frozen=True):
    """An installer is done; ``request`` is the one that its boot environment carried."""

    request: str


async def register(request: Request) -> Response:
    """Who the machine is, and its token. A stranger is enlisted; that alone needs the region."""
    here, token = inside(request), bearer(request)
    said = await read(request, Register, REGISTER_LIMIT)
    said = msgspec.structs.replace(said, macs=tuple(mac.lower() for mac in said.macs), boot_mac=said.boot_mac.lower())
    known = await _who(here, token, said, request.client.host if request.client else "")
    node = known or await _enlisted(here, said)
    await here.desk.arrived(node.name, said)
    alive = _alive(node, said)
    if known is None and alive is None:
        # Who has enlisted it has heard all of it.
        here.relay.seen(node.name)
    else:
        await here.relay.report(node.name, _seen_at_registration(said), alive=alive)
    log.info("agent registered", node=node.name, system=said.system, request=said.request)
    token = here.replica.token(node)
    return reply(Registered(node=node.name, token=token, heartbeat=heartbeat, clock=time.time()))


async def poll(request: Request) -> Response:
    """Work for the agent; waits until there is some."""
    # Its name is all that is held of the node: most machines wait here most of the time.
    here, node = inside(request), _node(request).name
    said = await read(request, Poll, BODY_LIMIT)
    if said.facts:
        facts = {f"observed.{path}": value for path, value in said.facts.items()}
        await here.relay.report(node, facts)
    here.relay.seen(node)
    return reply(await here.desk.poll(node, said))


async def key(request: Request) -> Response:
    """The key with which the rack signs in on its machines."""
    _node(request)
    return reply(RackKey(inside(request).ssh_key))


async def say(request: Request) -> Response:
    """A piece of an attempt's log."""
    node = _node(request)
    await inside(request).desk.said(node.name, await read(request, Said, BODY_LIMIT))
    return reply({})


async def result(request: Request) -> Response:
    """How an attempt ended; the same again is harmless."""
    node = _node(request)
    taken = inside(request).desk.ended(node.name, await read(request, Ended, RESULT_LIMIT))
    return reply({"taken": taken})


async def home(request: Request) -> Response:
    """An installed system runs from its own disk."""
    here, node = inside(request), _node(request)
    said = await read(request, PhoneHome, BODY_LIMIT)
    known = {"request": said.request, "hostname": said.hostname, "boot_id": said.boot_id}
    fact = {**said.os, **known, "ssh_host_keys": list(said.ssh_host_keys)}
    await here.relay.report(node.name, {"observed.os": fact}, alive=True)
    log.info("installed system phoned home", node=node.name, request=said.request)
    return reply({})


async def installed(request: Request) -> Response:
    """An installer is done: the machine boots its own disk from now on."""
    here, node = inside(request), _node(request)
    said = await read(request, Installed, BODY_LIMIT)
    await is_installed(here, node, said.request)
    return reply({})


async def archive(request: Request) -> Response:
    """The agent for installed systems, as one Python archive."""
    _node(request)
    pack = inside(request).archive
    if pack is None:
        raise NotFound("this rack has no agent to give", where="/agent/archive", mend="install the whole of rackwright")
    return Response(await asyncio.to_thread(pack), media_type="application/zip")


async def is_installed(here: Inside, node: ServedNode, request: str) -> None:
    """Note that the installer of this request is done. Raises ``Conflict`` for another than the newest."""
    if request != node.bootenv.request:
        what = f"the installer of request {request!r} is not the one that {node.name} is to run"
        raise Conflict(what, where=node.name, mend=f"the newest request is {node.bootenv.request!r}")
    await here.replica.mark_installed(node.id, request)
    await here.relay.report(node.name, {"observed.installed": {"request": request}})
    log.info("installer is done", node=node.name, request=request)


def _node(request: Request) -> ServedNode:
    return inside(request).node_of(bearer(request))


async def _who(here: Inside, token: str, said: Register, source: str) -> ServedNode | None:
    """The node that registers; None: a stranger."""
    if token:
        node = here.node_of(token)
        owners = _owners(here, said)
        strange = {owner.id for owner in owners} - {node.id}
        if strange or (node.macs and not set(node.macs) & set(said.macs)):
            raise await here.refuse(node, said.macs, source)
        return node
    owners = _owners(here, said)
    if len(owners) > 1:
        names = ", ".join(owner.name for owner in owners)
        what = f"the MACs of this machine belong to more than one node: {names}"
        raise Conflict(what, where=", ".join(said.macs), mend="mend `desired.macs` of those that it is not")
    return owners[0] if owners else None


def _owners(here: Inside, said: Register) -> list[ServedNode]:
    """The nodes that own the machine's Ethernet addresses."""
    found = (here.replica.node_by_mac(mac) for mac in said.macs)
    return list({node.id: node for node in found if node is not None}.values())


async def _enlisted(here: Inside, said: Register) -> ServedNode:
    """Have the region make a stranger a node, and wait until the rack has it. Raises ``Retryable`` meanwhile."""
    if not said.macs:
        what = "a machine without an Ethernet address cannot be enlisted"
        raise NotAllowed(what, where="macs", mend="does the discovery system have the driver of its network card?")
    try:
        async with asyncio.timeout(enlist_patience), here.turns:
            enlisted = await here.registry.enlist(said)
            while (node := here.replica.node(enlisted.id)) is None:
                await here.replica.changed()
    except TimeoutError:
        what = "the region takes its time with this machine"
        raise Retryable(what, where=", ".join(said.macs), mend="ask again", after=come_again) from None
    except Retryable as error:
        raise Retryable(error.what, where=error.where, mend="ask again", after=come_again) from error
    log.info("machine enlisted", node=node.name, macs=said.macs)
    return node


def _seen_at_registration(said: Register) -> dict[str, Any]:
    booted = {name: getattr(said, name) for name in ("system", "request", "boot_id", "firmware", "version")}
    facts: dict[str, Any] = {"observed.booted": booted, "observed.macs": list(said.macs)}
    if said.serial:
        facts["observed.serial"] = said.serial
    return facts | {f"observed.inventory.{part}": value for part, value in said.inventory.items()}


def _alive(node: ServedNode, said: Register) -> bool | None:
    """True for the system that the machine is meant to run; nothing is said of the others."""
    wanted = node.bootenv.kind == "local" and node.bootenv.request in ("", said.request)
    return True if said.system == "installed" and wanted else None


routes = [
    Route(f"/agent/{name}", endpoint, methods=["POST"])
    for name, endpoint in (
        ("register", register),
        ("poll", poll),
        ("log", say),
        ("result", result),
        ("key", key),
        ("home", home),
        ("installed", installed),
    )
] + [Route("/agent/archive", archive)]
