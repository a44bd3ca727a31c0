"""dnsdist (https://dnsdist.org) stands before PowerDNS where machines may ask for names that are not the rack's: the
rack's go to PowerDNS and are not kept, others to the resolvers that the operator named for the machine's network.

It only passes questions on. Who asks from elsewhere is refused what is not the rack's, so that the rack is nobody's
open resolver.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import Collection, Iterator

import structlog

from rackwright.core.dhcp import Answers
from rackwright.core.errors import Retryable
from rackwright.core.served import Network
from rackwright.rack.dhcp.files import read_lines, write_whole
from rackwright.rack.dhcp.process import STARTED, ServerProcess, end_former, runs

PIDS = "dnsdist.pid"
CONFIGURATION = "dnsdist.conf"

log = structlog.get_logger()


class Dnsdist:
    """One dnsdist with its files in ``folder``; it listens at ``port`` and asks the rack's own server at ``own``, an
    address and a port. ``tied``: see ``ServerProcess``."""

    def __init__(self, folder: str, port: int, own: tuple[str, int], *, tied: bool = False) -> None:
        self._folder = folder
        self._port = port
        self._own = own
        self._process = ServerProcess("dnsdist", "dnsdist", self._hear, tied=tied)
        self._started = asyncio.Event()
        self._configured: list[str] = []

    async def answer(self, answers: Answers, zones: Collection[str]) -> None:
        """Pass on what is asked, the names in these zones to the rack's own server. Raises ``Retryable``."""
        lines = configuration(answers, zones, self._port, self._own)
        if lines == self._configured and await self._runs():
            return
        if not self._configured and lines == await asyncio.to_thread(read_lines, self._path) and await self._runs():
            # The one that a process has left behind which was killed: nobody is without an answer.
            self._configured = lines
            return
        await self.close()
        await self._start(lines)
        self._configured = lines

    async def close(self) -> None:
        """End it, also one that was left behind."""
        self._configured = []
        await self._process.stop()
        await end_former(self._pids, self._path)

    async def _start(self, lines: list[str]) -> None:
        await asyncio.to_thread(write_whole, self._path, "\n".join(lines) + "\n")
        self._started.clear()
        pid = await self._process.start(["--supervised", "--disable-syslog", "-C", self._path])
        until = asyncio.get_running_loop().time() + STARTED
        while not self._started.is_set():
            if not self._process.running or asyncio.get_running_loop().time() > until:
                said = self._process.tail
                await self._process.stop()
                raise Retryable(f"dnsdist does not start: {said}", where=self._folder)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._started.wait()
        await asyncio.to_thread(write_whole, self._pids, str(pid))
        log.info("dnsdist passes questions on", folder=self._folder)

    async def _runs(self) -> bool:
        return self._process.running or await runs(self._pids, self._path)

    @property
    def _path(self) -> str:
        return os.path.join(self._folder, CONFIGURATION)

    @property
    def _pids(self) -> str:
        return os.path.join(self._folder, PIDS)

    def _hear(self, line: str) -> None:
        if line.startswith("ACL allowing"):
            # It says so behind the last address on which it listens.
            self._started.set()


def is_wanted(answers: Answers) -> bool:
    """Whether machines of any network may ask for names that are not the rack's."""
    return any(network.forwarders for network, _ in answers.present())


def configuration(answers: Answers, zones: Collection[str], port: int, own: tuple[str, int]) -> list[str]:
    """The lines of its configuration (https://dnsdist.org/reference/config.html)."""
    addresses = dict.fromkeys(_at(network.address, port) for network, _ in answers.present())
    first, *more = addresses
    networks = [network for network in answers.networks if network.forwarders]
    return [
        # It would ask its makers now and then whether it is safe.
        'setSecurityPollSuffix("")',
        'setACL({"0.0.0.0/0", "::/0"})',
        f'setLocal("{first}")',
        *(f'addLocal("{address}")' for address in more),
        "setServerPolicy(firstAvailable)",
        "setMaxUDPOutstanding(2000)",
        "setRingBuffersSize(100)",
        f'newServer({{address="{_at(*own)}", pool="own"}}):setUp()',
        *(f'addAction({{"{zone}."}}, PoolAction("own"))' for zone in zones),
        *(line for number, network in enumerate(networks, 1) for line in _forwarded(number, network)),
        "addAction(AllRule(), RCodeAction(DNSRCode.REFUSED))",
    ]


def _forwarded(number: int, network: Network) -> Iterator[str]:
    """The resolvers of a network: each is asked when those before it are silent. What they say is kept for a while."""
    # A single one is not watched: it may know nothing of the names that the watch asks for.
    up = ":setUp()" if len(network.forwarders) == 1 else ""
    for order, forwarder in enumerate(network.forwarders, 1):
        yield f'newServer({{address="{_at(forwarder, 53)}", pool="{number}", order={order}}}){up}'
    yield f'getPool("{number}"):setCache(newPacketCache(10000))'
    yield f'from{number} = newNMG() from{number}:addMask("{network.cidr}")'
    yield f'addAction(NetmaskGroupRule(from{number}), PoolAction("{number}"))'


def _at(address: str, port: int) -> str:
    spelled = ipaddress.ip_address(address)
    return f"{spelled}:{port}" if spelled.version == 4 else f"[{spelled}]:{port}"
