"""What the actions of an agent do to a machine of a fleet, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rackwright.core.machine_messages import AgentTask
from rackwright.sim.fleet import makeup
from rackwright.sim.fleet.machine import Machine


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an action that went well: facts of its task, and what the agent has seen by path below
    ``observed``, for its next poll."""

    facts: dict[str, Any] = {}
    seen: dict[str, Any] = {}


def done(machine: Machine, task: AgentTask) -> Done:
    """Do it."""
    given = task.parameters
    if task.action == "inventory":
        found = makeup.inventory(machine.seed, machine.number)
        return Done(seen={f"inventory.{part}": value for part, value in found.items()})
    if task.action == "write-image":
        return Done(facts=_written(machine, given))
    if task.action == "erase":
        machine.disk, machine.hostname = "", ""
        erased = [{"serial": serial, "mode": given.get("mode", "quick")} for serial in given.get("disks") or ()]
        return Done(facts={"disks.erased": erased})
    if task.action == "bmc":
        names = ("user", "slot", "channel", "privilege")
        return Done(facts={"bmc.user": {name: given.get(name) for name in names}})
    if task.action == "verify":
        verified = {"sha256": given.get("sha256", ""), "bytes": given.get("bytes", 0)}
        return Done(facts={"image.verified": verified})
    if task.action == "burnin":
        parts = [part for part in ("cpu", "memory", "disk", "network") if given.get(part)]
        return Done(facts={f"tests.{part}": {"seconds": given[part]} for part in parts})
    return Done()


def _written(machine: Machine, given: Mapping[str, Any]) -> dict[str, Any]:
    """The image is on the disk: not a byte of it was fetched."""
    disk = given.get("disk") or {}
    found = makeup.inventory(machine.seed, machine.number)["disks"]
    chosen = next((one for one in found if disk.get("serial") in ("", None, one["serial"])), found[0])
    machine.disk = str(given.get("request") or "")
    texts = {file["path"]: str(file.get("content", "")) for file in given.get("seed") or ()}
    machine.hostname = texts.get("/etc/hostname", "").strip()
    return {
        "os.written": {
            "request": machine.disk,
            "disk": {name: chosen[name] for name in ("path", "serial", "bytes")},
            "sha256": given.get("sha256", ""),
            "bytes": given.get("raw_bytes", 0),
            "seconds": 0.0,
        }
    }
