"""Processors, memory, the board, firmware and PCI devices, as the kernel tells of them in /proc and /sys."""

from __future__ import annotations

import os
import re
from typing import Any

from rackwright.agent import reading

_DMI = "sys/class/dmi/id"
_UNTOLD = {"", "none", "not specified", "to be filled by o.e.m.", "default string", "system serial number", "0"}
"""What makers leave in the fields that they should have filled."""


def cpu(root: str = "/") -> dict[str, Any]:
    """Model, sockets, cores and threads of the processors, and whether they can run virtual machines."""
    blocks = [_fields(block) for block in reading.whole(root, "proc/cpuinfo").split("\n\n") if block.strip()]
    first = blocks[0] if blocks else {}
    sockets = {block.get("physical id", "0") for block in blocks}
    cores = {(block.get("physical id", "0"), block.get("core id", str(place))) for place, block in enumerate(blocks)}
    flags = set(first.get("flags", "").split())
    return {
        "model": first.get("model name", ""),
        "vendor": first.get("vendor_id", ""),
        "sockets": len(sockets),
        "cores": len(cores),
        "threads": len(blocks),
        "microcode": first.get("microcode", ""),
        "virtualisation": bool(flags & {"vmx", "svm"}),
        "numa": len(
            [name for name in reading.names(root, "sys/devices/system/node") if re.fullmatch(r"node\d+", name)]
        ),
    }


def memory(root: str = "/") -> dict[str, Any]:
    """Bytes that the kernel has, and bytes of the modules where the firmware tells of them."""
    fields = _fields(reading.whole(root, "proc/meminfo"))
    usable = int(fields.get("MemTotal", "0 kB").split()[0]) * 1024
    corrected = sum(
        reading.number(root, "sys/devices/system/edac/mc", name, "ce_count") or 0
        for name in reading.names(root, "sys/devices/system/edac/mc")
        if name.startswith("mc")
    )
    modules = _modules(os.path.join(root, "sys/firmware/dmi/entries"))
    return {"bytes": usable, "modules": modules, "corrected_errors": corrected}


def system(root: str = "/") -> dict[str, Any]:
    """Maker, product and serial numbers of the machine, its board and its chassis (SMBIOS types 1 to 3)."""
    said = {
        "vendor": "sys_vendor",
        "product": "product_name",
        "version": "product_version",
        "serial": "product_serial",
        "uuid": "product_uuid",
        "sku": "product_sku",
        "board_vendor": "board_vendor",
        "board": "board_name",
        "board_serial": "board_serial",
        "chassis_serial": "chassis_serial",
        "asset_tag": "chassis_asset_tag",
    }
    values = {name: told(reading.text(root, _DMI, file)) for name, file in said.items()}
    return {**values, "uuid": values["uuid"].lower()}


def firmware(root: str = "/") -> dict[str, Any]:
    """How the machine booted, ``uefi`` or ``bios``, and the version of its firmware."""
    efi = os.path.isdir(os.path.join(root, "sys/firmware/efi"))
    return {
        "mode": "uefi" if efi else "bios",
        "secure_boot": efi and _secure_boot(root),
        "vendor": told(reading.text(root, _DMI, "bios_vendor")),
        "version": told(reading.text(root, _DMI, "bios_version")),
        "date": told(reading.text(root, _DMI, "bios_date")),
    }


def pci(root: str = "/") -> list[dict[str, Any]]:
    """Every PCI device: its slot, class, vendor and device numbers (hexadecimal), and the driver that has it."""
    base = os.path.join(root, "sys/bus/pci/devices")
    return [
        {
            "slot": slot,
            "class": reading.text(base, slot, "class")[2:8],
            "vendor": reading.text(base, slot, "vendor")[2:],
            "device": reading.text(base, slot, "device")[2:],
            "driver": reading.link(base, slot, "driver"),
        }
        for slot in reading.names(base)
    ]


def told(value: str) -> str:
    """A field of the firmware; empty where its maker left a phrase in place of the truth."""
    return "" if value.lower() in _UNTOLD else value


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _secure_boot(root: str) -> bool:
    folder = os.path.join(root, "sys/firmware/efi/efivars")
    try:
        with open(os.path.join(folder, "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"), "rb") as file:
            return file.read()[4:5] == b"\x01"
    except OSError:
        return False


def _modules(folder: str) -> list[dict[str, Any]]:
    """Memory modules: SMBIOS 3.4, type 17. The size is a word at 0x0C: in MiB, or in KiB with bit 15; 0x7FFF says that
    a double word at 0x1C has it in MiB; 0 says that the slot is empty."""
    found = []
    for name in reading.names(folder):
        raw = _raw(os.path.join(folder, name, "raw")) if name.startswith("17-") else b""
        if len(raw) < 0x16:
            continue
        size = int.from_bytes(raw[0x0C:0x0E], "little")
        if size in (0, 0xFFFF):
            continue
        if size == 0x7FFF:
            bytes_ = (int.from_bytes(raw[0x1C:0x20], "little") & 0x7FFFFFFF) << 20
        else:
            bytes_ = (size & 0x7FFF) << (10 if size & 0x8000 else 20)
        strings = raw[raw[1] :].split(b"\0")
        found.append({"slot": _string(strings, raw[0x10]), "bytes": bytes_})
    return found


def _string(strings: list[bytes], number: int) -> str:
    return strings[number - 1].decode(errors="replace").strip() if 0 < number <= len(strings) else ""


def _raw(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError:
        return b""
