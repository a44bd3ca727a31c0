"""A BIOS machine by IPMI and a UEFI one by Redfish: from power-off to a system, and all that is done with them after.

The tests follow one another: each takes the machines as the one before has left them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.cli.catalog import read_folder
from rackwright.commands.lab_images import DEBIAN_NAME
from rackwright.commands.lab_site import Ground
from rackwright.sim.qemu import found
from tests.acceptance.lab.running import RunningLab, in_order

BIOS, UEFI = "m1", "m2"
BOTH = (BIOS, UEFI)
pytestmark = pytest.mark.slow


def test_machines_that_were_never_seen_are_inventoried(lab: RunningLab) -> None:
    lab.say("commission", *BOTH)
    described = {one.shape.name: one for one in Ground(lab.folder).load().machines}
    for name, firmware in ((BIOS, "bios"), (UEFI, "uefi")):
        facts, shape = lab.facts(name), described[name].shape
        assert facts["observed.inventory.firmware"]["mode"] == firmware
        assert facts["observed.inventory.system"]["serial"] == shape.serial
        assert facts["observed.inventory.system"]["uuid"] == str(shape.uuid)
        assert [(disk["serial"], disk["bytes"]) for disk in facts["observed.inventory.disks"]] == [
            (shape.disk_serial, shape.disk_bytes)
        ]
        assert [nic["mac"] for nic in facts["observed.inventory.nics"]] == [shape.mac()]
        assert 0.85 < facts["observed.inventory.memory"]["bytes"] / (shape.memory * 2**20) <= 1
        assert facts["observed.inventory.cpu"]["threads"] == 1
        assert lab.node(name)["word"] == "ready"
        assert lab.boots(name) == ["discovery"]
    assert _are_on(lab) == []


def test_they_get_their_system_and_boot_it_from_their_own_disk(lab: RunningLab) -> None:
    for name in BOTH:
        wished = {"image": DEBIAN_NAME, "hostname": f"host-{name}"}
        lab.client.patch(f"/nodes/{name}", {"facts": {"desired.os": wished}})
    lab.say("deploy", *BOTH)
    for name in BOTH:
        facts = lab.facts(name)
        assert facts["observed.os"]["request"] == facts["os.plan"]["request"]
        assert facts["observed.os"]["hostname"] == f"host-{name}"
        assert facts["observed.os"]["id"] == "debian"
        assert facts["observed.os"]["ssh_host_keys"]
        assert (lab.node(name)["word"], lab.node(name)["alive"]) == ("deployed", True)
    assert lab.boots(BIOS) == ["discovery", "install", "local"]
    assert lab.boots(UEFI) == ["discovery", "install"], "UEFI goes to its disk by itself"


def test_a_task_runs_on_them_by_agent_by_ssh_and_by_ansible(lab: RunningLab) -> None:
    client = lab.client
    client.post("/catalogs", {"name": "proofs", "files": read_folder(Path(__file__).parent / "proofs")})
    client.post("/deployments", {"name": "proofs", "catalog": "proofs"})
    lab.roll_out("proofs", {"bind": {"proof": list(BOTH)}})
    for name in BOTH:
        facts = lab.facts(name)
        assert {facts[f"proof.{jig}"] for jig in ("agent", "ssh", "ansible")} == {f"host-{name}"}


def test_a_machine_is_rescued_and_comes_back_to_its_system(lab: RunningLab) -> None:
    before = lab.facts(BIOS)["observed.os"]
    lab.say("rescue", BIOS)
    assert lab.facts(BIOS)["observed.booted"]["system"] == "rescue"
    lab.say("exit-rescue", BIOS)
    lab.until(lambda: lab.facts(BIOS)["observed.booted"]["system"] == "installed", "its own system is back")
    assert lab.facts(BIOS)["observed.os"]["ssh_host_keys"] == before["ssh_host_keys"]
    assert in_order(lab.boots(BIOS), ["local", "rescue", "local"])


def test_a_machine_is_installed_anew_when_the_verb_is_said_again(lab: RunningLab) -> None:
    before = lab.facts(BIOS)["observed.os"]
    lab.say("deploy", BIOS)
    after = lab.facts(BIOS)["observed.os"]
    assert after["request"] != before["request"]
    assert not set(after["ssh_host_keys"]) & set(before["ssh_host_keys"])
    assert lab.boots(BIOS)[-2:] == ["install", "local"]


def test_what_is_on_the_disk_is_gone_once_a_machine_is_released(lab: RunningLab, tmp_path: Path) -> None:
    lab.client.delete("/deployments/proofs")
    lab.say("release", UEFI, mode="quick")
    assert lab.node(UEFI)["word"] == "ready"
    assert "observed.os" not in lab.facts(UEFI)
    disk = Ground(lab.folder).machines / UEFI / "disk.qcow2"
    first = tmp_path / "first"
    subprocess.run(
        [found("qemu-img"), "dd", "-U", "-f", "qcow2", "-O", "raw", "bs=1M", "count=1", f"if={disk}", f"of={first}"],
        check=True,
    )
    assert first.read_bytes() == bytes(1 << 20)


@pytest.fixture
def broken(lab: RunningLab) -> Iterator[RunningLab]:
    """A lab in which a BMC may be broken; it is mended afterwards."""
    yield lab
    lab.run("lab", "fault", UEFI)


def test_a_bmc_with_another_password_is_a_clear_failure_and_retry_goes_on_once_it_is_mended(
    broken: RunningLab,
) -> None:
    broken.run("lab", "fault", UEFI, "--password", "somebody-changed-it")
    broken.client.post("/nodes:batch", {"verb": "commission", "names": [UEFI]})
    machine = broken.until(lambda: _failed(broken, UEFI), "the activity has failed")
    assert "password" in machine["reason"]
    broken.run("lab", "fault", UEFI)
    broken.say("retry", UEFI)
    assert broken.node(UEFI)["word"] == "ready"


def _failed(lab: RunningLab, name: str) -> dict[str, str] | None:
    machine: dict[str, str] = lab.node(name)["machine"]
    return machine if machine["phase"] == "failed" else None


def _are_on(lab: RunningLab) -> list[str]:
    """The machines with power."""
    machines = [json.loads(line) for line in lab.run("lab", "status", "-o", "jsonl").splitlines()]
    return [machine["name"] for machine in machines if machine["on"]]
