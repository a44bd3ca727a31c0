"""From facts to what a rack serves."""

from __future__ import annotations

import msgspec
import pytest

from rackwright.core.bootenv import Bootenv
from rackwright.core.served import Network, ServedNic, ServedNode, ServedRack
from rackwright.core.serving import NODE_READS, concerns, document, project_node, project_rack


def test_a_node_without_facts_boots_the_discovery_system() -> None:
    assert project_node(7, "n7", {}) == ServedNode(id=7, name="n7", bootenv=Bootenv())


def test_addresses_of_people_and_of_the_machine_are_one_list() -> None:
    facts = {"desired.macs": ["52-54-00-AA-00-07"], "observed.macs": ["52:54:00:aa:00:07", "52:54:00:aa:00:08"]}
    assert project_node(7, "n7", facts).macs == ("52:54:00:aa:00:07", "52:54:00:aa:00:08")


def test_facts_below_a_path_are_put_together() -> None:
    facts = {
        "desired.address": "10.77.0.7",
        "desired.power.driver": "ipmi",
        "desired.power.address": "10.1.0.7",
        "desired.os.hostname": "web7",
        "machine.epoch": 2,
        "os.plan": {"request": "q1", "method": "image"},
    }
    found = project_node(7, "n7", facts, "allocated")
    assert (found.address, found.hostname, found.allocation, found.epoch) == ("10.77.0.7", "web7", "allocated", 2)
    assert found.power == {"driver": "ipmi", "address": "10.1.0.7"}
    assert (found.bootenv.kind, found.bootenv.request) == ("install", "q1")


def test_further_interfaces_and_names_are_served() -> None:
    facts = {
        "desired.macs": ["52:54:00:aa:00:07"],
        "desired.address": "10.77.0.7",
        "desired.address6": "fd00:77::7",
        "desired.nics.ipmi.mac": "52-54-00-AA-00-17",
        "desired.nics.ipmi.address": "10.5.0.7",
        "desired.nics.vlan12.address6": "fd00:12::0:7",
        "desired.nics.odd": "no interface",
        "desired.aliases": ["db", "db", "a b", 7],
    }
    found = project_node(7, "n7", facts)
    assert found.nics == (
        ServedNic(mac="52:54:00:aa:00:07", addresses=("10.77.0.7", "fd00:77::7")),
        ServedNic(mac="52:54:00:aa:00:17", addresses=("10.5.0.7",), name="ipmi"),
        ServedNic(mac="", addresses=("fd00:12::7",), name="vlan12"),
    )
    assert found.aliases == ("db",)


def test_what_makes_no_sense_is_left_out() -> None:
    facts = {
        "desired.macs": ["52:54:00", 7],
        "observed.macs": "52:54:00:aa:00:07",
        "desired.power": "ipmi",
        "machine.epoch": "two",
        "desired.address": "10.77.0.999",
        "desired.hostname": "a b,c\nd",
    }
    assert project_node(7, "n7", facts) == ServedNode(id=7, name="n7")


def test_a_rack_serves_its_networks_and_settings() -> None:
    network = {"cidr": "10.77.0.0/24", "address": "10.77.0.1", "dynamic": ["10.77.0.100", "10.77.0.200"]}
    served, wrong = project_rack("r1", {"desired.rack.networks": [network], "desired.rack.auto_accept": True})
    expected = Network(cidr="10.77.0.0/24", address="10.77.0.1", dynamic=("10.77.0.100", "10.77.0.200"))
    assert (served, wrong) == (ServedRack(name="r1", networks=(expected,), settings={"auto_accept": True}), "")


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ({"cidr": 7, "address": "10.77.0.1"}, "cidr"),
        ({"cidr": "10.77.0.0/33", "address": "10.77.0.1"}, "10.77.0.0/33"),
        ({"cidr": "10.77.0.0/24", "address": "rack"}, "rack"),
        ({"cidr": "10.77.0.0/24", "address": "10.77.0.1", "dynamic": ["10.78.0.1", "10.78.0.9"]}, "not within"),
        ({"cidr": "10.77.0.0/24", "address": "10.77.0.1", "domain": "a\nb"}, "no name"),
    ],
)
def test_networks_that_make_no_sense_are_told(network: dict[str, object], word: str) -> None:
    served, wrong = project_rack("r1", {"desired.rack.networks": [network], "desired.rack.discovery": "d"})
    assert served == ServedRack(name="r1", settings={"discovery": "d"})
    assert word in wrong


def test_one_document_has_one_form() -> None:
    one = ServedNode(id=7, name="n7", power={"driver": "ipmi", "address": "a"})
    other = ServedNode(id=7, name="n7", power={"address": "a", "driver": "ipmi"})
    assert document(one) == document(other)
    assert msgspec.json.decode(document(one), type=ServedNode) == one


@pytest.mark.parametrize("path", [*NODE_READS, "os", "desired", "desired.power.address", "desired.rack.networks"])
def test_a_change_of_what_is_read_concerns_the_rack(path: str) -> None:
    assert concerns(path)


@pytest.mark.parametrize("path", ["web.conf", "desired.web.port", "observed.power", "served.boot", "tests.cpu"])
def test_other_facts_do_not(path: str) -> None:
    assert not concerns(path)
