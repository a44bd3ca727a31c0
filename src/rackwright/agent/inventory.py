"""What the machine is made of, and by which names it is known."""

from __future__ import annotations

import os
import re
from typing import Any

from rackwright.agent import disks, hardware, ipmi, nics, reading


def take(root: str = "/", neighbours: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """The inventory, as it is kept below ``observed.inventory``."""
    return {
        "cpu": hardware.cpu(root),
        "memory": hardware.memory(root),
        "disks": disks.inventory(root),
        "nics": nics.inventory(root, neighbours),
        "system": hardware.system(root),
        "pci": hardware.pci(root),
        "bmc": ipmi.inventory(root),
        "firmware": hardware.firmware(root),
    }


def drift(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The parts that differ, by path below ``observed``."""
    return {f"inventory.{part}": value for part, value in now.items() if before.get(part) != value}


def identity(root: str = "/", boot_mac: str = "") -> dict[str, Any]:
    """By which names the machine is known: MACs (the one that it booted from first), serial, UUID, firmware, boot."""
    macs = [nics.mac(root, name) for name in nics.names(root)]
    macs = sorted({mac for mac in macs if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac)} - {"00:00:00:00:00:00"})
    macs.sort(key=lambda mac: mac != boot_mac)
    about = hardware.system(root)
    return {
        "macs": macs,
        "boot_mac": boot_mac,
        "serial": about["serial"],
        "uuid": about["uuid"],
        "firmware": hardware.firmware(root)["mode"],
        "boot_id": reading.text(root, "proc/sys/kernel/random/boot_id"),
    }


def system(root: str = "/") -> dict[str, Any]:
    """The installed system: what /etc/os-release says of it (os-release(5)), and its kernel."""
    pairs = (line.partition("=")[::2] for line in reading.text(root, "etc/os-release").splitlines())
    said = {name: value.strip("\"'") for name, value in pairs}
    return {
        "id": said.get("ID", ""),
        "version": said.get("VERSION_ID", ""),
        "name": said.get("PRETTY_NAME", ""),
        "kernel": reading.text(root, "proc/sys/kernel/osrelease"),
    }


def host_keys(root: str = "/") -> list[str]:
    """The public keys of the SSH server, one line each; empty while it has made none."""
    folder = os.path.join(root, "etc/ssh")
    return [
        reading.text(folder, name)
        for name in reading.names(folder)
        if re.fullmatch(r"ssh_host_[a-z0-9]+_key\.pub", name)
    ]
