"""What a lab is made of follows from what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from rackwright.commands.lab_site import MOST_MACHINES, Ground, Lab, design, network
from rackwright.core.errors import NotFound
from rackwright.core.power import PowerSetting
from rackwright.core.served import Network

MORE: dict[str, Any] = {"memory": 512, "disk": 4, "dhcp": "kea", "unknown": 0}


def lab(count: int, tmp_path: Path, **more: Any) -> Lab:
    return design(Ground(tmp_path / "lab"), 8420, count, "mixed", "mixed", **{**MORE, **more})


def test_mixed_begins_with_bios_and_ipmi_and_takes_turns(tmp_path: Path) -> None:
    machines = lab(3, tmp_path).machines
    assert [(one.shape.firmware, one.shape.bmc) for one in machines] == [
        ("bios", "ipmi"),
        ("uefi", "redfish"),
        ("bios", "ipmi"),
    ]


def test_no_two_machines_share_an_address_a_serial_number_or_a_password(tmp_path: Path) -> None:
    machines = lab(MOST_MACHINES, tmp_path).machines
    for told in (
        [one.address for one in machines],
        [one.bmc_address for one in machines],
        [one.shape.mac() for one in machines],
        [one.shape.serial for one in machines],
        [one.shape.disk_serial for one in machines],
        [one.shape.uuid for one in machines],
        [one.account.password for one in machines],
    ):
        assert len(set(told)) == MOST_MACHINES


def test_every_machine_has_an_address_of_the_static_range_of_the_racks_network(tmp_path: Path) -> None:
    told = msgspec.convert(network(), Network)
    assert told.static == (lab(1, tmp_path).machines[0].address, lab(MOST_MACHINES, tmp_path).machines[-1].address)


def test_what_ipmi_takes_of_a_user_and_a_password_is_not_exceeded(tmp_path: Path) -> None:
    account = lab(1, tmp_path).machines[0].account
    assert len(account.user) <= 16
    assert 12 <= len(account.password) <= 20


def test_of_the_unknown_machines_nothing_is_declared(tmp_path: Path) -> None:
    told = [[one.shape.name for one in lab(3, tmp_path, unknown=count).declared] for count in (0, 1, 3, 5)]
    assert told == [["m1", "m2", "m3"], ["m1", "m2"], [], []]


def test_how_a_bmc_is_reached_is_a_setting_of_its_driver(tmp_path: Path) -> None:
    settings = [msgspec.convert(one.power, PowerSetting) for one in lab(2, tmp_path).machines]
    assert [(one.driver, one.address) for one in settings] == [
        ("ipmi", "10.78.0.11"),
        ("redfish", "https://10.78.0.12"),
    ]


def test_a_lab_is_read_back_as_it_was_saved_and_only_its_owner_may(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    made = lab(2, tmp_path)
    ground.save(made)
    assert ground.load() == made
    assert ground.file.stat().st_mode & 0o777 == 0o600


def test_the_id_of_a_lab_follows_from_its_folder(tmp_path: Path) -> None:
    assert Ground(tmp_path / "a").id == Ground(tmp_path / "a").id != Ground(tmp_path / "b").id


def test_machines_are_found_by_name_and_by_number_and_others_are_not(tmp_path: Path) -> None:
    made = lab(2, tmp_path)
    assert made.machine("m2") == made.machine("2")
    with pytest.raises(NotFound, match="no machine m9"):
        made.machine("m9")


def test_where_there_is_no_lab_its_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        Ground(tmp_path).load()
    assert str(tmp_path) in str(caught.value)
