"""What the machines of a fleet are made of. All of it follows from the seed and a machine's number: nothing is kept."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from rackwright.sim.shape import GIB, Firmware

MODELS: tuple[dict[str, Any], ...] = (
    {"product": "Two Sockets", "sockets": 2, "cores": 32, "memory": 256, "disks": (480, 480), "nics": 2},
    {"product": "Storage", "sockets": 2, "cores": 24, "memory": 128, "disks": (240, 240, *[16_000] * 12), "nics": 4},
    {"product": "One Socket", "sockets": 1, "cores": 16, "memory": 64, "disks": (480,), "nics": 2},
)
"""What one can buy: memory and disks in GiB."""


def model(seed: int, number: int) -> dict[str, Any]:
    """Which of the models a machine is."""
    return MODELS[_drawn(seed, number) % len(MODELS)]


def firmware(seed: int, number: int) -> Firmware:
    """By which firmware a machine boots; two of three by UEFI."""
    return "bios" if _drawn(seed, number) // 7 % 3 == 0 else "uefi"


def serial(seed: int, number: int) -> str:
    """A machine's serial number."""
    return f"SIM{seed & 0xFFFF:04X}{number:07d}"


def identity(seed: int, number: int) -> uuid.UUID:
    """A machine's UUID."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"rackwright.sim.{seed}.{number}")


def mac(seed: int, number: int, nic: int = 0) -> str:
    """The address of a network interface, administered locally: room for 16 seeds, 16 interfaces and 2**32 machines."""
    return ":".join(f"{byte:02x}" for byte in (0x0E, (seed & 15) << 4 | nic, *number.to_bytes(4, "big")))


def password(seed: int, number: int) -> str:
    """That of a machine's BMC; IPMI takes at most 20 characters."""
    return hashlib.blake2b(f"{seed}/{number}/bmc".encode(), digest_size=8).hexdigest()


def macs(seed: int, number: int) -> tuple[str, ...]:
    """All of a machine's Ethernet addresses."""
    return tuple(mac(seed, number, nic) for nic in range(model(seed, number)["nics"]))


def inventory(seed: int, number: int) -> dict[str, Any]:
    """What a machine's agent finds, in the words of ``agent.inventory``."""
    made, mode = model(seed, number), firmware(seed, number)
    cores = made["sockets"] * made["cores"]
    return {
        "cpu": {
            "model": "Simulated", "vendor": "Rackwright", "sockets": made["sockets"], "cores": cores,
            "threads": 2 * cores, "microcode": "0x1", "virtualisation": True, "numa": made["sockets"],
        },
        "memory": {"bytes": made["memory"] * GIB, "modules": [], "corrected_errors": 0},
        "disks": [_disk(seed, number, place, size) for place, size in enumerate(made["disks"])],
        "nics": [_nic(seed, number, nic) for nic in range(made["nics"])],
        "system": {
            "vendor": "Rackwright", "product": made["product"], "version": "1", "serial": serial(seed, number),
            "uuid": str(identity(seed, number)), "sku": "", "board_vendor": "", "board": "", "board_serial": "",
            "chassis_serial": "", "asset_tag": "",
        },
        "pci": [],
        "bmc": None,
        "firmware": {"mode": mode, "secure_boot": False, "vendor": "Rackwright", "version": "1", "date": "2026-01-01"},
    }  # fmt: skip


def _disk(seed: int, number: int, place: int, size: int) -> dict[str, Any]:
    name = f"sd{chr(ord('a') + place)}"
    return {
        "name": name, "path": f"/dev/{name}", "serial": f"{serial(seed, number)}D{place:02d}", "wwn": "",
        "model": "Simulated", "bytes": size * GIB, "rotational": size > 2_000, "removable": False, "transport": "sata",
    }  # fmt: skip


def _nic(seed: int, number: int, nic: int) -> dict[str, Any]:
    return {
        "name": f"eth{nic}", "mac": mac(seed, number, nic), "driver": "simulated", "pci": "", "speed": 25_000,
        "carrier": nic < 2, "mtu": 1500, "lldp": None,
    }  # fmt: skip


def _drawn(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=4).digest(), "big")
