"""The catalog `metal`: the network of an installed system, in each of its forms."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metal_scripts import BONDED, MACS, answers, netconf, same_as_kept, told, wish


def checked(*interfaces: dict[str, Any], **more: Any) -> Any:
    return netconf.checked({"interfaces": list(interfaces), **more}, MACS)


def test_a_bonded_network_in_all_its_forms_is_as_it_is_kept() -> None:
    network = netconf.checked(BONDED, MACS)
    same_as_kept("bonded.netplan.json", netconf.netplan(network))
    same_as_kept("bonded.interfaces", netconf.ifupdown(network))
    same_as_kept("bonded.kickstart", "\n".join(netconf.kickstart(network)) + "\n")
    files = {**netconf.links(network), **netconf.networkd(network)}
    same_as_kept("bonded.networkd", "".join(f"### {name}\n{text}" for name, text in files.items()))


def test_with_nothing_wished_the_interface_that_booted_asks_dhcp_and_keeps_its_name() -> None:
    network = netconf.checked(None, MACS)
    assert netconf.netplan(network)["ethernets"] == {
        "primary": {"match": {"macaddress": MACS[0]}, "dhcp4": True, "dhcp-identifier": "mac"},
    }
    assert "MACAddress=52:54:00:00:00:01" in netconf.networkd(network)["10-primary.network"]
    assert netconf.links(network) == {}


def test_without_any_mac_every_ethernet_interface_asks_dhcp() -> None:
    network = netconf.checked({}, [])
    assert netconf.netplan(network)["ethernets"] == {
        "any": {"match": {"name": "e*"}, "optional": True, "dhcp4": True, "dhcp-identifier": "mac"}
    }
    unit = netconf.networkd(network)["10-any.network"]
    assert "Name=e*" in unit
    assert "[DHCPv4]\nClientIdentifier=mac\n" in unit, "a new installation keeps its lease"
    assert "RequiredForOnline=no" in unit, "a start does not wait for interfaces without a cable"
    assert netconf.kickstart(network) == ["network --device=link --bootproto=dhcp --activate --onboot=yes"]


def test_an_address_of_both_families_gives_one_default_route_for_each_gateway() -> None:
    network = checked({"name": "lan0", "addresses": ["10.0.0.5/24", "10.0.0.6/24"], "gateway": "10.0.0.1"})
    assert netconf.ifupdown(network).count("gateway 10.0.0.1") == 1
    assert netconf.netplan(network)["ethernets"]["lan0"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    six = checked({"name": "lan0", "addresses": ["fd00::5/64"], "gateway": "fd00::1"})
    assert netconf.netplan(six)["ethernets"]["lan0"]["routes"] == [{"to": "::/0", "via": "fd00::1"}]


@pytest.mark.parametrize(
    ("interfaces", "reason"),
    [
        ([{"name": "much-too-long-a-name"}], "no name of an interface"),
        ([{"name": "a/b"}], "no name of an interface"),
        ([{"name": "a"}, {"name": "a"}], "two interfaces are named a"),
        ([{"name": "a", "mac": "nonsense"}], "no MAC address"),
        ([{"name": "b", "type": "bond", "members": []}], "stands on no interface"),
        ([{"name": "b", "type": "bond", "members": ["c"]}], "no interface of the list"),
        ([{"name": "v", "type": "vlan", "link": "a", "id": 1}], "no interface of the list"),
        ([{"name": "a"}, {"name": "v", "type": "vlan", "link": "a", "id": 4095}], "an id from 1 to 4094"),
        (
            [{"name": "a"}, {"name": "b", "type": "bond", "members": ["a"]},
             {"name": "c", "type": "bridge", "members": ["a"]}],
            "a member of b and of c",
        ),
        ([{"name": "a", "addresses": ["10.0.0.300/24"]}], "10.0.0.300/24"),
        ([{"name": "a", "addresses": ["10.0.0.5"]}], "without a prefix"),
        ([{"name": "a", "addresses": ["10.0.0.5/24"], "gateway": "10.0.1.1"}], "in no network of its addresses"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_is_refused_with_its_fault(interfaces: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(told.Refused, match=reason):
        checked(*interfaces)


@given(st.ip_addresses(v=4), st.integers(8, 30), st.integers(1, 4094))
def test_an_address_of_a_vlan_comes_out_the_same_in_every_form(
    address: ipaddress.IPv4Address, prefix: int, number: int
) -> None:
    own = f"{address}/{prefix}"
    vlan = {"name": "v", "type": "vlan", "link": "lan0", "id": number, "addresses": [own]}
    network = checked({"name": "lan0", "mac": MACS[0]}, vlan)
    assert netconf.netplan(network)["vlans"]["v"] == {
        "id": number, "link": "lan0", "dhcp4": False, "addresses": [own],
    }  # fmt: skip
    assert f"Id={number}\n" in netconf.networkd(network)["11-v.netdev"]
    assert f"Address={own}\n" in netconf.networkd(network)["11-v.network"]
    assert "VLAN=v\n" in netconf.networkd(network)["10-lan0.network"]
    assert f"    address {own}\n" in netconf.ifupdown(network)
    netmask = ipaddress.ip_interface(own).netmask
    assert f"--device={MACS[0]} --vlanid={number} --interfacename=v" in netconf.kickstart(network)[1]
    assert f"--ip={address} --netmask={netmask}" in netconf.kickstart(network)[1]


@pytest.mark.parametrize("kind", ["networkd", "netplan", "ifupdown"])
def test_the_files_of_a_network_are_where_its_set_up_looks(kind: str) -> None:
    paths = [file["path"] for file in answers.network_files(wish(BONDED), kind)]
    where = {"networkd": "/etc/systemd/network/14-br0.netdev", "netplan": "/etc/netplan/50-rackwright.yaml",
             "ifupdown": "/etc/network/interfaces"}  # fmt: skip
    assert where[kind] in paths


def test_an_unknown_network_set_up_is_refused() -> None:
    with pytest.raises(told.Refused, match="wicked"):
        answers.network_files(wish(BONDED), "wicked")
