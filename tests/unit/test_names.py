"""Which records a rack's DNS has."""

from __future__ import annotations

import ipaddress

import pytest

from rackwright.core.dhcp import Host
from rackwright.core.names import Naming, Record, reverse_zones
from rackwright.core.served import Network, ServedNic

NEAR = Network(cidr="10.77.0.0/24", address="10.77.0.1", domain="rack.test")
STORE = Network(cidr="10.88.0.0/22", address="10.88.0.1", domain="store.test")
SIX = Network(cidr="fd00:77::/64", address="fd00:77::1", domain="rack.test")
NAMELESS = Network(cidr="10.99.0.0/24", address="10.99.0.1")
NAMING = Naming([NEAR, STORE, SIX, NAMELESS])
N7 = Host(7, "n7", ("52:54:00:00:00:07",), "10.77.0.7", "t")


def of(host: Host) -> set[tuple[str, str, str]]:
    return {(record.name, record.type, record.content) for record in NAMING.of(host)}


@pytest.mark.parametrize(
    ("cidr", "zones"),
    [
        ("10.77.0.0/24", ["0.77.10.in-addr.arpa"]),
        ("10.88.0.0/22", [f"{number}.88.10.in-addr.arpa" for number in range(4)]),
        ("10.77.0.128/25", ["0.77.10.in-addr.arpa"]),
        ("10.64.0.0/15", ["64.10.in-addr.arpa", "65.10.in-addr.arpa"]),
        ("fd00:77::/64", ["0.0.0.0.0.0.0.0.7.7.0.0.0.0.d.f.ip6.arpa"]),
        ("fd00:77::/63", ["0.0.0.0.0.0.0.0.7.7.0.0.0.0.d.f.ip6.arpa", "1.0.0.0.0.0.0.0.7.7.0.0.0.0.d.f.ip6.arpa"]),
    ],
)
def test_reverse_zones_are_the_smallest_that_hold_a_network(cidr: str, zones: list[str]) -> None:
    assert reverse_zones(cidr) == zones
    network = ipaddress.ip_network(cidr)
    for address in (network[1], network[-2]):
        assert any(address.reverse_pointer.endswith(f".{zone}") for zone in zones)


def test_a_node_is_found_by_its_name_and_by_its_address() -> None:
    assert of(N7) == {("n7.rack.test", "A", "10.77.0.7"), ("7.0.77.10.in-addr.arpa", "PTR", "n7.rack.test")}


def test_further_interfaces_have_names_of_their_own_in_the_domains_of_their_networks() -> None:
    nics = (ServedNic(mac="x", addresses=("10.88.1.7", "fd00:77::7"), name="storage"), ServedNic(mac="y", name="idle"))
    found = of(Host(7, "n7", (), None, "t", nics))
    assert found == {
        ("n7-storage.store.test", "A", "10.88.1.7"),
        ("7.1.88.10.in-addr.arpa", "PTR", "n7-storage.store.test"),
        ("n7-storage.rack.test", "AAAA", "fd00:77::7"),
        (ipaddress.ip_address("fd00:77::7").reverse_pointer, "PTR", "n7-storage.rack.test"),
    }


def test_an_alias_finds_the_node_and_the_address_still_has_one_name() -> None:
    found = of(Host(7, "n7", (), "10.77.0.7", "t", (), ("db", "n7.rack.test", "elsewhere.example.org")))
    assert ("db.rack.test", "A", "10.77.0.7") in found
    assert ("elsewhere.example.org.rack.test", "A", "10.77.0.7") in found
    assert [content for _, kind, content in found if kind == "PTR"] == ["n7.rack.test"]


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "rack.test"])
def test_what_is_no_name_has_no_record(name: str) -> None:
    assert of(Host(7, name, (), "10.77.0.7", "t")) == set()


def test_an_address_on_a_network_without_a_domain_has_no_name() -> None:
    assert of(Host(7, "n7", (), "10.99.0.7", "t")) == set()
    assert Naming([NAMELESS]).zones() == []
    assert list(Naming([NAMELESS]).own(1)) == []


def test_each_zone_says_where_it_begins_and_who_answers_for_it() -> None:
    own = list(NAMING.own(77))
    zones = NAMING.zones()
    assert {record.zone for record in own if record.type == "SOA"} == set(zones)
    assert {record.zone for record in own if record.type == "NS"} == set(zones)
    assert Record("rack.test", "ns.rack.test", "A", "10.77.0.1") in own
    assert Record("rack.test", "ns.rack.test", "AAAA", "fd00:77::1") in own
    soa = next(record for record in own if record.zone == "rack.test" and record.type == "SOA")
    assert soa.content.split()[:3] == ["ns.rack.test", "hostmaster.rack.test", "77"]
