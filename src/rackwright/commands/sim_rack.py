"""One rack of the simulator: the rack's own code, wired for a process that it shares with thousands of others.

It claims, carries out, reports, beats and follows the region exactly as `rackwright rack run --machines` does. The
servers of DHCP and TFTP run only where machines really ask them; scripts run in this process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from starlette.types import ASGIApp

from rackwright.core.errors import Conflict
from rackwright.core.jig import Jig
from rackwright.core.power import PowerFactory
from rackwright.core.served import Applied, Delta, ServedNode
from rackwright.drivers.jig.agent import AgentJig
from rackwright.drivers.jig.boot import BootJig
from rackwright.drivers.jig.noop import NoopJig
from rackwright.drivers.jig.power import PowerJig
from rackwright.rack.client import RackClient, patiently
from rackwright.rack.desk import AgentDesk
from rackwright.rack.dhcp.choice import servers as dhcp_servers
from rackwright.rack.door.app import build
from rackwright.rack.door.inside import Inside
from rackwright.rack.door.service import DoorBoot
from rackwright.rack.images import GIB, ImageCache
from rackwright.rack.rack import Rack, RackSetting
from rackwright.rack.region import Region
from rackwright.rack.relay import Relay
from rackwright.rack.replica import Replica
from rackwright.rack.serving import WAIT, Serving
from rackwright.rack.switchboard import Switchboard

log = structlog.get_logger()

Heard = Callable[[Iterable[ServedNode]], None]


@dataclass(frozen=True)
class Servers:
    """The servers of a rack whose machines really ask for addresses: the port of its door, and whether the first stage
    is given by TFTP."""

    door: int
    tftp: bool


class _Overheard(RackClient):
    """The region, as a rack hears it; ``heard`` is told of the nodes too."""

    def __init__(self, setting: RackSetting, heard: Heard) -> None:
        super().__init__(setting.api, setting.name, setting.token)
        self._listener = heard

    async def served(self, after: int, wait: float) -> Delta:
        """See the base."""
        delta = await super().served(after, wait)
        self._listener(delta.nodes)
        return delta


class SimulatedRack:
    """A rack of the simulator. ``heard`` is told of the nodes that the region tells it of. Without ``servers`` nobody
    answers DHCP."""

    def __init__(
        self,
        setting: RackSetting,
        drivers: Mapping[str, PowerFactory],
        scripts: Jig,
        heard: Heard,
        servers: Servers | None = None,
    ) -> None:
        self.setting = setting
        self._drivers = drivers
        self._scripts = scripts
        self._heard = heard
        self._servers = servers
        self._stop, self._at_once = asyncio.Event(), asyncio.Event()
        self.told = asyncio.Event()
        """Set once the region has told it what it serves."""

    def stop(self) -> None:
        """Begin to end: many racks can do so at the same time, before their contexts end one by one."""
        self._stop.set()

    def hurry(self) -> None:
        """End without waiting for anything: what it has to say stays on its disk, and what it worked on is handed out
        again when its lease has ended."""
        self._at_once.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ASGIApp]:
        """Work while the context lasts; gives the application behind its door."""
        setting, folder = self.setting, os.path.join(self.setting.data, "machines")
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(_Overheard(setting, self._hear))
            region = await stack.enter_async_context(Region(setting.api, setting.name, setting.token))
            replica = Replica(os.path.join(folder, "replica"))
            stack.callback(replica.close)
            images = ImageCache(os.path.join(folder, "images"), region, GIB)
            stack.push_async_callback(images.close)
            relay = Relay(region, os.path.join(folder, "told"))
            stack.callback(relay.close)
            desk = AgentDesk(os.path.join(folder, "agents"))
            switches = Switchboard(replica, client.power, relay.mention, self._drivers)
            stack.push_async_callback(switches.close)
            jigs: dict[str, Jig] = {
                "noop": NoopJig(os.path.join(folder, "noop")),
                "script": self._scripts,
                "agent": AgentJig(desk, switches),
                "boot": BootJig(DoorBoot(replica, images)),
                "power": PowerJig(switches),
            }
            rack = Rack(setting, client, jigs, lambda: None)
            self._heard(replica.nodes())
            loops = (relay.run(), switches.watch(), *self._following(client, replica))
            running = [asyncio.create_task(loop) for loop in (*loops, rack.run(self._stop, self._at_once))]
            stack.push_async_callback(self._end, running)
            stack.callback(desk.close)
            yield build(Inside(replica=replica, images=images, desk=desk, relay=relay, registry=region))

    def _hear(self, nodes: Iterable[ServedNode]) -> None:
        """The region has answered what this rack serves."""
        self.told.set()
        self._heard(nodes)

    async def _end(self, running: list[asyncio.Task[None]]) -> None:
        """End in order: first what works, then what it needs."""
        self._stop.set()
        *loops, working = running
        ended: list[BaseException | None] = [*await asyncio.gather(working, return_exceptions=True)]
        for loop in loops:
            loop.cancel()
        for error in ended + await asyncio.gather(*loops, return_exceptions=True):
            if isinstance(error, Exception):
                log.error("a simulated rack broke", rack=self.setting.name, exc_info=error)

    def _following(self, client: RackClient, replica: Replica) -> Iterable[Coroutine[Any, Any, None]]:
        if self._servers is None:
            return (self._follow(client, replica),)
        folder = os.path.join(self.setting.data, "machines", "dhcp")
        servers = dhcp_servers("kea", folder, tftp=self._servers.tftp, tied=True)
        serving = Serving(client, replica, servers, self._servers.door)
        return serving.follow(), serving.answer()

    async def _follow(self, client: RackClient, replica: Replica) -> None:
        """Keep the replica in step with the region. With no server to bring along, what is here is answered."""
        while True:
            delta = await patiently("served", lambda: client.served(replica.generation, WAIT))
            if delta.generation == replica.generation and not delta.full:
                continue
            await patiently("replica", partial(replica.apply, delta))
            await replica.set_applied(replica.generation)
            await _told(partial(client.applied, Applied(generation=replica.applied)))


async def _told(say: Callable[[], Awaitable[None]]) -> None:
    try:
        await patiently("applied", say)
    except Conflict as error:
        log.warning("the region does not know this generation", reason=str(error))
