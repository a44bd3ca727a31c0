#!/usr/bin/env python3
"""Tell where the seeds listen for other servers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
seeds = {name: f"{address}:{inputs['ports'][name]}" for name, address in sorted(inputs["addresses"].items())}
if not seeds:
    sys.exit("no node is bound to the role nats-seed: bind one, so that the servers find each other")
Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({"messaging.seeds": seeds}), encoding="utf-8")
print("seeds: " + ", ".join(f"{name} {place}" for name, place in seeds.items()))
