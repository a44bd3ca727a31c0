#!/usr/bin/env python3
"""Choose which image goes to which disks of this machine. Nothing is touched; the same choice is no change."""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import images
import storage
import told


def target(given: dict[str, Any]) -> dict[str, Any]:
    """The choice. ``given``: ``os`` (what is wished), ``images``, ``disks``, ``firmware`` and ``macs`` (people's; the
    machine's own report names them in another order when another system runs)."""
    wished = given.get("os") or {}
    manifest = images.find(given.get("images"), str(wished.get("image") or ""))
    method = images.method_of(manifest, wished.get("method"))
    mode = (given.get("firmware") or {}).get("mode") or "bios"
    if mode not in manifest.get("firmware", ["bios", "uefi"]):
        mend = "choose another image, or switch the machine's firmware"
        raise told.Refused(f"the machine boots by {mode}, and the image {manifest['name']} cannot", mend)
    layout = storage.checked(wished.get("storage"), method, manifest.get("properties", {}).get("layouts") or ())
    chosen: list[dict[str, Any]] = []
    if method != "memory":
        count = 2 if layout["layout"] == "raid1" else 1
        chosen = storage.choose(given.get("disks") or [], wished.get("disk") or {}, _needed(manifest, method), count)
    macs = [str(mac).lower() for mac in given.get("macs") or []]
    return {
        "image": {
            "name": manifest["name"],
            "version": manifest["version"],
            "digest": images.digest(manifest),
            "arguments": manifest.get("arguments", ""),
            "properties": manifest.get("properties", {}),
            "files": [one for one in manifest.get("files", []) if one["part"] in ("disk", "other")],
        },
        "method": method,
        "firmware": mode,
        "disks": chosen,
        "layout": layout,
        "mac": macs[0] if macs else "",
    }


def _needed(manifest: dict[str, Any], method: str) -> int:
    least = int(manifest.get("properties", {}).get("min_bytes") or 0)
    if method == "image":
        return max(least, int(images.file(manifest, "disk").get("raw_bytes") or 0))
    return max(least, storage.LEAST)


def main() -> None:
    """Give the fact ``os.target``."""
    try:
        made = target(told.inputs())
    except told.Refused as error:
        told.refuse(error)
    disks = ", ".join(disk["serial"] or disk["path"] for disk in made["disks"]) or "no disk"
    print(f"{made['image']['name']} {made['image']['version']} ({made['method']}) to {disks}")
    told.give({"os.target": made})


if __name__ == "__main__":
    main()
