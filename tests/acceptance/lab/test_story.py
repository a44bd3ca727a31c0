"""The oldest story of the trade (OpenCrowbar told it first), by its events: a machine that nobody knew is found, is
given a role, and gets its system; it boots its installer once and never again."""

from __future__ import annotations

from typing import Any

import pytest

from rackwright.cli import planning
from rackwright.commands.lab_images import DEBIAN_NAME
from rackwright.commands.lab_site import Ground
from tests.acceptance.lab.running import RunningLab, in_order

STORY = "story"
MACHINE = "m3"
"""As the lab calls it; nobody has told the rack."""
CHAIN = ("os-target", "os-plan", "os-served", "os-boot", "os-write", "os-local", "os-restart", "os-home", "os-verified")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(lab: RunningLab) -> str:
    """The name of the machine once it has made itself known and was accepted."""
    lab.run("lab", "power", "on", MACHINE)
    serial = _described(lab).shape.serial
    name: str = lab.until(lambda: _known(lab, serial), f"{MACHINE} makes itself known")
    assert lab.node(name)["word"] == "new"
    lab.client.put(f"/nodes/{name}/power", _described(lab).power)
    lab.say("accept", name)
    return name


def test_a_machine_that_nobody_knew_has_told_what_it_is_made_of(lab: RunningLab, found: str) -> None:
    facts = lab.facts(found)
    assert facts["observed.inventory.disks"][0]["serial"] == _described(lab).shape.disk_serial
    assert facts["desired.address"].startswith("10.77.0.")


def test_its_story_is_told_by_its_events(lab: RunningLab, found: str) -> None:
    client = lab.client
    client.post("/deployments", {"name": STORY, "catalog": "metal"})
    bind = {"machine": [found], "os-install": [found]}
    first = planning.plan(client, STORY, {"bind": bind, "set": {"os": {"image": "no-such-image"}}})
    assert lab.facts(found).get("os.plan") is None, f"plan {first['id']} was only computed"

    wished = {"bind": bind, "set": {"os": {"image": DEBIAN_NAME, "hostname": "story"}}}
    planning.carry_out(client, planning.plan(client, STORY, wished)["id"])
    lab.until(lambda: client.get(f"/deployments/{STORY}")["state"] in ("active", "error"), "the story ends")
    assert client.get(f"/deployments/{STORY}")["state"] == "active", client.get(f"/deployments/{STORY}")["reasons"]

    runs = [event for event in lab.events(deployment=STORY, scope=found, kind="run") if "active" in event["text"]]
    chain = [
        "os-target",
        "os-plan",
        "os-served",
        "os-boot",
        "os-write",
        "os-local",
        "os-restart",
        "os-home",
        "os-verified",
    ]
    assert in_order([run["task"] for run in runs], chain)
    assert lab.facts(found)["observed.os"]["hostname"] == "story"

    served, restarted = _at(runs, "os-served"), [one["at"] for one in lab.happenings(MACHINE, "start")]
    assert [at for at in restarted if at > served], "it restarted once the rack answered with the installer"
    assert not [at for at in restarted[1:] if at < served], "and not before"
    assert lab.boots(found).count("install") == 1
    assert in_order(lab.boots(found), ["install", "local"])


def test_its_inventory_is_looked_at_again_by_itself(lab: RunningLab, found: str) -> None:
    def again() -> bool:
        runs = lab.events(deployment=STORY, scope=found, task="inventory-checked", kind="run")
        home = _at(lab.events(deployment=STORY, scope=found, kind="run"), "os-home")
        return any(run["at"] > home for run in runs)

    lab.until(again, "the installed system's inventory was looked at")


def test_it_never_boots_its_installer_twice(lab: RunningLab, found: str) -> None:
    before = lab.facts(found)["observed.booted"]["boot_id"]
    lab.run("lab", "power", "reset", MACHINE)
    lab.until(lambda: lab.facts(found)["observed.booted"]["boot_id"] != before, "it is back")
    assert lab.facts(found)["observed.booted"]["system"] == "installed"
    assert lab.boots(found).count("install") == 1


def _described(lab: RunningLab) -> Any:
    return Ground(lab.folder).load().machine(MACHINE)


def _known(lab: RunningLab, serial: str) -> str | None:
    for node in lab.client.items("/nodes"):
        if lab.facts(node["name"]).get("observed.serial") == serial:
            return str(node["name"])
    return None


def _at(events: list[dict[str, Any]], task: str) -> float:
    """When a task ended well for the last time."""
    return max(float(event["at"]) for event in events if event["task"] == task and "active" in event["text"])
