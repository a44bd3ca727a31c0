"""What a DHCP server of a rack is to answer, and what a driver for one must do.

The answers are static per node: its address, and the URL of its boot script. What the script says is decided per
request by the door, so a change of state, boot environment or image never touches DHCP.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from rackwright.core.served import Network

BIOS, UEFI, UEFI_HTTP = "undionly.kpxe", "snponly.efi", "ipxe.efi"
"""The first stage by firmware: iPXE over the firmware's own network driver, and for UEFI HTTP boot with its own."""

UEFI_ARCHITECTURES = (7, 9)
"""Codes of DHCP option 93 of UEFI on x86-64 (RFC 4578; the second is what some firmware says instead). HTTP boot says
16 and is known by its vendor class."""


class Host(msgspec.Struct, frozen=True):
    """One node as DHCP knows it. Nodes without an Ethernet address are none."""

    id: int
    name: str
    macs: tuple[str, ...]
    address: str | None
    token: str


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """All that DHCP, TFTP and router advertisements of a rack say."""

    networks: tuple[Network, ...] = ()
    hosts: Mapping[int, Host] = {}
    """By the node's id."""
    door: int = 8480
    """Port of the door."""
    interfaces: Mapping[str, str] = {}
    """By address of the rack: the interface that has it now."""

    def present(self) -> Iterator[tuple[Network, str]]:
        """The networks that can be answered on now, each with its interface."""
        for network in self.networks:
            interface = self.interfaces.get(network.address)
            if interface is not None and network.interface in ("", interface):
                yield network, interface

    def absent(self) -> list[Network]:
        """The networks whose interface is not there."""
        present = [network for network, _ in self.present()]
        return [network for network in self.networks if network not in present]

    def of(self, network: Network) -> Iterator[Host]:
        """The hosts that this network answers to: those whose address is in it, and those without one. An Ethernet
        address that two nodes claim is that of the one that was known first: servers refuse to know it twice."""
        within = ipaddress.ip_network(network.cidr, strict=False)
        for host in self.known():
            if host.address is None or ipaddress.ip_address(host.address) in within:
                yield host

    def known(self) -> Iterator[Host]:
        """The hosts by id, each with the Ethernet addresses that are its own."""
        taken: set[str] = set()
        for _, host in sorted(self.hosts.items()):
            own = tuple(mac for mac in host.macs if mac not in taken)
            taken.update(own)
            if own:
                yield host if own == host.macs else msgspec.structs.replace(host, macs=own)


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

    async def answer(self, answers: Answers) -> None:
        """Answer all of this, and nothing else, from now on; returns once it does. It may be called again and again,
        also with what is answered already: then it sees to it that the server still runs.

        Raises ``Retryable`` when the server does not take it; what was answered before is then still answered.
        """

    async def close(self) -> None:
        """Stop answering."""
