"""dnsmasq's file of leases, and what is written into it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rackwright.core.leases import Lease
from rackwright.core.served import Network
from rackwright.rack.dhcp.dnsmasq_leases import NOBODY, DnsmasqLeases

NETWORK = Network(cidr="10.77.0.0/24", address="10.77.0.1", dynamic=("10.77.0.100", "10.77.0.199"))
NETWORKS = (NETWORK,)
STRANGER = "52:54:00:00:00:99"


def line(address: str, mac: str = STRANGER, expires: int = 5000) -> str:
    return f"{expires} {mac} {address} * 01:{mac}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "leases"
    made.write_text(line("10.77.0.100") + line("10.77.0.7"))
    return made


def test_only_dynamic_addresses_are_told_each_once_and_again_when_it_is_prolonged(path: Path) -> None:
    leases = DnsmasqLeases(str(path))
    assert leases.news(NETWORKS) == {"10.77.0.100": (STRANGER, 5000.0)}
    assert leases.news(NETWORKS) == {}
    path.write_text(line("10.77.0.100", expires=6000))
    assert leases.news(NETWORKS) == {"10.77.0.100": (STRANGER, 6000.0)}
    leases.close()
    assert leases.news(NETWORKS) == {"10.77.0.100": (STRANGER, 6000.0)}


def test_a_file_that_is_half_written_or_not_there_tells_nothing_wrong(path: Path) -> None:
    leases = DnsmasqLeases(str(path))
    whole = line("10.77.0.100") + line("10.77.0.101")
    path.write_text(whole[:-30])
    assert leases.news(NETWORKS) == {"10.77.0.100": (STRANGER, 5000.0)}
    path.write_text("")
    assert leases.news(NETWORKS) == {}
    path.write_text(whole)
    assert leases.news(NETWORKS) == {"10.77.0.101": (STRANGER, 5000.0)}
    path.unlink()
    assert leases.news(NETWORKS) == {}


def test_what_another_process_has_given_replaces_what_stood_there(path: Path) -> None:
    leases = DnsmasqLeases(str(path))
    given = [Lease("10.77.0.100", "52:54:00:00:00:98", 60), Lease("10.77.0.101", "", 60), Lease("10.99.0.1", "x", 60)]
    leases.inherit([*given, Lease("fd00:77::1:0", "00/1", 60)], NETWORKS)
    found = [written.split()[1:3] for written in path.read_text().splitlines()]
    assert found == [[STRANGER, "10.77.0.7"], ["52:54:00:00:00:98", "10.77.0.100"], [NOBODY, "10.77.0.101"]]
    client, until = leases.news(NETWORKS)["10.77.0.100"]
    assert client == "52:54:00:00:00:98"
    assert 50 < until - time.time() <= 61
    assert leases.news(NETWORKS) == {}


def test_nothing_is_written_where_nothing_was_given(tmp_path: Path) -> None:
    DnsmasqLeases(str(tmp_path / "leases")).inherit([], NETWORKS)
    assert list(tmp_path.iterdir()) == []
