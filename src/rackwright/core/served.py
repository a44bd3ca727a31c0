"""What a rack serves to its machines: the part of the facts that DHCP, DNS and boot are answered from.

The region keeps one ``ServedNode`` for each node of a rack and one ``ServedRack`` for the rack. Whenever one of them
differs it gets the next generation number. A rack holds a replica of its own and catches up by a ``Delta``: all that
has a newer generation than the one it asks from.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rackwright.core.bootenv import Bootenv


class ServedNic(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface of a machine beside the one that ``ServedNode.macs`` and ``ServedNode.address`` tell of."""

    mac: str
    """Lower case, colons; empty: it has no Ethernet address of its own (a VLAN, a bond)."""
    addresses: tuple[str, ...] = ()
    """Its static addresses, IPv4 and IPv6."""
    name: str = ""
    """Its name in DNS is ``{node}-{name}``; empty: it has none."""


class ServedNode(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as its rack sees it. It is found by any of ``macs`` (lower case, colons)."""

    id: int
    name: str
    macs: tuple[str, ...] = ()
    address: str | None = None
    """Its static address; None: DHCP gives one of the dynamic range."""
    hostname: str = ""
    """Empty: the node's name."""
    allocation: str = "new"
    """See ``lifecycle``."""
    bootenv: Bootenv = Bootenv()
    power: dict[str, Any] | None = None
    """How it is switched (see ``power.PowerSetting``); None: nobody can."""
    nics: tuple[ServedNic, ...] = ()
    """Its further interfaces."""
    aliases: tuple[str, ...] = ()
    """Further names in DNS."""
    epoch: int = 0
    """Raised to make every token that the machine was given void."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A network that a rack answers on, IPv4 or IPv6."""

    cidr: str
    """Like 10.77.0.0/24 or fd00:77::/64."""
    address: str
    """The rack's own address in it: next server, boot URLs."""
    interface: str = ""
    """Name of the rack's interface; empty: the one that has the address."""
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    domain: str = ""
    forwarders: tuple[str, ...] = ()
    """Whom the rack's DNS asks for names that are not the rack's; empty: it refuses them."""
    dynamic: tuple[str, str] | None = None
    """First and last address for machines without one of their own."""
    lease: int = 3600
    """Seconds for which DHCP gives an address."""
    static: tuple[str, str] | None = None
    """First and last address that nodes are given when they are accepted."""
    reserved: tuple[tuple[str, str], ...] = ()
    """Ranges, first and last address, that are never given to nodes by themselves."""
    vlan: int | None = None
    """The tag of its VLAN, where it is tagged."""
    relayed: bool = False
    """True: it is reached through a DHCP relay (giaddr) and not on an interface of the rack."""
    proxy: bool = False
    """True: another server gives the addresses here; the rack adds the boot information only (proxyDHCP)."""
    name: str = ""
    """By which people know it; empty: by its range."""
    shared: bool = False
    """True: other racks may have it too."""


class ServedRack(msgspec.Struct, frozen=True, kw_only=True):
    """The rack's own part."""

    name: str
    networks: tuple[Network, ...] = ()
    settings: dict[str, Any] = {}
    """The rack's facts below ``desired.rack``."""


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica at generation ``after`` lacks to be at ``generation``. With ``full`` it replaces all of it."""

    after: int
    generation: int
    full: bool = False
    rack: ServedRack | None = None
    """None: unchanged."""
    nodes: tuple[ServedNode, ...] = ()
    gone: tuple[int, ...] = ()
    """Ids of nodes that are no longer this rack's."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A rack's word that everything up to ``generation`` is answered by DHCP, DNS and boot."""

    generation: int
    seconds: float = 0.0
    """From the arrival of the delta until it was answered."""
    report: dict[str, Any] = {}
    """What the rack sees of its networks: ``dhcp`` (the name of the server that answers), ``foreign`` (addresses of
    DHCP servers that are not ours), ``trouble`` (why not everything is answered)."""
