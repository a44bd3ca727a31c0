"""Images on disks: whole or not at all, resumed where the network breaks, and never on a disk that is not meant."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rackwright.agent import disks, forgetting, rootfs, writing
from rackwright.agent.actions import erase, image, power
from rackwright.agent.disks import Disk
from rackwright.agent.door import Door
from rackwright.agent.job import Failed, Job
from tests.integration.agent_door import AgentDoor, agent_door

MIB = 1 << 20
DATA = hashlib.shake_128(b"image").digest(3 * MIB)


@pytest.fixture
def door() -> Iterator[AgentDoor]:
    with agent_door() as opened:
        opened.files = {"/image": DATA, "/image.gz": gzip.compress(DATA)}
        yield opened


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(b"\xff" * (8 * MIB))
    monkeypatch.setattr(disks, "disks", lambda: [Disk("disk", str(path), "D1", 8 * MIB)])
    return path


def job(door: AgentDoor, tmp_path: Path, **parameters: Any) -> Job:
    folder = tmp_path / "job"
    folder.mkdir(exist_ok=True)
    return Job(parameters=parameters, folder=str(folder), say=lambda text: None, door=Door(door.url, timeout=5))


def wanted(data: bytes = DATA, **more: Any) -> dict[str, Any]:
    return {"url": "/image", "disk": {"serial": "D1"}, "request": "r1", "raw_sha256": hashlib.sha256(DATA).hexdigest(),
            "raw_bytes": len(DATA), **more}  # fmt: skip


def test_an_image_is_written_and_said_to_be(door: AgentDoor, disk: Path, tmp_path: Path) -> None:
    facts = image.write(job(door, tmp_path, **wanted()))
    assert disk.read_bytes()[: len(DATA)] == DATA
    assert facts["os.written"]["request"] == "r1"
    assert facts["os.written"]["disk"] == {"path": str(disk), "serial": "D1", "bytes": 8 * MIB}


def test_a_packed_image_is_checked_packed_and_unpacked(door: AgentDoor, disk: Path, tmp_path: Path) -> None:
    packed = door.files["/image.gz"]
    given = wanted(url="/image.gz", compression="gzip", bytes=len(packed), sha256=hashlib.sha256(packed).hexdigest())
    image.write(job(door, tmp_path, **given))
    assert disk.read_bytes()[: len(DATA)] == DATA


def test_a_stream_that_breaks_off_is_taken_up_where_it_ended(door: AgentDoor, disk: Path, tmp_path: Path) -> None:
    door.break_after = [MIB + 7, 5, MIB]
    image.write(job(door, tmp_path, **wanted()))
    assert disk.read_bytes()[: len(DATA)] == DATA
    assert door.ranges[:3] == [None, f"bytes={MIB + 7}-", f"bytes={MIB + 12}-"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"raw_sha256": "0" * 64}, "SHA-256"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"raw_bytes": len(DATA) + 1}, "length"),
        ({"compression": "gzip"}, "damaged"),
        ({"url": "/missing"}, "404"),
    ],
)
def test_a_wrong_image_leaves_a_disk_that_does_not_boot(
    door: AgentDoor, disk: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(Exception, match=says):
        image.write(job(door, tmp_path, **wanted(**change)))
    assert disk.read_bytes()[:MIB] == bytes(MIB)


def test_an_image_that_changes_under_way_is_noticed(door: AgentDoor, disk: Path, tmp_path: Path) -> None:
    door.break_after = [MIB]
    door.changes["/image"] = DATA + b"longer"
    with pytest.raises(Failed, match="changed under way"):
        image.write(job(door, tmp_path, **wanted()))
    assert disk.read_bytes()[:MIB] == bytes(MIB)


def test_an_image_that_is_larger_than_it_said_does_not_run_over_the_disk(
    door: AgentDoor, disk: Path, tmp_path: Path
) -> None:
    door.files["/image"] = bytes(9 * MIB)
    with pytest.raises(Failed, match="larger than"):
        image.write(job(door, tmp_path, url="/image", disk={"serial": "D1"}))
    assert disk.stat().st_size == 8 * MIB


@pytest.mark.parametrize("meant", [{"serial": "D2"}, {"serial": "D1", "path": "/dev/null"}, {"min_bytes": 9 * MIB}])
def test_a_disk_that_is_not_meant_is_not_touched(
    door: AgentDoor, disk: Path, tmp_path: Path, meant: dict[str, Any]
) -> None:
    with pytest.raises(Failed):
        image.write(job(door, tmp_path, **wanted(disk=meant)))
    assert disk.read_bytes() == b"\xff" * (8 * MIB)


def test_a_disk_in_use_is_not_touched(
    door: AgentDoor, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "users", lambda disk: ["disk1 is mounted at /"])
    for act, given in ((image.write, wanted()), (erase.erase, {"disks": ["D1"]})):
        with pytest.raises(Failed, match="is in use: disk1 is mounted at /"):
            act(job(door, tmp_path, **given))
    assert disk.read_bytes() == b"\xff" * (8 * MIB)


def test_verify_reads_the_file_and_touches_no_disk(door: AgentDoor, disk: Path, tmp_path: Path) -> None:
    facts = image.verify(job(door, tmp_path, url="/image", sha256=hashlib.sha256(DATA).hexdigest()))
    assert facts["image.verified"]["bytes"] == len(DATA)
    with pytest.raises(Failed, match="SHA-256"):
        image.verify(job(door, tmp_path, url="/image", sha256="0" * 64))
    assert disk.read_bytes() == b"\xff" * (8 * MIB)


def test_a_quick_erase_clears_both_ends_and_zero_all(door: AgentDoor, disk: Path, tmp_path: Path) -> None:
    erase.erase(job(door, tmp_path, mode="quick", disks=["D1"]))
    assert disk.read_bytes() == bytes(MIB) + b"\xff" * (6 * MIB) + bytes(MIB)
    facts = erase.erase(job(door, tmp_path, mode="zero", disks=["D1"]))
    assert disk.read_bytes() == bytes(8 * MIB)
    assert facts["disks.erased"][0]["how"] == "zeroes"


@pytest.mark.parametrize("named", [{}, {"disks": []}, {"disks": ["D2"]}, {"disks": [""]}, {"disks": ["D1", "D2"]}])
def test_nothing_is_erased_that_is_not_named_and_there(
    door: AgentDoor, disk: Path, tmp_path: Path, named: dict[str, Any]
) -> None:
    with pytest.raises(Failed):
        erase.erase(job(door, tmp_path, mode="quick", **named))
    assert disk.read_bytes() == b"\xff" * (8 * MIB)


def test_a_disk_that_knows_no_secure_erase_is_not_said_to_be_erased(
    door: AgentDoor, disk: Path, tmp_path: Path
) -> None:
    with pytest.raises(Failed, match="knows no secure erase"):
        erase.erase(job(door, tmp_path, mode="secure", disks=["D1"]))


def test_zeroes_stand_in_for_a_secure_erase_only_where_that_is_allowed(
    door: AgentDoor, disk: Path, tmp_path: Path
) -> None:
    facts = erase.erase(job(door, tmp_path, mode="secure", fallback="zero", disks=["D1"]))
    assert disk.read_bytes() == bytes(8 * MIB)
    assert (facts["disks.erased"][0]["mode"], facts["disks.erased"][0]["how"]) == ("secure", "zeroes")


def test_a_disk_that_only_says_that_it_has_forgotten_is_not_believed(
    door: AgentDoor, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "WAYS", {"lying": lambda job, disk: None})
    with pytest.raises(Failed, match="lying: what stands at byte 0 is still there"):
        erase.erase(job(door, tmp_path, mode="secure", disks=["D1"]))


def test_the_first_way_in_which_a_disk_forgets_is_taken(
    door: AgentDoor, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = {
        "absent": forgetting.format_nvme,
        "keys": lambda job, disk: Path(disk.path).write_bytes(b"\x5a" * disk.bytes),
        "weaker": lambda job, disk: pytest.fail("it was not needed"),
    }
    monkeypatch.setattr(forgetting, "WAYS", ways)
    facts = erase.erase(job(door, tmp_path, mode="secure", disks=["D1"]))
    assert facts["disks.erased"][0]["how"] == "keys"
    assert disk.read_bytes() == bytes(MIB) + b"\x5a" * (6 * MIB) + bytes(MIB)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_is_unpacked_is_summed_up_where_nothing_is_known_of_what_is_packed(
    door: AgentDoor, disk: Path, tmp_path: Path, compression: str
) -> None:
    url = "/image.gz" if compression == "gzip" else "/image"
    with pytest.raises(Failed, match="unpacked image's SHA-256"):
        image.write(job(door, tmp_path, **wanted(url=url, compression=compression, raw_sha256="0" * 64)))


def test_a_system_that_cannot_be_started_directly_restarts_through_the_firmware(
    door: AgentDoor, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    monkeypatch.setattr(power, "_go", lambda verb, letter: gone.append(verb))
    asked = job(door, tmp_path, way="kexec", disk={"serial": "D1"}, root=1)
    power.reboot(asked)
    assert asked.afterwards is not None
    asked.afterwards()
    assert gone == ["reboot"]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("sgdisk"), reason="loop devices need root, tables sgdisk")
def test_the_root_partition_grows_and_gets_its_first_files(
    door: AgentDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A container may keep even root from resizing file systems (CAP_SYS_RESOURCE, bit 24); real machines do not.
    grows = bool(int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16) >> 24 & 1)
    raw = _small_system(tmp_path)
    door.files["/system"] = raw
    target = tmp_path / "target"
    with target.open("wb") as file:
        file.truncate(96 * MIB)
    seed = [
        {"path": "/etc/rackwright/agent.json", "content": "${DOOR}", "mode": "0600"},
        {"path": "/etc/systemd/system/x.service", "link": "/dev/null"},
    ]
    with ExitStack() as held:
        device = held.enter_context(_looped(target))
        monkeypatch.setattr(disks, "disks", lambda: [Disk(Path(device).name, device, "L1", 96 * MIB)])
        monkeypatch.setattr(writing, "reread", lambda path: None)
        monkeypatch.setattr(disks, "partition_path", lambda path, number: held.enter_context(_looped(target, MIB)))
        image.write(job(door, tmp_path, url="/system", disk={"serial": "L1"}, root=1, seed=seed, grow=grows))
        part = held.enter_context(_looped(target, MIB))
        with rootfs.mounted(part, str(tmp_path / "look")) as folder:
            about = os.statvfs(folder)
            assert (about.f_blocks * about.f_frsize > 80 * MIB) is grows
            planted = Path(folder, "etc/rackwright/agent.json")
            assert (planted.read_text(), planted.stat().st_mode & 0o777) == (door.url, 0o600)
            assert os.readlink(os.path.join(folder, "etc/systemd/system/x.service")) == "/dev/null"
    assert not grows or subprocess.run(
        ["sgdisk", "-v", str(target)], capture_output=True, text=True, check=True
    ).stdout.count("No problems found")


def test_a_seed_does_not_follow_a_link_out_of_the_system(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "etc").symlink_to("/tmp")
    with pytest.raises(rootfs.Stuck, match="outside"):
        rootfs.plant(str(root), {"path": "/etc/passwd", "content": "x"})


@contextmanager
def _looped(file: Path, offset: int = 0) -> Iterator[str]:
    """A file as a block device; from ``offset`` on it stands for a partition where the kernel makes none of loops."""
    limit = ["--offset", str(offset), "--sizelimit", str(file.stat().st_size - 2 * offset)] if offset else []
    made = subprocess.run(["losetup", "-f", "--show", *limit, str(file)], capture_output=True, text=True, check=True)
    device = made.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def _small_system(folder: Path) -> bytes:
    """A disk of 34 MiB: one ext4 partition of 32, as images are built."""
    part, disk = folder / "part", folder / "small"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", str(part), "32M"], check=True)
    with disk.open("wb") as file:
        file.truncate(34 * MIB)
    subprocess.run(["sgdisk", "-n", "1:2048:67583", "-t", "1:8300", str(disk)], check=True, capture_output=True)
    with disk.open("r+b") as file:
        file.seek(MIB)
        file.write(part.read_bytes())
    return disk.read_bytes()
