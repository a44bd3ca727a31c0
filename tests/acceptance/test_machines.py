"""The life of a machine over real processes: it registers, is commissioned and deployed through kills, and released."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from rackwright.cli.client import Client
from rackwright.cli.settings import Settings
from rackwright.commands.demo_machine import patiently
from tests.acceptance.site import CATALOGS, Site, eventually

NETWORK = {"cidr": "127.251.0.0/24", "address": "127.251.0.1", "static": ["127.251.0.10", "127.251.0.20"]}
STRANGER = {
    "macs": ["52:54:00:aa:00:01"],
    "serial": "LAB-1",
    "clock": 17.0,
    "boot_id": "b1",
    "inventory": {"cpu": {"cores": 4}},
}


def enlist(site: Site, said: dict[str, Any]) -> str:
    """Let a machine register at the rack r1, as its process asks the api; gives its name."""
    token = (site.data / "tokens" / "rack-r1").read_text().strip()
    rack = Client(Settings(site.client.server, token))
    try:
        return str(rack.post("/racks/r1/enlist", said)["name"])
    finally:
        rack.close()


def node(site: Site, name: str) -> dict[str, Any]:
    found: dict[str, Any] = patiently(lambda: site.client.get(f"/nodes/{name}"))
    return found


def test_a_machine_goes_through_its_life_whatever_is_killed(site: Site, tmp_path: Path) -> None:
    site.run("catalog", "add", str(CATALOGS / "machines"))
    site.run("deployment", "create", "metal", "--catalog", "machines")
    site.client.patch("/racks/r1", {"facts": {"desired.rack.networks": [NETWORK]}})
    name = enlist(site, STRANGER)
    assert enlist(site, STRANGER) == name
    assert "new" in site.run("get", "machines").stdout

    site.run("node", "accept", name)
    assert node(site, name)["address"] == "127.251.0.10"
    site.run("node", "commission", name, "--wait", "--timeout", "240s")
    assert node(site, name)["facts"]["checked.cores"] == "4"

    hold = tmp_path / "hold"
    hold.touch()
    site.run("node", "deploy", name, "--yes", "--set", "image=debian-12", "--set", f"hold={hold}")
    eventually(lambda: Path(f"{hold}.seen").exists(), "the disk is being written")
    refused = site.run("node", "erase", name, "--yes", code=4)
    assert "it is deploying now (possible now: hold, abort, retry)" in refused.stderr
    for pid in (site.machine.child("api"), site.machine.child("conductor"), *site.machine.racks().values()):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    hold.unlink()
    eventually(lambda: node(site, name)["word"] == "deployed", "the machine is deployed")
    facts = node(site, name)["facts"]
    assert facts["os.plan.image"] == "debian-12"
    assert facts["os.written"] == "true"
    assert "machine.activity" not in facts

    site.run("node", "release", name, "--yes", "--wait", "--timeout", "240s")
    released = node(site, name)
    assert (released["word"], released["address"]) == ("ready", "127.251.0.10")
    assert not {"os.plan.request", "os.written"} & released["facts"].keys()
    told = [event["data"]["word"] for event in site.client.get("/events")["items"] if event["kind"] == "machine"]
    assert told == ["new", "ready", "commissioning", "ready", "deploying", "deployed", "releasing", "ready"]


def test_of_two_verbs_at_once_one_wins(site: Site) -> None:
    name = enlist(site, {**STRANGER, "macs": ["52:54:00:aa:00:02"], "serial": "LAB-2"})
    site.run("node", "accept", name)
    answers: list[dict[str, Any]] = []
    together = threading.Barrier(2, timeout=60)

    def say(verb: str) -> None:
        client = site.machine.client()
        said = {"verb": verb, "names": [name], "parameters": {"image": "x"}}
        together.wait()
        answers.extend(client.post("/nodes:batch", said)["items"])
        client.close()

    both = [threading.Thread(target=say, args=(verb,)) for verb in ("deploy", "erase")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    (lost,) = [answer["error"] for answer in answers if answer["error"]]
    assert "possible now: hold, abort, retry" in lost
    eventually(lambda: node(site, name)["machine"]["phase"] == "idle", "the activity is over")
