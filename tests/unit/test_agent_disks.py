"""Never the wrong disk: it is found by serial, path and size, and left alone while anything uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rackwright.agent import disks
from rackwright.agent.disks import Disk

GIB = 1 << 30
A = Disk("sda", "/dev/sda", "AAA", 10 * GIB)
B = Disk("sdb", "/dev/sdb", "BBB", 20 * GIB)


def test_a_disk_is_found_by_its_serial() -> None:
    assert disks.choose([A, B], {"serial": "BBB"}) == B


def test_a_serial_that_no_disk_has_is_an_error_that_tells_what_there_is() -> None:
    with pytest.raises(LookupError, match=r"no disk has the serial CCC.*sda \(serial AAA"):
        disks.choose([A, B], {"serial": "CCC"})


def test_serial_and_path_must_mean_the_same_disk() -> None:
    with pytest.raises(LookupError, match="is no disk with the serial AAA"):
        disks.choose([A, B], {"serial": "AAA", "path": "/dev/sdb"})


def test_a_disk_that_is_too_small_is_refused() -> None:
    with pytest.raises(LookupError, match="too small"):
        disks.choose([A, B], {"serial": "AAA", "min_bytes": 11 * GIB})


def test_an_image_must_fit() -> None:
    with pytest.raises(LookupError, match="too small"):
        disks.choose([A], {}, needed=11 * GIB)


def test_two_disks_that_would_do_are_one_too_many() -> None:
    with pytest.raises(LookupError, match="name one by its serial"):
        disks.choose([A, B], {})


def test_a_disk_that_is_read_only_is_refused() -> None:
    with pytest.raises(LookupError, match="read-only"):
        disks.choose([Disk("sda", "/dev/sda", "AAA", GIB, read_only=True)], {})


def machine(root: Path) -> Path:
    def put(path: str, text: str) -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    put("sys/block/vda/size", "2097152\n")
    put("sys/block/vda/serial", "disk-1\n")
    put("sys/block/vda/queue/rotational", "0\n")
    put("sys/block/vda/vda1/partition", "1\n")
    put("sys/block/loop0/size", "100\n")
    put("sys/block/sr0/size", "100\n")
    put("sys/block/vdb/size", "0\n")
    put("sys/class/block/vda/dev", "254:0\n")
    put("sys/class/block/vda1/dev", "254:1\n")
    put("proc/swaps", "Filename Type Size Used Priority\n")
    put("proc/self/mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n")
    return root


def test_only_disks_that_hold_something_are_told(tmp_path: Path) -> None:
    (found,) = disks.inventory(str(machine(tmp_path)))
    assert (found["name"], found["serial"], found["bytes"], found["rotational"]) == ("vda", "disk-1", GIB, False)


def test_a_free_disk_has_no_users(tmp_path: Path) -> None:
    root = str(machine(tmp_path))
    assert disks.users(disks.disks(root)[0], root) == []


def test_a_mounted_partition_makes_its_disk_used(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "proc/self/mountinfo").write_text("30 1 254:1 / /srv rw - ext4 /dev/vda1 rw\n")
    assert disks.users(disks.disks(str(root))[0], str(root)) == ["vda1 is mounted at /srv"]


def test_swap_and_what_stands_on_a_disk_make_it_used(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/vda1 partition 1 0 -2\n")
    (root / "sys/class/block/vda/holders/dm-0").mkdir(parents=True)
    assert disks.users(disks.disks(str(root))[0], str(root)) == ["vda1 is swap", "vda carries dm-0"]


@pytest.mark.parametrize(("disk", "path"), [("/dev/sda", "/dev/sda3"), ("/dev/nvme0n1", "/dev/nvme0n1p3")])
def test_partitions_are_named_as_the_kernel_does(disk: str, path: str) -> None:
    assert disks.partition_path(disk, 3) == path
