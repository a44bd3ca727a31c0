#!/usr/bin/env python3
"""Tell who is in the cluster: names only, so that a new address of one server concerns nobody else."""

from __future__ import annotations

import json
import os
from pathlib import Path

inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
members = sorted(inputs["addresses"])
Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({"messaging.members": members}), encoding="utf-8")
print(f"{len(members)} members: {', '.join(members)}")
