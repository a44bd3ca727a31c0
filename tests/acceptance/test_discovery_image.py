"""The discovery image is built from Debian packages and really boots: a machine in QEMU registers, writes an image to
its disk, and does what else it is told."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from rackwright.core.images import Manifest
from rackwright.core.machine_messages import AgentTask
from rackwright.drivers.image import discovery, workshop
from tests.acceptance.discovery_machine import MAC, MIB, Drive, discovering
from tests.integration.agent_door import agent_door

PROGRAMS = ("qemu-system-x86_64", "apt-get", "dpkg-deb", "mke2fs", "sgdisk")
PATIENCE = 900.0
"""Seconds for one answer: on a busy host emulation is slow."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(program, path=f"{os.defpath}:/usr/sbin:/sbin") is None for program in PROGRAMS),
        reason=f"needs Debian with {', '.join(PROGRAMS)}",
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, image_cache: Path) -> tuple[Manifest, Path]:
    folder = tmp_path_factory.mktemp("discovery")
    return discovery.build("lab", folder, image_cache), folder


def test_a_machine_registers_and_writes_an_image(built: tuple[Manifest, Path], tmp_path: Path) -> None:
    manifest, folder = built
    assert sum(file.bytes for file in manifest.files if file.part != "storage") < 20 * MIB
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(256 * MIB)
    raw = _small_system(tmp_path)
    packed = zstandard.compress(raw)
    with agent_door() as door:
        door.files["/assets/image"] = packed
        given = {
            "url": "/assets/image", "compression": "zstd", "sha256": hashlib.sha256(packed).hexdigest(),
            "raw_bytes": len(raw), "raw_sha256": hashlib.sha256(raw).hexdigest(), "disk": {"serial": "LAB1"},
            "root": 1, "grow": True, "seed": [{"path": "/etc/seeded", "content": "by ${DOOR}\n"}], "request": "r1",
        }  # fmt: skip
        wrong = {**given, "disk": {"serial": "OTHER"}}
        look = "mkdir -p /mnt; mount /dev/vda1 /mnt; echo size=$(df -m /mnt | tail -1 | tr -s ' ' | cut -d' ' -f2)"
        look += " > $RACKWRIGHT_OUTPUT; echo seed=$(cat /mnt/etc/seeded) >> $RACKWRIGHT_OUTPUT; umount /mnt\n"
        door.tasks = [AgentTask(id=1, attempt=1, action="write-image", parameters=wrong)]
        with discovering(folder, [Drive(disk, "LAB1")], door) as console:
            try:
                said = door.wait(lambda: door.said["register"], PATIENCE)[0]
            except AssertionError:
                raise AssertionError(console.read_text(errors="replace")[-3000:]) from None
            assert said.macs == (MAC,)
            assert said.firmware == "bios"
            assert said.inventory["disks"][0]["serial"] == "LAB1"
            assert said.inventory["disks"][0]["bytes"] == 256 * MIB
            assert "no disk has the serial OTHER" in door.result(1).reason
            door.tasks = [AgentTask(id=2, attempt=1, action="write-image", parameters=given)]
            written = door.wait(lambda: [ended for ended in door.said["result"] if ended.id == 2], PATIENCE)[0]
            assert written.outcome == "ok", (written.reason, door.log(2))
            assert written.facts["os.written"]["disk"]["serial"] == "LAB1"
            door.tasks = [AgentTask(id=3, attempt=1, action="script", parameters={"script": look})]
            seen = door.wait(lambda: [ended for ended in door.said["result"] if ended.id == 3], PATIENCE)[0]
            assert int(seen.facts["size"]) > 200
            assert seen.facts["seed"].startswith("by http://10.0.2.2:")
            door.tasks = [AgentTask(id=4, attempt=1, action="erase", parameters={"mode": "quick", "disks": ["LAB1"]})]
            erased = door.wait(lambda: [ended for ended in door.said["result"] if ended.id == 4], PATIENCE)[0]
            assert erased.outcome == "ok", erased.reason
    with disk.open("rb") as erased_disk:
        assert erased_disk.read(MIB) == bytes(MIB)


def test_the_same_packages_give_the_same_image(built: tuple[Manifest, Path], image_cache: Path, tmp_path: Path) -> None:
    manifest, _ = built
    cache = tmp_path / "cache"
    with workshop.alone(image_cache / "packages/fetching"):
        shutil.copytree(image_cache / "packages", cache / "packages")
    assert discovery.build("lab", tmp_path / "again", cache).digest == manifest.digest


def _small_system(folder: Path) -> bytes:
    part, disk = folder / "part", folder / "small"
    tree = folder / "tree/etc"
    tree.mkdir(parents=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", str(tree.parent), part, "32M"], check=True)
    with disk.open("wb") as file:
        file.truncate(34 * MIB)
    subprocess.run(["sgdisk", "-n", "1:2048:67583", "-t", "1:8300", disk], check=True, capture_output=True)
    with disk.open("r+b") as file:
        file.seek(MIB)
        file.write(part.read_bytes())
    return disk.read_bytes()


def test_an_nvme_disk_forgets_by_a_command_of_its_own(built: tuple[Manifest, Path], tmp_path: Path) -> None:
    _, folder = built
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(MIB) * 64)
    with agent_door() as door, discovering(folder, [Drive(disk, "NVME1", "nvme")], door):
        said = door.wait(lambda: door.said["register"], PATIENCE)[0]
        assert [drive["transport"] for drive in said.inventory["disks"]] == ["nvme"]
        given = {"mode": "secure", "disks": ["NVME1"]}
        door.tasks = [AgentTask(id=1, attempt=1, action="erase", parameters=given)]
        erased = door.wait(lambda: door.said["result"], PATIENCE)[0]
        assert erased.outcome == "ok", erased.reason
        assert erased.facts["disks.erased"][0]["how"] == "nvme format"
    with disk.open("rb") as file:
        assert all(not any(file.read(MIB)) for _ in range(64))
