#!/usr/bin/env python3
"""See whether the system that runs is the one that was planned. It runs again whenever the machine starts anew."""

from __future__ import annotations

import os
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import told


def verified(plan: dict[str, Any], seen: dict[str, Any] | None) -> dict[str, Any]:
    """What runs there. Raises Refused when it is another system than the plan's."""
    if not seen:
        raise told.Refused("the machine has not told of its system", "wait until it starts, or look at its console")
    if seen.get("request") != plan["request"]:
        what = f"the machine runs a system of the request {seen.get('request')}, and {plan['request']} is planned"
        raise told.Refused(what, "deploy it again, or look whether it booted another disk")
    hostname = str(seen.get("hostname") or "").partition(".")[0]
    if hostname and hostname != plan["data"]["hostname"]:
        what = f"the system calls itself {hostname}, and {plan['data']['hostname']} is planned"
        raise told.Refused(what, "look at its /etc/hostname and at what DHCP tells it")
    told_of = {key: seen[key] for key in ("id", "version", "kernel") if seen.get(key)}
    return {"request": plan["request"], "image": plan["image"]["name"], **told_of}


def main() -> None:
    """Give the fact ``os.verified``."""
    given = told.inputs()
    try:
        fact = verified(given["plan"], given.get("seen"))
    except told.Refused as error:
        told.refuse(error)
    print(f"{fact['image']} runs: {fact.get('id', 'unknown')} {fact.get('version', '')} {fact.get('kernel', '')}")
    told.give({"os.verified": fact})


if __name__ == "__main__":
    main()
