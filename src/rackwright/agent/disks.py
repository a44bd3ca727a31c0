"""Disks: which there are, which is meant, and whether anything uses it."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from rackwright.agent import reading

SECTOR = 512
"""Bytes in which the kernel counts, whatever the disk's own sectors are."""
_NOT_DISKS = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)\d*")


class Disk(NamedTuple):
    """One whole disk."""

    name: str
    path: str
    serial: str
    bytes: int
    read_only: bool = False


def inventory(root: str = "/") -> list[dict[str, Any]]:
    """Every disk that holds something: name, path, serial, WWN, model, bytes, whether it turns, how it is attached."""
    return [_described(root, name) for name in _names(root)]


def disks(root: str = "/") -> list[Disk]:
    """The disks of this machine."""
    return [
        Disk(
            name=name,
            path=os.path.join(root, "dev", name),
            serial=serial_of(root, name),
            bytes=_bytes(root, name),
            read_only=reading.number(root, "sys/block", name, "ro") == 1,
        )
        for name in _names(root)
    ]


def choose(found: list[Disk], wanted: dict[str, Any], needed: int = 0) -> Disk:
    """The one disk that is meant: by ``serial``, ``path``, or both, which must then agree; with neither it must be the
    only one that is large enough. It has at least ``min_bytes`` and ``needed`` bytes. Raises LookupError in words."""
    serial, path = str(wanted.get("serial") or ""), str(wanted.get("path") or "")
    least = max(int(wanted.get("min_bytes") or 0), needed)
    told = ", ".join(f"{disk.path} (serial {disk.serial or 'unknown'}, {disk.bytes} bytes)" for disk in found) or "none"
    there = f"this machine has: {told}"
    if serial:
        found = [disk for disk in found if disk.serial == serial]
        if not found:
            raise LookupError(f"no disk has the serial {serial}; {there}")
    if path:
        real = os.path.realpath(path)
        found = [disk for disk in found if real in (disk.path, os.path.realpath(disk.path))]
        if not found:
            raise LookupError(f"{path} is no disk{f' with the serial {serial}' if serial else ''}; {there}")
    fit = [disk for disk in found if disk.bytes >= least]
    if not fit:
        raise LookupError(f"too small: {least} bytes are needed; {there}")
    if len(fit) > 1:
        raise LookupError(f"{len(fit)} disks would do, name one by its serial; {there}")
    if fit[0].read_only:
        raise LookupError(f"{fit[0].path} cannot be written: the kernel holds it read-only")
    return fit[0]


def users(disk: Disk, root: str = "/") -> list[str]:
    """What uses a disk or a part of it now: mounts, swap, and devices that stand on it. Empty: it is free."""
    parts = [disk.name, *partitions(disk.name, root)]
    numbers = {reading.text(root, "sys/class/block", part, "dev"): part for part in parts}
    found = []
    for line in reading.whole(root, "proc/self/mountinfo").splitlines():
        words = line.split()
        if len(words) > 4 and words[2] in numbers:
            found.append(f"{numbers[words[2]]} is mounted at {words[4]}")
    for line in reading.text(root, "proc/swaps").splitlines()[1:]:
        name = os.path.basename(line.split()[0])
        if name in parts:
            found.append(f"{name} is swap")
    for part in parts:
        found += [f"{part} carries {holder}" for holder in reading.names(root, "sys/class/block", part, "holders")]
    return found


def partitions(name: str, root: str = "/") -> list[str]:
    """The names of a disk's partitions."""
    base = os.path.join(root, "sys/block", name)
    return [entry for entry in reading.names(base) if os.path.exists(os.path.join(base, entry, "partition"))]


def partition_path(disk: str, number: int) -> str:
    """The device of one partition: /dev/sda3, or /dev/nvme0n1p3 where the disk's name ends in a digit."""
    return f"{disk}{'p' if disk[-1].isdigit() else ''}{number}"


def serial_of(root: str, name: str) -> str:
    """A disk's serial number: from sysfs, where drivers put it in different places, or from its VPD page 0x80
    (SPC-4, section 7.8.15); empty when it tells none."""
    base = os.path.join(root, "sys/block", name)
    for place in ("serial", "device/serial"):
        if value := reading.text(base, place):
            return value
    try:
        with open(os.path.join(base, "device/vpd_pg80"), "rb") as file:
            page = file.read(512)
        return page[4 : 4 + page[3]].decode("ascii", "replace").strip(" \0")
    except OSError:
        return ""


def _names(root: str) -> list[str]:
    return [
        name for name in reading.names(root, "sys/block") if not _NOT_DISKS.fullmatch(name) and _bytes(root, name) > 0
    ]


def _bytes(root: str, name: str) -> int:
    return (reading.number(root, "sys/block", name, "size") or 0) * SECTOR


def _described(root: str, name: str) -> dict[str, Any]:
    base = os.path.join(root, "sys/block", name)
    return {
        "name": name,
        "path": f"/dev/{name}",
        "serial": serial_of(root, name),
        "wwn": reading.text(base, "wwid") or reading.text(base, "device/wwid"),
        "model": " ".join((reading.text(base, "device/model")).split()),
        "firmware": reading.text(base, "device/firmware_rev") or reading.text(base, "device/rev"),
        "bytes": _bytes(root, name),
        "sector": reading.number(base, "queue/logical_block_size") or SECTOR,
        "rotational": reading.number(base, "queue/rotational") == 1,
        "removable": reading.number(base, "removable") == 1,
        "transport": _transport(os.path.realpath(base)),
    }


def _transport(path: str) -> str:
    for mark in ("nvme", "virtio", "usb", "ata", "fc_host", "sas", "iscsi", "mmc"):
        if re.search(rf"/{mark}[^/]*/", path):
            return {"ata": "sata", "fc_host": "fc"}.get(mark, mark)
    return ""
