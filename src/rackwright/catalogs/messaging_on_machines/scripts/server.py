#!/usr/bin/env python3
"""Run a NATS server on this machine: its program from the rack, its configuration, and a unit of systemd.

Arguments: the SHA-256 of the program, and the fact to write.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["RACKWRIGHT_FILES"], os.environ["UNIT"]).parent))

from unit import start, wait_for

SETTINGS = Path("/etc/rackwright/agent.json")
PROGRAM = Path("/usr/local/bin/nats-server")
CONFIGURATION = Path("/etc/nats-server.conf")


def fetch(digest: str) -> None:
    """Put the program into its place, unless it is there."""
    if PROGRAM.exists() and hashlib.sha256(PROGRAM.read_bytes()).hexdigest() == digest:
        return
    door = json.loads(SETTINGS.read_text(encoding="utf-8"))["door"].rstrip("/")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{door}/assets/{digest}", timeout=60) as answer:
        program = answer.read()
    if hashlib.sha256(program).hexdigest() != digest:
        sys.exit("what the rack gave is not the program: its SHA-256 differs")
    unborn = PROGRAM.with_suffix(".new")
    unborn.write_bytes(program)
    unborn.chmod(0o755)
    unborn.rename(PROGRAM)
    print(f"{PROGRAM}: {len(program)} bytes")


def main() -> None:
    """Start the server anew with the configuration of the inputs; give its digest as the fact."""
    digest, fact = sys.argv[1:]
    inputs = json.loads(Path(os.environ["RACKWRIGHT_INPUTS"]).read_text(encoding="utf-8"))
    fetch(digest)
    CONFIGURATION.write_text(inputs["config"], encoding="utf-8")
    start("nats-server", "NATS server", f"{PROGRAM} --config {CONFIGURATION}")
    wait_for(inputs["address"], int(inputs["client_port"]))
    running = hashlib.sha256((digest + inputs["config"]).encode()).hexdigest()
    Path(os.environ["RACKWRIGHT_OUTPUT"]).write_text(json.dumps({fact: running}), encoding="utf-8")
    print(f"the server listens at {inputs['address']}:{inputs['client_port']}")


main()
