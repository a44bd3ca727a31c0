"""Ethernet interfaces of the machine itself, not those that software made."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
from typing import Any

from rackwright.agent import reading

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 1
_ETHERNET = 1
"""ARPHRD_ETHER of if_arp.h."""


def inventory(root: str = "/", neighbours: dict[str, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Every interface: name, MAC, driver, speed in Mbit/s, whether it has a carrier, its PCI slot and, where
    ``neighbours`` (by interface name) has it, the switch port behind it as LLDP told."""
    return [
        {
            "name": name,
            "mac": mac(root, name),
            "driver": reading.link(root, "sys/class/net", name, "device/driver"),
            "pci": _slot(root, name),
            "speed": _speed(root, name),
            "carrier": reading.number(root, "sys/class/net", name, "carrier") == 1,
            "mtu": reading.number(root, "sys/class/net", name, "mtu") or 0,
            "lldp": (neighbours or {}).get(name),
        }
        for name in names(root)
    ]


def names(root: str = "/") -> list[str]:
    """The names of the interfaces that a device carries."""
    base = os.path.join(root, "sys/class/net")
    return [
        name
        for name in reading.names(base)
        if os.path.exists(os.path.join(base, name, "device")) and reading.number(base, name, "type") == _ETHERNET
    ]


def mac(root: str, name: str) -> str:
    """The interface's own address, also while a bond has given it another."""
    said = ""
    status = reading.text(root, "proc/net/bonding", reading.link(root, "sys/class/net", name, "master") or "none")
    if found := re.search(rf"Slave Interface: {re.escape(name)}\n(?:.+\n)*?Permanent HW addr: (\S+)", status):
        said = found.group(1)
    return (said or reading.text(root, "sys/class/net", name, "address")).lower()


def raise_all() -> None:
    """Switch every interface on, so that it has a carrier and hears its neighbour."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name in names():
            request = struct.pack("16sh22x", name.encode(), 0)
            try:
                (flags,) = struct.unpack("16xh22x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
                fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags | _UP))
            except OSError:
                continue


def _speed(root: str, name: str) -> int | None:
    said = reading.number(root, "sys/class/net", name, "speed")
    return said if said is not None and said > 0 else None


def _slot(root: str, name: str) -> str:
    """The PCI address in the device's path: of a virtio interface it is the parent's."""
    path = os.path.realpath(os.path.join(root, "sys/class/net", name, "device"))
    found = re.findall(r"/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/|$)", path)
    return found[-1] if found else ""
