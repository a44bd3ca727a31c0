"""An image on a volume and on a mirror: written by the discovery system, and started by BIOS and UEFI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.images import Manifest
from rackwright.core.machine_messages import AgentTask
from rackwright.drivers.image import debian, discovery, workshop
from tests.acceptance.discovery_machine import MIB, Drive, booting, discovering, wait_for
from tests.integration.agent_door import AgentDoor, agent_door

PROGRAMS = ("qemu-system-x86_64", "apt-get", "dpkg-deb", "mke2fs", "sgdisk", "mmdebstrap")

TELL = """[Unit]
After=swap.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo swap: $(cat /proc/swaps) >/dev/console'
"""
"""A unit that tells on the console what is swapped to."""
PATIENCE = "[Manager]\nDefaultDeviceTimeoutSec=900\n"
"""On a busy host emulation is slow."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="an image of Debian is built as root"),
    pytest.mark.skipif(
        any(shutil.which(program, path=f"{os.defpath}:/usr/sbin:/sbin") is None for program in PROGRAMS),
        reason=f"needs Debian with {', '.join(PROGRAMS)}",
    ),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, image_cache: Path) -> tuple[Path, Path, Manifest]:
    """The folders of the discovery system and of a Debian that can stand on both, and the manifest of that."""
    folder = tmp_path_factory.mktemp("images")
    discovery.build("lab", folder / "discovery", image_cache)
    return folder / "discovery", folder / "debian", debian.build(folder / "debian", image_cache, layouts=True)


def drives(folder: Path, count: int) -> list[Drive]:
    """Empty disks that are larger than the image."""
    made = [Drive(folder / f"disk{number}", f"LAB{number}") for number in range(1, count + 1)]
    for drive in made:
        with drive.file.open("wb") as file:
            file.truncate(1536 * MIB)
    return made


def asked(manifest: Manifest, disks: list[Drive], layout: dict[str, Any]) -> dict[str, Any]:
    """What the agent is told to write."""
    image = manifest.files[0]
    return {
        "url": "/assets/image", "compression": image.compression, "sha256": image.sha256, "bytes": image.bytes,
        "raw_bytes": image.raw_bytes, "root": manifest.properties["root"], "grow": True, "request": "r1",
        "layout": layout, "disk": {"serial": disks[0].serial},
        "mirror": [{"serial": disk.serial} for disk in disks[1:]],
        "seed": [
            {"path": "/etc/hostname", "content": "laid-out\n"},
            {"path": "/etc/systemd/system.conf.d/slow.conf", "content": PATIENCE},
            {"path": "/etc/systemd/system/tell.service", "content": TELL},
            {"path": "/etc/systemd/system/multi-user.target.wants/tell.service", "link": "../tell.service"},
        ],
    }  # fmt: skip


def done(door: AgentDoor, id: int, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Have the agent do something; gives its facts."""
    door.tasks = [AgentTask(id=id, attempt=1, action=action, parameters=parameters)]
    ended = door.wait(lambda: [result for result in door.said["result"] if result.id == id], 900)[0]
    assert ended.outcome == "ok", (ended.reason, door.log(id))
    facts: dict[str, Any] = ended.facts
    return facts


def write(images: tuple[Path, Path, Manifest], disks: list[Drive], layout: dict[str, Any]) -> dict[str, Any]:
    """Have the discovery system write the image with this layout; gives what it says of it."""
    system, folder, manifest = images
    with agent_door() as door, discovering(system, disks, door, "storage"):
        door.files["/assets/image"] = (folder / manifest.files[0].name).read_bytes()
        told: dict[str, Any] = done(door, 1, "write-image", asked(manifest, disks, layout))["os.written"]
        return told


def test_an_image_on_a_mirror_starts_from_either_disk_by_either_firmware(
    images: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    disks = drives(tmp_path, 2)
    told = write(images, disks, {"layout": "raid1"})
    assert [disk["serial"] for disk in told["disks"]] == ["LAB1", "LAB2"]
    for firmware, left in (("bios", disks), ("uefi", disks[1:]), ("bios", disks[:1])):
        with booting(left, firmware) as console:
            wait_for(console, "laid-out login:", 900)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_an_image_on_a_volume_starts_and_has_its_swap(
    images: tuple[Path, Path, Manifest], tmp_path: Path, firmware: str
) -> None:
    disks = drives(tmp_path, 1)
    told = write(images, disks, {"layout": "lvm", "swap_bytes": 64 * MIB})
    assert told["layout"] == "lvm"
    with booting(disks, firmware) as console:
        wait_for(console, "/dev/dm-", 900)
        wait_for(console, "laid-out login:", 900)


def test_a_machine_goes_to_its_new_system_without_the_firmware(
    images: tuple[Path, Path, Manifest], tmp_path: Path
) -> None:
    system, folder, manifest = images
    disks = drives(tmp_path, 1)
    given = asked(manifest, disks, {})
    restart = {"way": "kexec", "disk": given["disk"], "root": given["root"], "arguments": manifest.arguments}
    with agent_door() as door, discovering(system, disks, door) as console:
        door.files["/assets/image"] = (folder / manifest.files[0].name).read_bytes()
        done(door, 1, "write-image", given)
        done(door, 2, "reboot", restart)
        assert "without the firmware" in door.log(2)
        wait_for(console, "laid-out login:", 900)


def test_the_same_packages_give_the_same_disk(
    images: tuple[Path, Path, Manifest], image_cache: Path, tmp_path: Path
) -> None:
    *_, manifest = images
    with workshop.alone(image_cache / "packages/fetching"):
        shutil.copytree(image_cache / "packages", tmp_path / "cache/packages")
    again = debian.build(tmp_path / "again", tmp_path / "cache", layouts=True)
    assert again.files[0].raw_sha256 == manifest.files[0].raw_sha256
    assert again.properties["layouts"] == ["lvm", "raid1"]
