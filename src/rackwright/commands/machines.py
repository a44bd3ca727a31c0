"""What a rack does with machines, wired together: replica, door, desk, power switches, and the jigs that use them.

``rackwright rack run --machines`` starts it beside the claims loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import structlog

from rackwright.core.errors import RackwrightError
from rackwright.core.jig import Jig
from rackwright.core.power import PowerFactory
from rackwright.core.served import Network
from rackwright.drivers.image.archive import agent_archive
from rackwright.drivers.jig.agent import AgentJig
from rackwright.drivers.jig.boot import BootJig
from rackwright.drivers.jig.power import PowerJig
from rackwright.drivers.jig.rack_key import public_key
from rackwright.rack.carrying import Carrying
from rackwright.rack.client import RackClient
from rackwright.rack.desk import AgentDesk
from rackwright.rack.dhcp.choice import lease_books
from rackwright.rack.dhcp.choice import servers as dhcp_servers
from rackwright.rack.dhcp.kea import ROWS_FROM
from rackwright.rack.door.app import build
from rackwright.rack.door.inside import Inside
from rackwright.rack.door.server import bind, opened
from rackwright.rack.door.service import DoorBoot
from rackwright.rack.images import GIB, ImageCache
from rackwright.rack.lending import Lending
from rackwright.rack.rack import RackSetting, only_one, seat_of
from rackwright.rack.region import Region
from rackwright.rack.relay import Relay
from rackwright.rack.replica import Replica
from rackwright.rack.seat import Seat
from rackwright.rack.serving import Serving
from rackwright.rack.stocking import Stocking
from rackwright.rack.switchboard import Switchboard
from rackwright.store.embedded import running

LINGER = 30.0
"""Seconds that the database of DHCP's hosts stays without a process of the rack."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class MachinesSetting:
    """How a rack serves machines: which DHCP server answers, from how many hosts on it has them in a database, whether
    DNS and TFTP are answered, whether the rack's addresses come along with the work, where the door listens (no host:
    on every IPv4 address), and how many GiB the image cache may have."""

    dhcp: str = "kea"
    dhcp_rows: int = ROWS_FROM
    dns: bool = True
    tftp: bool = True
    carry_addresses: bool = False
    door_host: str = ""
    door_port: int = 8480
    image_cache: int = 50


@asynccontextmanager
async def machine_side(rack: RackSetting, setting: MachinesSetting, seat: Seat) -> AsyncIterator[dict[str, Jig]]:
    """Serve machines while the context lasts; gives the jigs that need them. Without the ``seat`` it only stands by.
    What breaks here ends the context too.

    Raises ``Conflict`` when another process serves from the data folder, ``InvalidInput`` when the door cannot listen.
    """
    folder = os.path.join(rack.data, "machines")
    with only_one(folder):
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(RackClient(rack.api, rack.name, rack.token))
            region = await stack.enter_async_context(Region(rack.api, rack.name, rack.token))
            replica = Replica(os.path.join(folder, "replica"), rack.token)
            stack.callback(replica.close)
            images = ImageCache(os.path.join(folder, "images"), region, setting.image_cache * GIB)
            stack.push_async_callback(images.close)
            relay = Relay(region, os.path.join(folder, "told"))
            stack.callback(relay.close)
            desk = AgentDesk(os.path.join(folder, "agents"))
            switches = Switchboard(replica, client.power, relay.mention, power_drivers())
            stack.push_async_callback(switches.close)
            following = _following(rack, setting, seat, client, replica)
            if not seat.held:
                await following.rest()
            images.changed = following.tells("images", images.state)
            stocking = Stocking(replica, images)
            await stack.enter_async_context(
                _all_the_time(
                    relay.run(),
                    following.follow(),
                    seat.while_held(following.answer),
                    seat.while_held(switches.watch),
                    stocking.run(),
                )
            )
            behind = Inside(
                replica=replica,
                images=images,
                desk=desk,
                relay=relay,
                registry=region,
                archive=agent_archive,
                ssh_key=public_key(os.path.join(rack.data, "jigs", "ssh")),
            )
            serving = opened(build(behind), bind(setting.door_host, setting.door_port))
            await stack.enter_async_context(_all_the_time(_for_ever(await stack.enter_async_context(serving))))
            stack.callback(desk.close)
            yield {
                "agent": AgentJig(desk, switches),
                "boot": BootJig(DoorBoot(replica, images)),
                "power": PowerJig(switches),
            }


def _following(
    rack: RackSetting, setting: MachinesSetting, seat: Seat, client: RackClient, replica: Replica
) -> Serving:
    """What follows the region, with the servers that answer."""

    def networks() -> tuple[Network, ...]:
        known = replica.rack()
        return known.networks if known is not None else ()

    folder, carries = os.path.join(rack.data, "machines", "dhcp"), setting.carry_addresses
    servers = dhcp_servers(
        setting.dhcp, folder,
        tftp=setting.tftp, dns=setting.dns, tied=carries, database=_database, rows_from=setting.dhcp_rows,
    )  # fmt: skip
    books = lease_books(setting.dhcp, folder)
    lending = Lending(client, seat_of(rack.data), books, networks)
    return Serving(client, replica, servers, setting.door_port, lending, Carrying(seat, networks) if carries else None)


def _database(folder: str) -> AbstractAsyncContextManager[str]:
    """The PostgreSQL of a rack's own. It outlives a process that was killed, as DHCP does, until the next one is up."""
    return running(Path(folder), linger=LINGER)


def power_drivers() -> dict[str, PowerFactory]:
    """Every installed power driver by its name. One that cannot be loaded is left out, and the log says why."""
    drivers: dict[str, PowerFactory] = {}
    for point in entry_points(group="rackwright.power"):
        try:
            drivers[point.name] = point.load()
        except Exception as error:
            log.exception("power driver cannot be loaded", driver=point.name, reason=str(error))
    return drivers


@asynccontextmanager
async def _all_the_time(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run loops while the context lasts. One that breaks cancels what is in the context and gives its error."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(loop) for loop in loops]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
    except ExceptionGroup as errors:
        known = errors.subgroup(RackwrightError) or errors
        raise known.exceptions[0] from None


async def _for_ever(serving: asyncio.Task[None]) -> None:
    """Wait for the door, which ends only when it breaks."""
    await asyncio.shield(serving)
    raise RackwrightError("the door has closed by itself", mend="see the rack's log")
