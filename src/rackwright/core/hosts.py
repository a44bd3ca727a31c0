"""The nodes of a rack as DHCP and DNS know them, changed one at a time.

Servers refuse to know an Ethernet address twice. One that several nodes claim belongs to that which was known first,
the one with the lowest id; when that goes, the next one gets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import structs

from rackwright.core.dhcp import Host


class Hosts(Mapping[int, Host]):
    """By id: each host with the Ethernet addresses that are its own."""

    def __init__(self) -> None:
        self._given: dict[int, Host] = {}
        self._own: dict[int, Host] = {}
        self._claims: dict[str, set[int]] = {}

    def __getitem__(self, id: int) -> Host:
        """The host of this node. Raises KeyError."""
        return self._own[id]

    def __iter__(self) -> Iterator[int]:
        """The ids of all hosts."""
        return iter(self._own)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._own)

    def given(self, id: int) -> Host | None:
        """The host as it was put, with what others claim too."""
        return self._given.get(id)

    def put(self, host: Host) -> set[int]:
        """Take a host, new or changed; gives the ids of all that may differ now."""
        touched = self._leave(host.id)
        self._given[host.id] = host
        for mac, _ in host.ports():
            claims = self._claims.setdefault(mac, set())
            touched |= claims
            claims.add(host.id)
        return self._settled(touched | {host.id})

    def drop(self, id: int) -> set[int]:
        """Forget a host; gives the ids of all that may differ now."""
        return self._settled(self._leave(id)) if id in self._given else set()

    def _leave(self, id: int) -> set[int]:
        """Take a host away; gives those that claim something of it, and itself."""
        former = self._given.pop(id, None)
        self._own.pop(id, None)
        touched = {id} if former is not None else set()
        for mac, _ in former.ports() if former is not None else ():
            claims = self._claims[mac]
            claims.discard(id)
            touched |= claims
            if not claims:
                del self._claims[mac]
        return touched

    def _settled(self, ids: set[int]) -> set[int]:
        for id in ids:
            host = self._given.get(id)
            if host is not None:
                self._own[id] = self._without_others(host)
        return ids

    def _without_others(self, host: Host) -> Host:
        lost = {mac for mac, _ in host.ports() if min(self._claims[mac]) != host.id}
        if not lost:
            return host
        nics = tuple(structs.replace(nic, mac="") if nic.mac in lost else nic for nic in host.nics)
        return structs.replace(host, macs=tuple(mac for mac in host.macs if mac not in lost), nics=nics)
