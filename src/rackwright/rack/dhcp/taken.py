"""Which addresses of nodes lie in a dynamic range, so that strangers are not given them.

Kea is not to look for every address that it gives to a stranger whether it is somebody's. It is told ranges that lack
these; so only a change of one of them is a change of its configuration.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from rackwright.core.dhcp import Answers, Host
from rackwright.rack.dhcp.host_views import of_version
from rackwright.rack.dhcp.kea_configuration import given


class Taken:
    """The addresses of one ``version`` of IP by node, for the dynamic ``ranges`` (first and last, as numbers)."""

    def __init__(self, ranges: Collection[tuple[int, int]], version: int) -> None:
        self._ranges = ranges
        self._version = version
        self._of: dict[int, frozenset[str]] = {}

    @classmethod
    def among(cls, answers: Answers, version: int) -> Taken:
        """Those of all nodes."""
        spans = [network.dynamic for network, _ in given(answers, version) if network.dynamic is not None]
        made = cls([(_number(first), _number(last)) for first, last in spans], version)
        made.note(answers, answers.hosts)
        return made

    def note(self, answers: Answers, ids: Iterable[int]) -> bool:
        """Look at these nodes anew; gives whether anything of them differs."""
        differs = False
        for id in ids:
            now = self._within(answers.hosts.get(id))
            if now != self._of.get(id, frozenset()):
                differs = True
                self._of[id] = now
        return differs

    def addresses(self) -> set[str]:
        """All of them."""
        return {address for addresses in self._of.values() for address in addresses}

    def _within(self, host: Host | None) -> frozenset[str]:
        if host is None or not self._ranges:
            return frozenset()
        return frozenset(
            address
            for address in of_version(host.addresses(), self._version)
            for number in [_number(address)]
            if any(first <= number <= last for first, last in self._ranges)
        )


def _number(address: str) -> int:
    return int(ipaddress.ip_address(address))
