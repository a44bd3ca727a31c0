#!/usr/bin/env python3
"""Say which disks are to be erased, each by its serial: those that were named, else all that cannot be pulled out."""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import told

MODES = ("quick", "zero", "secure")


def listed(parameters: dict[str, Any], disks: list[dict[str, Any]]) -> dict[str, Any]:
    """Mode and serials. Raises Refused for serials that are not there, and disks that have none."""
    mode = str(parameters.get("mode") or "quick")
    if mode not in MODES:
        raise told.Refused(f"there is no mode {mode}", f"use one of {', '.join(MODES)}")
    there = {str(disk.get("serial") or ""): disk for disk in disks}
    if parameters.get("disks"):
        serials = [str(serial) for serial in parameters["disks"]]
        if unknown := [serial for serial in serials if serial not in there or not serial]:
            has = ", ".join(sorted(filter(None, there))) or "none"
            raise told.Refused(f"the machine has no disk {', '.join(unknown)}", f"its serials: {has}")
        return {"mode": mode, "disks": serials}
    fixed = [disk for disk in disks if not disk.get("removable")]
    if nameless := [str(disk.get("path")) for disk in fixed if not disk.get("serial")]:
        mend = "name the disks to be erased by their serials (parameter `disks`)"
        raise told.Refused(f"{', '.join(nameless)} cannot be told apart: there is no serial", mend)
    if not fixed:
        raise told.Refused("the inventory has no disk to erase", "commission the machine, and look at its disks")
    return {"mode": mode, "disks": [str(disk["serial"]) for disk in fixed]}


def fallback(parameters: dict[str, Any]) -> str:
    """What is done where a disk cannot erase itself: ``zero``, or ``none``. Raises Refused for something else."""
    said = str(parameters.get("fallback") or "none")
    if said not in ("zero", "none"):
        raise told.Refused(f"there is no fallback {said}", "use zero or none")
    return said


def main() -> None:
    """Give the fact ``disks.chosen``."""
    given = told.inputs()
    activity = given["activity"]
    wished = activity.get("parameters") or {}
    try:
        chosen = {**listed(wished, given.get("disks") or []), "fallback": fallback(wished)}
    except told.Refused as error:
        told.refuse(error)
    print(f"{chosen['mode']}: {', '.join(chosen['disks'])}")
    told.give({"disks.chosen": {**chosen, "activity": activity["id"]}})


if __name__ == "__main__":
    main()
