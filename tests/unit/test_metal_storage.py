"""The catalog `metal`: which disk is written, and the layouts for three installers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.metal_scripts import DISKS, GIB, same_as_kept, storage, told

LAYOUTS = ("flat", "lvm", "raid1")
PAIR = [{"serial": "SSD1", "bytes": 100 * GIB}, {"serial": "SSD2", "bytes": 100 * GIB}]


def layout(name: str, **more: Any) -> Any:
    return storage.checked({"layout": name, "swap_bytes": 2 * GIB, **more}, "preseed")


def test_the_smallest_disk_that_is_large_enough_and_stays_is_chosen() -> None:
    assert storage.choose(DISKS, {}, 2 * GIB) == [{"serial": "SSD1", "bytes": 100 * GIB}]
    assert storage.choose(DISKS, {}, 200 * GIB) == [{"serial": "BIG1", "bytes": 900 * GIB}]


def test_the_choice_does_not_depend_on_the_order_in_which_the_kernel_found_them() -> None:
    again = [{**disk, "path": f"/dev/sd{place}"} for place, disk in zip("abcd", reversed(DISKS), strict=True)]
    assert storage.choose(again, {}, 2 * GIB) == storage.choose(DISKS, {}, 2 * GIB)


def test_a_disk_that_is_wished_is_taken_even_if_it_can_be_pulled_out() -> None:
    assert storage.choose(DISKS, {"serial": "STICK"}, GIB) == [{"serial": "STICK", "bytes": 64 * GIB}]
    assert storage.choose(DISKS, {"path": "/dev/sda"}, GIB)[0]["serial"] == "BIG1"


def test_a_mirror_takes_two_disks_that_are_alike() -> None:
    assert storage.choose(DISKS, {}, 2 * GIB, 2) == PAIR
    assert [disk["serial"] for disk in storage.choose(DISKS, {"serial": "SSD2"}, 2 * GIB, 2)] == ["SSD2", "SSD1"]
    assert [disk["serial"] for disk in storage.choose(DISKS, {"serials": ["BIG1", "SSD2"]}, GIB, 2)] == ["BIG1", "SSD2"]


def test_a_disk_without_a_serial_is_told_by_its_path() -> None:
    nameless = [{"path": "/dev/vda", "serial": "", "bytes": 10 * GIB}]
    assert storage.choose(nameless, {}, GIB) == [{"serial": "", "path": "/dev/vda", "bytes": 10 * GIB}]


@pytest.mark.parametrize(
    ("disks", "wished", "needed", "count", "reason"),
    [
        ([], {}, GIB, 1, "the inventory has no disk"),
        (DISKS, {"serials": ["SSD1", "SSD2"]}, GIB, 1, "the layout takes 1, and os.disk names 2"),
        (DISKS, {"serials": ["SSD1", "SSD1"]}, GIB, 2, "the layout takes 2, and os.disk names 2"),
        (DISKS, {"serial": "GONE"}, GIB, 1, r"no disk has the serial GONE; there are /dev/sda \(serial BIG1\)"),
        (DISKS, {"path": "/dev/sdz"}, GIB, 1, "there is no disk /dev/sdz"),
        (DISKS, {"serial": "SSD1", "path": "/dev/sda"}, GIB, 1, "serial SSD1 is not /dev/sda"),
        (DISKS, {"serial": "SSD1"}, 200 * GIB, 1, r"has 107374182400 bytes, and 214748364800 are needed"),
        (DISKS, {"serial": "SSD1", "min_bytes": 200 * GIB}, GIB, 1, "214748364800 are needed"),
        (DISKS, {}, 1000 * GIB, 1, "a disk of 1073741824000 bytes that cannot be pulled out"),
        (DISKS[3:], {}, GIB, 1, "that cannot be pulled out"),
        (DISKS[:1], {}, GIB, 2, "2 disks of"),
        ([*DISKS, {**DISKS[1], "path": "/dev/sde"}], {"serial": "SSD1"}, GIB, 1, "have the same serial SSD1"),
    ],
)
def test_a_disk_that_is_missing_too_small_or_ambiguous_is_refused(
    disks: list[dict[str, Any]], wished: dict[str, Any], needed: int, count: int, reason: str
) -> None:
    with pytest.raises(told.Refused, match=reason):
        storage.choose(disks, wished, needed, count)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_a_layout_for_each_installer_is_as_it_is_kept(name: str, uefi: bool) -> None:
    disks = PAIR if name == "raid1" else PAIR[:1]
    made = {
        "partman": storage.partman(layout(name), uefi),
        "curtin": storage.curtin(layout(name), disks, uefi),
        "kickstart": storage.kickstart(layout(name), uefi),
    }
    same_as_kept(f"storage-{name}-{'uefi' if uefi else 'bios'}.json", made)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_everything_that_curtin_makes_stands_on_something_made_before(name: str, uefi: bool) -> None:
    disks = PAIR if name == "raid1" else PAIR[:1]
    made: set[str] = set()
    mounts = []
    for action in storage.curtin(layout(name), disks, uefi):
        needs = [action[key] for key in ("device", "volume", "volgroup") if key in action] + action.get("devices", [])
        assert set(needs) <= made, action
        assert action["id"] not in made
        made.add(action["id"])
        mounts += [action["path"]] if action["type"] == "mount" else []
    assert {"/"} <= set(mounts)
    assert ("/boot/efi" in mounts) is uefi


def test_curtin_knows_a_disk_by_its_serial_and_only_without_one_by_its_path() -> None:
    assert storage.curtin(layout("flat"), PAIR[:1], False)[0]["serial"] == "SSD1"
    nameless = [{"serial": "", "path": "/dev/vda", "bytes": GIB}]
    (disk, *_) = storage.curtin(layout("flat"), nameless, False)
    assert disk["path"] == "/dev/vda"
    assert "serial" not in disk


@pytest.mark.parametrize("name", ["lvm", "raid1"])
def test_an_image_takes_a_layout_only_if_it_was_made_for_that(name: str) -> None:
    with pytest.raises(told.Refused, match="brings its own partitions"):
        storage.checked({"layout": name}, "image")
    assert storage.checked({"layout": name}, "image", ["lvm", "raid1"])["layout"] == name


@pytest.mark.parametrize(
    ("wished", "reason"),
    [
        ({"layout": "lvm", "filesystem": "xfs"}, "the image's file system is ext4"),
        ({"layout": "raid1", "swap_bytes": GIB}, "has no swap partition"),
    ],
)
def test_an_image_on_a_volume_or_a_mirror_stays_what_it_is(wished: dict[str, Any], reason: str) -> None:
    with pytest.raises(told.Refused, match=reason):
        storage.checked(wished, "image", ["lvm", "raid1"])


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(told.Refused, match="write flat, lvm or raid1"):
        storage.checked({"layout": "raid6"}, "preseed")
