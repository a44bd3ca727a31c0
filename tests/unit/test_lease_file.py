"""Kea's file of leases, read as it grows, and what is written into it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.core.leases import Lease
from rackwright.core.served import Network
from rackwright.rack.dhcp.kea_configuration import subnet_id
from rackwright.rack.dhcp.lease_file import COLUMNS, LeaseFile

FOUR = Network(cidr="10.77.0.0/24", address="10.77.0.1", dynamic=("10.77.0.100", "10.77.0.199"), lease=600)
SIX = Network(cidr="fd00:77::/64", address="fd00:77::1", dynamic=("fd00:77::1:0", "fd00:77::1:ff"))
NETWORKS = (FOUR, SIX)


def line(address: str, mac: str, *, seconds: int = 600, expire: int = 5000, state: int = 0) -> str:
    return f"{address},{mac},,{seconds},{expire},172818432,0,0,,{state},\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "leases.csv"
    made.write_text(COLUMNS[4] + "\n" + line("10.77.0.100", "a") + line("10.77.0.7", "b"))
    return made


@pytest.fixture
def file(path: Path) -> Iterator[LeaseFile]:
    with contextlib.closing(LeaseFile(str(path))) as made:
        yield made


def test_only_dynamic_addresses_are_told_each_as_it_is_now(file: LeaseFile, path: Path) -> None:
    assert file.news(NETWORKS) == {"10.77.0.100": ("a", 5000.0)}
    assert file.news(NETWORKS) == {}
    with path.open("a") as more:
        more.write(line("10.77.0.100", "a", expire=6000) + line("10.77.0.101", "c", expire=7000))
    assert file.news(NETWORKS) == {"10.77.0.100": ("a", 6000.0), "10.77.0.101": ("c", 7000.0)}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (line("10.77.0.102", "d", seconds=0), ("d", 0.0)),
        (line("10.77.0.102", "d", state=2), ("d", 0.0)),
        (line("10.77.0.102", "", state=1), ("", 5000.0)),
    ],
    ids=["ended", "reclaimed", "declined"],
)
def test_what_is_no_longer_given_and_what_a_stranger_uses_is_told(
    file: LeaseFile, path: Path, written: str, told: tuple[str, float]
) -> None:
    path.write_text(written)
    assert file.news(NETWORKS) == {"10.77.0.102": told}


def test_half_a_line_is_read_when_it_is_whole(file: LeaseFile, path: Path) -> None:
    whole = line("10.77.0.103", "e")
    file.news(NETWORKS)
    for part, told in ((whole[:20], {}), (whole[20:], {"10.77.0.103": ("e", 5000.0)})):
        with path.open("a") as more:
            more.write(part)
        assert file.news(NETWORKS) == told


def test_nothing_is_missed_when_kea_begins_a_new_file(file: LeaseFile, path: Path) -> None:
    file.news(NETWORKS)
    with path.open("a") as more:
        more.write(line("10.77.0.104", "f"))
    os.replace(path, f"{path}.1")
    assert file.news(NETWORKS) == {"10.77.0.104": ("f", 5000.0)}
    path.write_text(COLUMNS[4] + "\n" + line("10.77.0.105", "g"))
    assert file.news(NETWORKS) == {"10.77.0.105": ("g", 5000.0)}


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert LeaseFile(str(tmp_path / "none.csv")).news(NETWORKS) == {}


@pytest.mark.parametrize(
    ("version", "lease"),
    [(4, Lease("10.77.0.150", "52:54:00:00:00:01", 60.0)), (6, Lease("fd00:77::1:5", "00:01:02/7", 60.0))],
)
def test_what_is_inherited_is_read_as_it_was_told(tmp_path: Path, version: int, lease: Lease) -> None:
    file = LeaseFile(str(tmp_path / "kea" / "leases.csv"), version)
    others = [Lease("10.99.0.1", "x", 60.0), Lease("10.77.0.150" if version == 6 else "fd00:77::1:5", "y/1", 60.0)]
    file.inherit([lease, *others], NETWORKS)
    file.inherit([lease], NETWORKS)
    with contextlib.closing(file):
        told = file.news(NETWORKS)
    assert {address: client for address, (client, _) in told.items()} == {lease.address: lease.client}
    assert 50 < told[lease.address][1] - time.time() < 70
    text = (tmp_path / "kea" / "leases.csv").read_text()
    assert text.count("address,") == 1
    if version == 4:
        assert f",600,{int(told[lease.address][1])},{subnet_id(FOUR)}," in text
