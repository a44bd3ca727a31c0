"""What tests of the catalog `metal` share: its scripts as modules, its texts, wishes, and texts kept for comparison."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

CATALOG = Path(__file__).resolve().parents[2] / "src" / "rackwright" / "catalogs" / "metal"
GOLDEN = Path(__file__).parent / "golden_metal"

sys.path.insert(0, str(CATALOG / "scripts"))
# They are data: nothing in the product imports them, so that mypy does not know them.
answers: Any = importlib.import_module("answers")
erase_list: Any = importlib.import_module("erase_list")
hardware: Any = importlib.import_module("hardware")
images: Any = importlib.import_module("images")
netconf: Any = importlib.import_module("netconf")
os_plan: Any = importlib.import_module("os_plan")
os_target: Any = importlib.import_module("os_target")
os_verified: Any = importlib.import_module("os_verified")
storage: Any = importlib.import_module("storage")
told: Any = importlib.import_module("told")
sys.path.pop(0)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFiYWNhYmFjYWJhY2FiYWNhYmFjYWJhY2FiYWNhYmFj anna@desk"
MACS = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
GIB = 1 << 30
DISKS = [
    {"name": "sda", "path": "/dev/sda", "serial": "BIG1", "bytes": 900 * GIB, "removable": False},
    {"name": "sdb", "path": "/dev/sdb", "serial": "SSD1", "bytes": 100 * GIB, "removable": False},
    {"name": "sdc", "path": "/dev/sdc", "serial": "SSD2", "bytes": 100 * GIB, "removable": False},
    {"name": "sdd", "path": "/dev/sdd", "serial": "STICK", "bytes": 64 * GIB, "removable": True},
]
BONDED: dict[str, Any] = {
    "dns": {"addresses": ["10.0.0.2", "10.0.0.3"], "search": ["rack.example"]},
    "interfaces": [
        {"name": "lan0", "mac": MACS[0].upper()},
        {"name": "lan1", "mac": MACS[1]},
        {"name": "bond0", "type": "bond", "members": ["lan0", "lan1"], "mode": "802.3ad", "mtu": 9000},
        {"name": "vlan10", "type": "vlan", "link": "bond0", "id": 10},
        {"name": "br0", "type": "bridge", "members": ["vlan10"], "addresses": ["10.0.10.5/24", "fd00::5/64"],
         "gateway": "10.0.10.1", "routes": [{"to": "10.9.0.0/16", "via": "10.0.10.9"}]},
    ],
}  # fmt: skip


def text(path: str) -> str:
    """A text of the catalog."""
    return (CATALOG / path).read_text(encoding="utf-8")


def wish(network: dict[str, Any] | None = None, **more: Any) -> Any:
    """A wish of n1, with one disk unless something else is said."""
    given: dict[str, Any] = {
        "hostname": "n1",
        "domain": "rack.example",
        "ssh_keys": [KEY],
        "network": netconf.checked(network, MACS[:1], ["10.0.0.2"]),
        "plain": network is None,
        "layout": storage.checked(more.pop("storage", None), "preseed"),
        "disks": [{"serial": "SSD1", "bytes": 100 * GIB}],
        "mirror": "http://mirror.example/debian",
    }
    return answers.Wish(**{**given, **more})


def manifest(kind: str = "disk", **more: Any) -> dict[str, Any]:
    """An image as a rack's facts tell of it."""
    parts = {"disk": ["disk"], "installer": ["kernel", "ramdisk"], "memory": ["kernel", "ramdisk"]}[kind]
    files = [
        {"name": part, "part": part, "bytes": 1000, "sha256": part[0] * 64, "compression": "zstd",
         "raw_bytes": 2 * GIB if part == "disk" else 0, "raw_sha256": "e" * 64 if part == "disk" else ""}
        for part in parts
    ]  # fmt: skip
    return {
        "name": "debian-12", "version": "2026.1", "kind": kind, "arch": "x86_64", "firmware": ["bios", "uefi"],
        "files": files, "arguments": "", "properties": {}, "made_at": 1.5, "key": "", "signature": "", **more,
    }  # fmt: skip


def same_as_kept(name: str, made: Any) -> None:
    """Compare with the text that is kept; a mapping or list is compared as JSON. RACKWRIGHT_GOLDEN=write keeps it."""
    path = GOLDEN / name
    said = made if isinstance(made, str) else json.dumps(made, indent=2) + "\n"
    if os.environ.get("RACKWRIGHT_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(said, encoding="utf-8")
    assert said == path.read_text(encoding="utf-8")
