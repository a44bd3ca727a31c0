"""The start of a lab: wires, keeper, and what people would tell the rack about its network and its machines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import Any

from rackwright.cli.client import Client
from rackwright.cli.settings import read_settings
from rackwright.commands import lab_control, lab_ending, lab_images
from rackwright.commands.lab_site import MARK, RACK, Ground, Lab, design, lay_wires, network
from rackwright.core.errors import Conflict, RackwrightError, StoreUnavailable
from rackwright.sim import wires

PATIENCE = 180.0
"""Seconds for the api to answer."""
LOOK = 0.2
ENVIRONMENT = ("RACKWRIGHT_DSN", "RACKWRIGHT_SERVER", "RACKWRIGHT_TOKEN", "RACKWRIGHT_DATA")
"""What must not reach the lab from outside."""


def start(ground: Ground, wanted: dict[str, Any]) -> Lab:
    """Start a lab and tell its rack what people know. What fails leaves nothing behind. ``wanted``: see the options of
    `rackwright lab up`. Raises RackwrightError."""
    ground.prepare()
    discovery = lab_images.build(wanted["images"], lab_images.DISCOVERY)
    try:
        with _listening(wanted["port"] or 0) as listening:
            port = listening.getsockname()[1]
            more = {name: wanted[name] for name in ("memory", "disk", "dhcp", "unknown")}
            lab = design(ground, port, wanted["nodes"], wanted["firmware"], wanted["bmc"], **more)
            ground.save(lab)
            lay_wires(lab)
            keeper = _start_keeper(ground, lab, listening)
        _until_ready(ground, keeper)
        lab_images.bring(ground.site, discovery)
        declare(operator(ground), lab)
    except BaseException:
        lab_ending.end(ground)
        raise
    return lab


def operator(ground: Ground) -> Client:
    """The lab's api as its operator sees it."""
    return Client(read_settings(None, None, {"RACKWRIGHT_DATA": str(ground.site)}))


def declare(client: Client, lab: Lab) -> None:
    """Tell the rack its network, and its machines, but for those that shall make themselves known."""
    client.patch(f"/racks/{RACK}", {"facts": {"desired.rack.networks": [network()]}})
    if not lab.declared:
        return
    nodes = [{"name": one.shape.name, "rack": RACK, "address": one.address} for one in lab.declared]
    wrong = [item for item in client.post("/nodes", nodes)["items"] if item.get("error")]
    if wrong:
        raise Conflict(wrong[0]["error"], where=wrong[0]["name"])
    for one in lab.declared:
        path = f"/nodes/{one.shape.name}"
        client.patch(path, {"facts": {"desired.macs": [one.shape.mac()]}})
        client.put(f"{path}/power", one.power)
    accepted = client.post("/nodes:batch", {"verb": "accept", "names": [node["name"] for node in nodes]})
    wrong = [item for item in accepted["items"] if item.get("error")]
    if wrong:
        raise Conflict(wrong[0]["error"], where=wrong[0]["name"])


def _start_keeper(ground: Ground, lab: Lab, listening: socket.socket) -> subprocess.Popen[bytes]:
    words = ["lab", "keep", "--data", str(ground.folder), "--listen-fd", str(listening.fileno())]
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    with ground.log.open("wb") as log:
        return subprocess.Popen(
            wires.inside(lab.namespace, [sys.executable, "-P", "-m", "rackwright", *words]),
            env=environment | {MARK: str(ground.folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(listening.fileno(),),
        )


def _until_ready(ground: Ground, keeper: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while keeper.poll() is None and time.monotonic() < end:
        try:
            if lab_control.ask(ground.control, "status")["ready"]:
                return
        except RackwrightError:
            pass
        time.sleep(LOOK)
    said = "\n".join(ground.log.read_text(errors="replace").splitlines()[-10:])
    raise StoreUnavailable(f"the lab did not come up; it last said:\n{said}", where=str(ground.log))


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise Conflict(
            f"the port cannot be had: {error.strerror}", where=f"127.0.0.1:{port}", mend="give another --port"
        ) from None
