#!/usr/bin/env python3
"""Wait, without holding anything, until the installed system has told that it runs from its own disk."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import told

given = told.inputs()
request = given["plan"]["request"]
print(f"waiting for the system of request {request}")
reason = "the machine starts its new system; it has not told yet that it runs"
wait = {"until": float(sys.argv[1]), "reason": reason, "until_fact": {"observed.os.request": request}}
told.give({"parked": wait})
