"""Following the region: deltas go into the replica as they come, and then DHCP and DNS answer from it.

Two loops. One takes deltas over, so that the door answers from them at once. The other brings DHCP and DNS to where the
replica is, says so to the region, and never stops what it has begun: what comes meanwhile is in its next round, in one
with all else that came. A round costs what has changed, however many nodes there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from msgspec import structs

from rackwright.core.dhcp import Answers, DhcpServer, Host
from rackwright.core.errors import Conflict, Retryable
from rackwright.core.hosts import Hosts
from rackwright.core.served import Applied, Delta, Network, ServedNode
from rackwright.rack.carrying import Carrying
from rackwright.rack.client import RackClient, patiently
from rackwright.rack.dhcp import interfaces
from rackwright.rack.dhcp.foreign import servers_on
from rackwright.rack.lending import Lending
from rackwright.rack.replica import NEVER, Replica

WAIT = 50.0
"""Seconds that the region may wait for a change before it answers."""
LOOK = 5.0
"""Seconds between two looks whether the servers run and the interfaces are there."""
PROBE = 600.0
"""Seconds between two looks for foreign DHCP servers."""
LOOK_AGAIN = 30.0
"""The same once one was found: it is to be known when it is gone."""
NOT_YET = -1e9
"""A time before any."""
FAR_OFF = 60.0
"""Seconds by which a rack's clock may be off before that is told. Nothing that it serves depends on it; what people
compare with its logs does."""

log = structlog.get_logger()


class Serving:
    """Keeps the replica in step with the region, and ``servers`` with the replica while this process works for the
    rack. ``door``: the port of the door. ``lending`` tells of addresses that are given to strangers, ``carrying``
    brings the rack's own; without them nobody does."""

    def __init__(
        self,
        client: RackClient,
        replica: Replica,
        servers: Sequence[DhcpServer],
        door: int,
        lending: Lending | None = None,
        carrying: Carrying | None = None,
    ) -> None:
        self._client = client
        self._replica = replica
        self._servers = servers
        self._lending = lending
        self._carrying = carrying
        self._hosts = Hosts()
        self._pending: dict[int, Host | None] = {}
        self._anew = True
        self._behind: set[int] | None = None
        self._answers = Answers(door=door)
        self._looked = NOT_YET
        self._foreign: set[str] = set()
        self._trouble, self._unwritten = "", ""
        self._told: dict[str, Any] = {}
        self._states: dict[str, Callable[[], Any]] = {}
        self._changed = asyncio.Event()
        self._report = asyncio.Event()

    def tells(self, name: str, state: Callable[[], Any]) -> Callable[[], None]:
        """Let the report to the region have this state too, under ``name``. Call what this gives whenever the state may
        be another one."""
        self._states[name] = state
        return self._report.set

    async def run(self) -> None:
        """Follow and answer until cancelled. Raises ``NotAllowed`` when the api refuses the token."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follow())
            group.create_task(self.answer())

    async def follow(self) -> None:
        """Keep the replica in step, for ever, whoever works for the rack. Raises ``NotAllowed`` when the api refuses
        the token."""
        while True:
            delta = await patiently("served", self._next)
            if delta.generation != self._replica.generation or delta.full:
                await patiently("replica", functools.partial(self._take_over, delta))
                self._note_hosts(delta)
                self._changed.set()

    async def answer(self) -> None:
        """Have the servers answer until cancelled; they are then stopped. What the replica holds is answered at once,
        whether the region is there or not."""
        self._anew = True
        self._changed.set()
        self._report.set()
        try:
            await self._inherit()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve())
                group.create_task(self._tell())
                group.create_task(self._probe())
                if self._lending is not None:
                    group.create_task(self._lending.tell())
                if self._carrying is not None:
                    group.create_task(self._carrying.run(self._look_again))
        finally:
            await self.rest()

    async def rest(self) -> None:
        """Stop the servers, also those that a process which was killed has left."""
        for server in self._servers:
            await server.close()

    async def _inherit(self) -> None:
        """Give to nobody else what another process of the rack has given. Servers that one of this seat's has left do
        not know of it, and begin anew."""
        given = await self._lending.others() if self._lending is not None else ()
        if self._lending is not None and given:
            await self.rest()
            await self._lending.inherit(given)

    def _look_again(self) -> None:
        """An interface has another address now."""
        self._looked = NOT_YET
        self._changed.set()

    async def _next(self) -> Delta:
        return await self._client.served(self._replica.generation, WAIT)

    async def _take_over(self, delta: Delta) -> None:
        """Take a delta into the replica; where it cannot be written, that is told until it can."""
        try:
            await self._replica.apply(delta)
            self._unwritten = ""
        except Retryable as error:
            self._unwritten = str(error)
            self._changed.set()
            raise

    def _note_hosts(self, delta: Delta) -> None:
        """Keep what DHCP and DNS are to know until the next round."""
        if delta.full:
            self._anew = True
            return
        self._pending |= dict.fromkeys(delta.gone)
        self._pending |= {node.id: self._host(node) for node in delta.nodes}

    def _host(self, node: ServedNode) -> Host | None:
        if not (node.macs or node.address or node.nics):
            return None
        name = node.hostname or node.name
        aliases = tuple(dict.fromkeys(alias for alias in (node.name, *node.aliases) if alias != name))
        return Host(node.id, name, node.macs, node.address, self._replica.token(node), node.nics, aliases)

    async def _serve(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._changed.wait()
            self._changed.clear()
            generation = self._replica.generation
            try:
                await self._answer(self._taken_over())
                self._behind = set()
                if generation != self._replica.applied:
                    await self._replica.set_applied(generation)
                self._say("")
            except Retryable as error:
                self._say(str(error))
                await asyncio.sleep(1.0)
                self._changed.set()

    def _taken_over(self) -> set[int] | None:
        """Bring the hosts to where the replica is. Gives those of which the servers may not know; None: of all."""
        pending, self._pending = self._pending, {}
        if self._anew:
            self._anew, self._behind, self._hosts = False, None, Hosts()
            pending = {node.id: self._host(node) for node in self._replica.nodes()}
        touched: set[int] = set()
        for id, host in pending.items():
            if host != self._hosts.given(id):
                touched |= self._note_host(id, host)
        if self._behind is not None:
            self._behind |= touched
        return self._behind

    def _note_host(self, id: int, host: Host | None) -> set[int]:
        return self._hosts.drop(id) if host is None else self._hosts.put(host)

    async def _answer(self, changed: set[int] | None) -> None:
        """Bring the servers to where the replica is; with no change it is only seen whether they run."""
        rack = self._replica.rack()
        networks = rack.networks if rack is not None else ()
        self._answers = structs.replace(
            self._answers, networks=networks, hosts=self._hosts, interfaces=await self._interfaces(networks)
        )
        refused: list[Retryable] = []
        for server in self._servers:
            try:
                await server.answer(self._answers, changed)
            except Retryable as error:
                refused.append(error)
        if refused:
            raise refused[0]

    async def _interfaces(self, networks: tuple[Network, ...]) -> Mapping[str, str]:
        """Which interface has which address; it is looked at now and then, and when the networks are others."""
        now = asyncio.get_running_loop().time()
        if networks == self._answers.networks and now - self._looked < LOOK:
            return self._answers.interfaces
        self._looked = now
        return await interfaces.addresses() if networks else {}

    def _say(self, trouble: str) -> None:
        """Note what is wrong; the log is told when that changes."""
        said = list(dict.fromkeys(each for each in (self._unwritten, trouble) if each))
        said += [f"{network.cidr}: no interface has {network.address}" for network in self._answers.absent()]
        if abs(self._client.ahead) > FAR_OFF:
            # Whole minutes: it is not to be told anew all the time.
            said.append(f"the rack's clock is {self._client.ahead / 60:+.0f} min off the region's: set it")
        trouble = "; ".join(said)
        if trouble and trouble != self._trouble:
            log.warning("not everything is answered", reason=trouble)
        self._trouble = trouble
        if self._replica.applied != NEVER:
            self._report.set()

    async def _tell(self) -> None:
        """Say to the region up to where everything is answered, whenever that or the report on it is another."""
        told = NEVER
        while True:
            await self._report.wait()
            self._report.clear()
            applied, report = self._replica.applied, self._reported()
            if applied == NEVER or (applied, report) == (told, self._told):
                continue
            said = Applied(generation=applied, report=report)
            try:
                await patiently("applied", functools.partial(self._client.applied, said))
            except Conflict as error:
                # The region was restored from a backup; it gives everything anew.
                log.warning("the region does not know this generation", generation=applied, reason=str(error))
            told, self._told = applied, report

    def _reported(self) -> dict[str, Any]:
        report: dict[str, Any] = {"servers": [server.name for server in self._servers]}
        if self._foreign:
            report["foreign"] = sorted(self._foreign)
        if self._trouble:
            report["trouble"] = self._trouble
        return report | {name: state() for name, state in self._states.items()}

    async def _probe(self) -> None:
        """Look for DHCP servers that are not ours."""
        while True:
            found: set[str] = set()
            probed = False
            for network, interface in self._answers.present(4):
                if network.proxy or network.relayed:
                    continue
                probed = True
                with contextlib.suppress(OSError):
                    found |= await servers_on(interface)
            found -= self._answers.interfaces.keys()
            if found - self._foreign:
                log.warning("another DHCP server answers here", servers=sorted(found))
            if probed:
                self._foreign = found
                self._report.set()
            await asyncio.sleep((LOOK_AGAIN if found else PROBE) if probed else LOOK)
