#!/usr/bin/env python3
"""Wait for a person: `rackwright task continue` ends it. Nothing is held meanwhile."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import told

parameters = (told.inputs()["activity"] or {}).get("parameters") or {}
reason = str(parameters.get("reason") or "a person works on the machine")
print(f"{reason}: continue the task when it is done")
told.give({"parked": {"until": float(sys.argv[1]), "reason": reason}})
