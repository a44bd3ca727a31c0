#!/usr/bin/env python3
"""Compare a machine's inventory with what people want of it, and say all that is missing at once."""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import told

GIB = 1 << 30


def faults(wanted: dict[str, Any], inventory: dict[str, Any]) -> list[str]:
    """Everything in which the machine falls short, a sentence each."""
    cpu, memory = inventory.get("cpu") or {}, inventory.get("memory") or {}
    disks = [disk for disk in inventory.get("disks") or [] if not disk.get("removable")]
    nics = inventory.get("nics") or []
    found = [
        _least("threads of processors", wanted.get("min_threads"), cpu.get("threads") or 0),
        _least("bytes of memory", wanted.get("min_memory_bytes"), memory.get("bytes") or 0),
        _least("disks", wanted.get("min_disks"), len(disks)),
        _least("bytes on its largest disk", wanted.get("min_disk_bytes"), max([int(d["bytes"]) for d in disks] or [0])),
        _least("network interfaces", wanted.get("min_nics"), len(nics)),
        _least(
            "network interfaces with a carrier", wanted.get("min_links"), len([n for n in nics if n.get("carrier")])
        ),
    ]
    mode = (inventory.get("firmware") or {}).get("mode")
    if wanted.get("firmware") and mode != wanted["firmware"]:
        found.append(f"it boots by {mode or 'unknown means'}, and {wanted['firmware']} is wanted")
    found += [_cabling(port, nics) for port in wanted.get("cabling") or []]
    return [fault for fault in found if fault]


def summary(inventory: dict[str, Any]) -> dict[str, Any]:
    """The inventory in a few numbers, for lists."""
    disks = inventory.get("disks") or []
    return {
        "threads": (inventory.get("cpu") or {}).get("threads", 0),
        "memory_gib": round(((inventory.get("memory") or {}).get("bytes") or 0) / GIB, 1),
        "disks": len(disks),
        "disk_gib": round(sum(int(disk["bytes"]) for disk in disks) / GIB, 1),
        "nics": len(inventory.get("nics") or []),
        "firmware": (inventory.get("firmware") or {}).get("mode", ""),
    }


def _least(what: str, wanted: Any, has: int) -> str:
    return f"it has {has} {what}, and {wanted} are wanted" if wanted and has < int(wanted) else ""


def _cabling(port: dict[str, Any], nics: list[dict[str, Any]]) -> str:
    """Whether an interface hangs on the switch port that the plan of the cables says, as LLDP told."""
    named = [nic for nic in nics if port.get("interface") in (nic.get("name"), nic.get("mac"))]
    if not named:
        return f"it has no interface {port.get('interface')}"
    heard = named[0].get("lldp") or {}
    for key in ("system", "port"):
        if port.get(key) and heard.get(key) != port[key]:
            said = heard.get(key) or "nothing"
            return f"{port['interface']} is connected to {key} {said} and should be to {port[key]}"
    return ""


def main() -> None:
    """Give the fact that is named by the first word."""
    given = told.inputs()
    inventory = {key: given.get(key) for key in ("cpu", "memory", "disks", "nics", "firmware")}
    if not any(inventory.values()):
        told.refuse(told.Refused("the machine has no inventory", "commission it: it then boots the discovery system"))
    short = faults(given.get("wanted") or {}, inventory)
    if short:
        mend = "mend the machine, or the attributes of the role hardware"
        told.refuse(told.Refused("the machine is not what is wanted: " + "; ".join(short), mend))
    fact = summary(inventory)
    print(", ".join(f"{key} {value}" for key, value in fact.items()))
    told.give({sys.argv[1]: fact})


if __name__ == "__main__":
    main()
