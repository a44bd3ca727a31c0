"""What DHCP and DNS of a rack are to answer, and what a driver for a server must do.

The answers are static per node: its addresses, its names, and the URL of its boot script. What the script says is
decided per request by the door, so a change of state, boot environment or image never touches DHCP.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import msgspec

from rackwright.core.served import Network, ServedNic

BIOS, UEFI, UEFI_HTTP = "undionly.kpxe", "snponly.efi", "ipxe.efi"
"""The first stage by firmware: iPXE over the firmware's own network driver, and for UEFI HTTP boot with its own."""

UEFI_ARCHITECTURES = (7, 9)
"""Codes of DHCP option 93 of UEFI on x86-64 (RFC 4578; the second is what some firmware says instead). HTTP boot says
16 and is known by its vendor class."""


class Host(msgspec.Struct, frozen=True):
    """One node as DHCP and DNS know it."""

    id: int
    name: str
    macs: tuple[str, ...]
    """Of the interfaces that get ``address``, but for those that are among ``nics``."""
    address: str | None
    """None: DHCP gives one of the dynamic range."""
    token: str
    nics: tuple[ServedNic, ...] = ()
    """Its further interfaces."""
    aliases: tuple[str, ...] = ()
    """Further names in DNS."""

    def ports(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each Ethernet address of it, with the static addresses that it gets."""
        own = {nic.mac: nic.addresses for nic in self.nics if nic.mac}
        yield from own.items()
        given = () if self.address is None else (self.address,)
        yield from ((mac, given) for mac in self.macs if mac not in own)

    def within(self, network: Within) -> Iterator[tuple[str, str | None]]:
        """Each Ethernet address that is known on this network, with its address there; None: one of the dynamic range.
        One whose addresses are all elsewhere is not known."""
        for mac, addresses in self.ports():
            here = next((address for address in addresses if address in network), None)
            if here is not None or (not addresses and network.version == 4):
                yield mac, here

    def addresses(self) -> Iterator[str]:
        """All its static addresses."""
        for _, addresses in self.ports():
            yield from addresses


class Within:
    """Which addresses, as text, lie within a network: asked for every node, so told from its first characters where
    they say all."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr, strict=False)
        self.version = self._network.version
        whole, rest = divmod(self._network.prefixlen, 8)
        self._beginning = ""
        if self.version == 4 and not rest and whole < 4:
            self._beginning = "".join(f"{part}." for part in str(self._network.network_address).split(".")[:whole])

    def __contains__(self, address: str) -> bool:
        """Whether it lies within."""
        if self._beginning:
            return address.startswith(self._beginning)
        try:
            return ipaddress.ip_address(address) in self._network
        except ValueError:
            return False


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """All that DHCP, DNS, TFTP and router advertisements of a rack say."""

    networks: tuple[Network, ...] = ()
    hosts: Mapping[int, Host] = {}
    """By the node's id. It may change later: see ``DhcpServer.answer``. No two claim one Ethernet address: see
    ``hosts.Hosts``."""
    door: int = 8480
    """Port of the door."""
    interfaces: Mapping[str, str] = {}
    """By address of the rack: the interface that has it now."""

    def frame(self) -> tuple[object, ...]:
        """All of it but the hosts, to be compared."""
        return self.networks, self.door, self.interfaces

    def present(self, version: int | None = None) -> Iterator[tuple[Network, str]]:
        """The networks that can be answered on now, each with its interface; of both versions of IP, or of one."""
        for network in self.networks:
            address = ipaddress.ip_address(network.address)
            interface = self.interfaces.get(str(address))
            here = interface is not None and network.interface in ("", interface)
            if interface is not None and here and version in (None, address.version):
                yield network, interface

    def absent(self) -> list[Network]:
        """The networks whose interface is not there."""
        present = [network for network, _ in self.present()]
        return [network for network in self.networks if network not in present]

    def known(self) -> Iterator[Host]:
        """The hosts by id."""
        for _, host in sorted(self.hosts.items()):
            yield host


def door_url(network: Network, port: int) -> str:
    """Where machines of this network find the door."""
    return f"http://{network.address}:{port}"


def stranger_url(network: Network, port: int) -> str:
    """The boot script of machines that are not known; iPXE fills in what it knows of itself
    (https://ipxe.org/cfg)."""
    who = "mac=${netX/mac}&serial=${serial:uristring}&uuid=${uuid}&firmware=${platform}"
    return f"{door_url(network, port)}/boot/ipxe?{who}"


def host_url(network: Network, port: int, host: Host) -> str:
    """The boot script of a node."""
    return f"{door_url(network, port)}/boot/{host.token}/ipxe?mac=${{netX/mac}}&firmware=${{platform}}"


def http_boot_url(network: Network, port: int) -> str:
    """The first stage for UEFI HTTP boot."""
    return f"{door_url(network, port)}/assets/ipxe/{UEFI_HTTP}"


class DhcpServer(Protocol):
    """A driver for one kind of DHCP server, or for what goes beside it."""

    name: str

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """Answer all of this, and nothing else, from now on; returns once it does. It may be called again and again,
        also with what is answered already: then it sees to it that the server still runs.

        ``changed``: ids of all hosts that may differ from, or be gone since, the last call that succeeded; None: any
        may. So a change costs no look at the others.

        Raises ``Retryable`` when the server does not take it; what was answered before is then still answered.
        """

    async def close(self) -> None:
        """Stop answering."""
