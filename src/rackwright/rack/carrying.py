"""The rack's addresses go with the work: the process that works for the rack has them on its host's interfaces.

So a rack may have processes on several hosts, without another program that moves addresses. The kernel takes an address
away by itself when nobody prolongs it, so a process that was killed leaves none behind. Who does not hear of the region
any more, and sees that another host has the address, knows that the rack is no longer its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
from collections.abc import Callable, Collection

import structlog

from rackwright.core.served import Network
from rackwright.rack.dhcp import arp
from rackwright.rack.seat import Seat

EVERY = 2.0
"""Seconds between two looks."""
RECENT = 120.0
"""Seconds for which it counts who has heard of the region later."""
LIFE = 15
"""Seconds for which an address stays without being prolonged: less than a lease of the rack."""

Place = tuple[str, str]
"""An address with the length of its prefix, and an interface."""

log = structlog.get_logger()


class Carrying:
    """Carries the addresses of these networks that name their interface, while the ``seat`` is held."""

    def __init__(self, seat: Seat, networks: Callable[[], Collection[Network]]) -> None:
        self._seat = seat
        self._networks = networks
        self._carried: set[Place] = set()
        self._warned = ""

    async def run(self, arrived: Callable[[], None]) -> None:
        """Have the addresses here until cancelled, then nowhere. Calls ``arrived`` when one has come. Gives the seat up
        when another host has an address and the region does not say that the rack is this one's."""
        try:
            while True:
                wanted = {_place(network) for network in self._networks() if network.interface and not network.relayed}
                for place in self._carried - wanted:
                    await self._leave(place)
                for place in wanted:
                    await self._look(place, arrived)
                await asyncio.sleep(EVERY)
        finally:
            for place in list(self._carried):
                await self._leave(place)

    async def _look(self, place: Place, arrived: Callable[[], None]) -> None:
        address, interface = place
        try:
            other = await _other(place)
        except OSError as error:
            self._warn(f"{interface}: {error}")
            return
        if other and not self._seat.is_sure:
            # If neither host is sure, the one that looks again first gives way, and the other stays.
            await asyncio.sleep(pause(self._seat.age, random.random()))
            other = await _other(place)
        if other and not self._seat.is_sure:
            self._seat.lose(f"{other} has the address {address}, and the region cannot be asked")
            return
        said = await _ip("replace", *place, "valid_lft", str(LIFE), "preferred_lft", str(LIFE))
        self._warn(said or (f"{other} has the rack's address {address} too" if other else ""))
        if not said and (other or place not in self._carried):
            with contextlib.suppress(OSError):
                _announce(place)
        if not said and place not in self._carried:
            self._carried.add(place)
            log.info("the rack's address is here", address=address, interface=interface)
            arrived()

    async def _leave(self, place: Place) -> None:
        self._carried.discard(place)
        await _ip("delete", *place)

    def _warn(self, what: str) -> None:
        if what and what != self._warned:
            log.warning("the rack's addresses", reason=what)
        self._warned = what


def pause(age: float, chance: float) -> float:
    """Seconds to wait before the second look, of one whose last word of the region has this age. Who has heard of it
    later waits for longer: the region gave the rack away from the other. ``chance``, 0 to 1, parts those that know
    nothing."""
    return EVERY * (2 * max(0.0, 1 - age / RECENT) + chance / 4)


def _place(network: Network) -> Place:
    return f"{network.address}/{ipaddress.ip_network(network.cidr, strict=False).prefixlen}", network.interface


async def _other(place: Place) -> str:
    """The Ethernet address of another host that has the address; IPv6 looks for that by itself."""
    address = ipaddress.ip_interface(place[0]).ip
    return await arp.other_with(str(address), place[1]) if address.version == 4 else ""


def _announce(place: Place) -> None:
    address = ipaddress.ip_interface(place[0]).ip
    if address.version == 4:
        arp.announce(str(address), place[1])


async def _ip(verb: str, address: str, interface: str, *more: str) -> str:
    """Have an address at an interface, or not (package iproute2); gives what is wrong, empty when it is done."""
    words = ["ip", "address", verb, address, "dev", interface, *more]
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return f"ip: {error}"
    _, said = await process.communicate()
    return said.decode(errors="replace").strip() if process.returncode else ""
