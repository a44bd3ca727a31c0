"""What a server for one version of IP sees of a host, and whose each address is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from rackwright.core.dhcp import Answers, Host
from rackwright.core.served import ServedNic


def seen(host: Host | None, version: int) -> Host | None:
    """What a server for this version of IP tells of a host; None: nothing. Where two hosts look the same it answers the
    same for them. For IPv4 all counts; for IPv6 the name, and each Ethernet address that has IPv6 addresses, with
    these."""
    if version == 4 or host is None:
        return host
    ports = [(mac, tuple(of_version(addresses, 6))) for mac, addresses in host.ports()]
    nics = tuple(ServedNic(mac=mac, addresses=addresses) for mac, addresses in ports if addresses)
    return Host(host.id, host.name, (), None, "", nics) if nics else None


def owners(answers: Answers, before: Mapping[int, Host], moved: Collection[int], version: int) -> dict[str, set[str]]:
    """Of every address of this version that these hosts had before or have: the Ethernet addresses to which it belongs
    now."""
    found: dict[str, set[str]] = {}
    for id in moved:
        former, host = before.get(id), answers.hosts.get(id)
        for address in former.addresses() if former is not None else ():
            found.setdefault(address, set())
        for mac, addresses in host.ports() if host is not None else ():
            for address in addresses:
                found.setdefault(address, set()).add(mac)
    return {address: found[address] for address in of_version(found, version)}


def of_version(addresses: Iterable[str], version: int) -> Iterator[str]:
    """Those of the addresses that are of this version of IP."""
    return (address for address in addresses if (":" in address) == (version == 6))
