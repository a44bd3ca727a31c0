"""The catalog `metal`: what is chosen, planned, checked and erased, and what is refused with a reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rackwright.core.bootenv import derive
from rackwright.core.images import Manifest
from tests.unit.metal_scripts import (
    DISKS,
    GIB,
    KEY,
    MACS,
    erase_list,
    hardware,
    images,
    manifest,
    os_plan,
    os_target,
    os_verified,
    text,
    told,
)  # fmt: skip


def target(os: dict[str, Any] | None = None, image: dict[str, Any] | None = None, **more: Any) -> Any:
    known = image or manifest()
    given = {"os": {"image": known["name"], **(os or {})}, "images": {known["name"]: known}, "disks": DISKS,
             "firmware": {"mode": "bios"}, "macs": MACS}  # fmt: skip
    return os_target.target({**given, **more})


def plan(os: dict[str, Any] | None = None, image: dict[str, Any] | None = None, nonce: str = "1") -> Any:
    given = {"os": {"ssh_keys": [KEY], **(os or {})}, "target": target(os, image), "node": {"name": "n1"}}
    return os_plan.plan(given, text, nonce)


def installer(**properties: Any) -> dict[str, Any]:
    return manifest("installer", properties={"mirror": "http://mirror.example/debian", **properties})


# ---- images


def test_the_digest_of_an_image_is_the_one_of_the_product() -> None:
    said = {**manifest(properties={"os": {"id": "debian", "größe": 1.5}}, made_at=1700000000.25), "signature": "x"}
    assert images.digest(said) == msgspec.convert(said, Manifest).digest
    assert images.digest({**said, "digest": "told"}) == "told"


def test_an_image_is_found_by_name_by_version_and_by_digest() -> None:
    known = {"debian-12": manifest()}
    for wanted in ("debian-12", "debian-12@2026.1", images.digest(manifest())):
        assert images.find(known, wanted)["name"] == "debian-12"


@pytest.mark.parametrize("wanted", ["", "debian-13", "debian-12@2025.1"])
def test_an_image_that_is_not_there_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(told.Refused, match=r"images: debian-12@2026\.1"):
        images.find({"debian-12": manifest()}, wanted)


def test_how_an_image_is_installed_follows_from_it_unless_somebody_says_so() -> None:
    assert images.method_of(manifest(), None) == "image"
    assert images.method_of(manifest("memory"), None) == "memory"
    assert images.method_of(installer(method="preseed"), None) == "preseed"
    assert images.method_of(installer(method="preseed"), "kickstart") == "kickstart"
    for wrong in (installer(), manifest()):
        with pytest.raises(told.Refused, match=r"os\.method"):
            images.method_of(wrong, "preseed" if wrong["kind"] == "disk" else None)


# ---- the target


def test_the_target_names_the_image_by_digest_and_the_disk_by_serial_and_size() -> None:
    made = target()
    assert made["image"]["digest"] == images.digest(manifest())
    assert made["disks"] == [{"serial": "SSD1", "bytes": 100 * GIB}]
    assert (made["method"], made["firmware"], made["mac"]) == ("image", "bios", MACS[0])


def test_the_same_machine_that_names_its_disks_otherwise_has_the_same_target() -> None:
    renamed = [{**disk, "path": f"/dev/vd{place}"} for place, disk in zip("dcba", DISKS, strict=True)]
    assert target(disks=renamed) == target()


@pytest.mark.parametrize(
    ("os", "more", "reason"),
    [
        ({"disk": {"serial": "GONE"}}, {}, "no disk has the serial GONE"),
        ({}, {"disks": [{**DISKS[0], "bytes": GIB}]}, "2147483648 bytes that cannot be pulled out are needed"),
        ({"storage": {"layout": "lvm"}}, {}, "brings its own partitions"),
        ({}, {"images": {}}, "knows no image debian-12"),
        ({}, {"images": None}, "knows no image debian-12"),
        ({}, {"disks": None}, "the inventory has no disk"),
    ],
)
def test_what_cannot_be_installed_is_refused_before_anything_is_touched(
    os: dict[str, Any], more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(told.Refused, match=reason):
        target(os, **more)


def test_an_image_that_the_firmware_cannot_boot_is_refused() -> None:
    with pytest.raises(told.Refused, match="boots by bios"):
        target(image=manifest(firmware=["uefi"]))


def test_a_system_that_runs_from_memory_needs_no_disk() -> None:
    assert target(image=manifest("memory"), disks=[])["disks"] == []


def test_a_mirror_takes_two_disks() -> None:
    made = target({"method": "preseed", "storage": {"layout": "raid1"}}, installer())
    assert [disk["serial"] for disk in made["disks"]] == ["SSD1", "SSD2"]


# ---- the plan


def test_two_plans_of_the_same_content_are_two_requests() -> None:
    first, second = plan(), plan(nonce="2")
    assert first["request"] != second["request"]
    assert plan() == first
    assert len(first["request"]) == 26


def test_a_plan_of_an_image_has_all_that_the_agent_needs_to_write_it() -> None:
    made = plan()
    assert (made["method"], made["boot_image"]) == ("image", "")
    assert made["url"] == f"/assets/{'d' * 64}"
    assert made["where"] == {"serial": "SSD1", "min_bytes": 100 * GIB}
    assert made["arrival"] == {"observed.booted.request": made["request"]}
    assert any(file["path"] == "/etc/hostname" and file["content"] == "n1\n" for file in made["seed"])


def test_an_image_on_a_mirror_names_both_disks_and_asks_for_what_makes_mirrors() -> None:
    made = plan({"storage": {"layout": "raid1"}}, manifest(properties={"layouts": ["lvm", "raid1"]}))
    assert (made["where"]["serial"], [disk["serial"] for disk in made["mirror"]]) == ("SSD1", ["SSD2"])
    assert made["layout"] == {"layout": "raid1", "swap_bytes": 0}
    assert derive({"os.plan": made}).data["layout"] == "raid1"
    flat = plan()
    assert not {"layout", "mirror"} & flat.keys()
    assert "layout" not in flat["data"]


def test_a_machine_goes_to_its_new_system_without_the_firmware_where_that_is_wished() -> None:
    image = manifest(arguments="console=ttyS0", properties={"layouts": ["lvm"]})
    made = plan({"restart": "kexec"}, image)
    assert (made["restart"], made["kernel_arguments"]) == ("kexec", "console=ttyS0")
    for other in ({}, {"restart": "firmware"}, {"restart": "kexec", "storage": {"layout": "lvm"}}):
        assert "restart" not in plan(other, image)


def test_the_keys_are_for_whom_the_image_says_unless_somebody_says_otherwise() -> None:
    image = manifest(properties={"user": "debian", "cloud_init": True})
    for os, user in (({}, "debian"), ({"user": "anna"}, "anna")):
        assert f"- name: {user}\n" in plan(os, image)["data"]["answers"]["vendor-data"]
    assert "- name: root\n" in plan()["data"]["answers"]["vendor-data"]


@pytest.mark.parametrize(
    ("method", "answer", "argument"),
    [
        ("preseed", "preseed.cfg", "url=${DOOR}/install/${TOKEN}/preseed.cfg"),
        ("kickstart", "kickstart", "inst.ks=${DOOR}/install/${TOKEN}/kickstart"),
        ("autoinstall", "user-data", "ds=nocloud;s=${DOOR}/metadata/${TOKEN}/"),
    ],
)
def test_an_installer_is_told_where_its_answers_are_and_tells_when_it_is_done(
    method: str, answer: str, argument: str
) -> None:
    made = plan({"method": method, "arguments": "quiet"}, installer(url="http://mirror.example/ubuntu.iso"))
    assert argument in made["arguments"].split()
    assert made["arguments"].endswith(" quiet")
    assert made["data"]["answers"][answer]
    assert made["boot_image"] == made["image"]["digest"]
    assert made["arrival"] == {"observed.installed.request": made["request"]}
    assert "seed" not in made


def test_what_a_machine_boots_follows_from_the_plan_and_what_it_reported() -> None:
    made = plan()
    assert derive({"os.plan": made}).kind == "install"
    assert derive({"os.plan": made, "os.written": {"request": made["request"]}}).kind == "local"
    assert derive({"os.plan": made, "os.written": {"request": plan(nonce="old")["request"]}}).kind == "install"
    memory = plan(image=manifest("memory"))
    assert derive({"os.plan": memory}).kind == "memory"


def test_no_plan_holds_a_token() -> None:
    made = repr(plan({"method": "preseed"}, installer()))
    assert "${TOKEN}" in made
    assert "rackwright.token=" not in made


@pytest.mark.parametrize(
    ("os", "reason"),
    [
        ({"hostname": "no_underscore"}, "no part of a host's name"),
        ({"hostname": "a\nd-i passwd/root-password string x"}, "no part of a host's name"),
        ({"domain": "-x"}, "no part of a host's name"),
        ({"user": "Root User"}, "no name of a user"),
        ({"ssh_keys": ["hello"]}, "no public SSH key"),
        ({"ssh_keys": [f"{KEY}\nssh-rsa second"]}, "no public SSH key"),
        ({"network": {"interfaces": [{"name": "a", "addresses": ["x"]}]}}, "interface a"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_its_attribute(os: dict[str, Any], reason: str) -> None:
    with pytest.raises(told.Refused, match=reason):
        plan(os)


def test_an_installer_of_ubuntu_without_its_iso_is_refused() -> None:
    with pytest.raises(told.Refused, match="where the ISO"):
        plan({"method": "autoinstall"}, installer())


# ---- what came of it


def test_a_system_is_verified_by_request_and_name() -> None:
    made = plan()
    seen = {"request": made["request"], "hostname": "n1.rack.example", "id": "debian", "boot_id": "b"}
    assert os_verified.verified(made, seen) == {"request": made["request"], "image": "debian-12", "id": "debian"}
    for wrong in (None, {**seen, "request": "old"}, {**seen, "hostname": "other"}):
        with pytest.raises(told.Refused):
            os_verified.verified(made, wrong)


def test_hardware_that_falls_short_is_told_in_all_points_at_once() -> None:
    nic = {"name": "eth0", "mac": MACS[0], "carrier": True, "lldp": {"system": "leaf1", "port": "swp4"}}
    inventory = {"cpu": {"threads": 4}, "memory": {"bytes": 8 * GIB}, "disks": DISKS, "nics": [nic],
                 "firmware": {"mode": "bios"}}  # fmt: skip
    assert hardware.faults({}, inventory) == []
    wanted = {"min_threads": 4, "min_memory_bytes": 8 * GIB, "min_disks": 3, "min_disk_bytes": 900 * GIB, "min_nics": 1,
              "min_links": 1, "firmware": "bios",
              "cabling": [{"interface": "eth0", "system": "leaf1", "port": "swp4"}]}  # fmt: skip
    assert hardware.faults(wanted, inventory) == []
    short = hardware.faults(
        {"min_threads": 8, "min_memory_bytes": 16 * GIB, "min_disks": 4, "firmware": "uefi",
         "cabling": [{"interface": "eth0", "port": "swp5"}, {"interface": "eth9"}]},
        inventory,
    )  # fmt: skip
    assert len(short) == 6
    assert "eth0 is connected to port swp4 and should be to swp5" in short
    assert hardware.summary(inventory)["threads"] == 4


def test_disks_are_erased_by_serial_and_never_guessed() -> None:
    assert erase_list.listed({}, DISKS) == {"mode": "quick", "disks": ["BIG1", "SSD1", "SSD2"]}
    assert erase_list.listed({"mode": "zero", "disks": ["STICK"]}, DISKS) == {"mode": "zero", "disks": ["STICK"]}
    nameless = [{**DISKS[0], "serial": ""}]
    for parameters, disks, reason in (
        ({"mode": "burn"}, DISKS, "no mode burn"),
        ({"disks": ["GONE"]}, DISKS, "no disk GONE"),
        ({}, nameless, "/dev/sda cannot be told apart"),
        ({}, [], "no disk to erase"),
    ):
        with pytest.raises(told.Refused, match=reason):
            erase_list.listed(parameters, disks)


def test_what_is_done_where_a_disk_cannot_erase_itself_is_said_or_nothing() -> None:
    assert (erase_list.fallback({}), erase_list.fallback({"fallback": "zero"})) == ("none", "zero")
    with pytest.raises(told.Refused, match="no fallback quick"):
        erase_list.fallback({"fallback": "quick"})
