"""What Kea and dnsmasq are told, and the messages of DHCP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rackwright.core.dhcp import Answers, Host, Within
from rackwright.core.dhcp_packet import DISCOVER, OFFER, Message, broadcast_frame, decode, from_frame
from rackwright.core.errors import InvalidInput
from rackwright.core.served import Network, ServedNic
from rackwright.rack.dhcp import dnsmasq, kea6_configuration, kea_configuration
from rackwright.rack.dhcp.choice import servers
from rackwright.rack.dhcp.host_views import owners, seen
from rackwright.rack.dhcp.taken import Taken

GOLDEN = Path(__file__).parent / "dhcp"
NEAR = Network(
    cidr="10.77.0.0/24", address="10.77.0.1", gateway="10.77.0.254", dns=("10.77.0.53", "10.77.0.54"),
    domain="rack.test", dynamic=("10.77.0.100", "10.77.0.199"),
)  # fmt: skip
FAR = Network(cidr="10.88.0.0/24", address="10.77.0.1", relayed=True)
BESIDE = Network(cidr="10.99.0.0/24", address="10.99.0.1", proxy=True)
AWAY = Network(cidr="10.66.0.0/24", address="10.66.0.1")
ANSWERS = Answers(
    networks=(NEAR, FAR, BESIDE, AWAY),
    hosts={
        7: Host(7, "n7", ("52:54:00:00:00:07", "52:54:00:00:01:07"), "10.77.0.7", "token7"),
        8: Host(8, "n8", ("52:54:00:00:00:08",), None, "token8"),
        9: Host(9, "n9", ("52:54:00:00:00:09",), "10.88.0.9", "token9"),
    },
    interfaces={"10.77.0.1": "eth1", "10.99.0.1": "eth2"},
)


SIX = Network(
    cidr="fd00:77::/64", address="fd00:77::1", dns=("10.77.0.53", "fd00:77::53"), domain="rack.test",
    dynamic=("fd00:77::1:0", "fd00:77::1:ff"),
)  # fmt: skip
FAR_SIX = Network(cidr="fd00:88::/64", address="fd00:77::1", relayed=True)
STORAGE = ServedNic(mac="52:54:00:00:01:07", addresses=("10.77.0.17", "fd00:77::7"), name="storage")
ANSWERS6 = Answers(
    networks=(NEAR, SIX, FAR_SIX),
    hosts={7: structs.replace(ANSWERS.hosts[7], nics=(STORAGE,)), 8: ANSWERS.hosts[8]},
    interfaces={"10.77.0.1": "eth1", "fd00:77::1": "eth1"},
)


def golden(name: str, text: str) -> None:
    """Compare with the file that is kept."""
    assert text == (GOLDEN / name).read_text()


def test_kea_is_told_of_networks_hosts_and_first_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kea_configuration, "glob", lambda pattern: [f"/hooks/{pattern.rpartition('/')[2]}"])
    golden("kea.json", json.dumps(kea_configuration.configuration(ANSWERS, "/rack/kea"), indent=1) + "\n")


def test_kea_with_rows_is_told_of_no_hosts_and_gives_nobody_their_addresses() -> None:
    taken = {"10.77.0.100", "10.77.0.150", "10.77.0.151"}
    told = kea_configuration.configuration(ANSWERS, "/rack/kea", {"type": "postgresql"}, taken)["Dhcp4"]
    assert told["hosts-databases"] == [{"type": "postgresql"}]
    near, far = told["subnet4"]
    assert (near["reservations-global"], near["reservations-in-subnet"]) == (True, False)
    assert "reservations-global" not in far
    assert (near["reservations"], far["reservations"]) == ([], [])
    assert [pool["pool"] for pool in near["pools"]] == ["10.77.0.101 - 10.77.0.149", "10.77.0.152 - 10.77.0.199"]


def test_kea6_is_told_of_networks_and_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kea_configuration, "glob", lambda pattern: [f"/hooks/{pattern.rpartition('/')[2]}"])
    golden("kea6.json", json.dumps(kea6_configuration.configuration(ANSWERS6, "/rack/kea6"), indent=1) + "\n")


def test_kea6_with_rows_is_told_of_no_hosts_and_gives_nobody_their_addresses() -> None:
    taken = {"fd00:77::1:80", "fd00:77::1:0"}
    told = kea6_configuration.configuration(ANSWERS6, "/rack/kea6", {"type": "postgresql"}, taken)["Dhcp6"]
    assert told["hosts-databases"] == [{"type": "postgresql"}]
    assert (told["reservations-in-subnet"], told["reservations-out-of-pool"]) == (True, True)
    near, far = told["subnet6"]
    assert (near["reservations"], far["reservations"]) == ([], [])
    pools = [pool["pool"] for pool in near["pools"]]
    assert pools == ["fd00:77::1:1 - fd00:77::1:7f", "fd00:77::1:81 - fd00:77::1:ff"]


def test_rows_of_the_first_network_are_those_of_no_network() -> None:
    assert list(kea_configuration.row_ids(ANSWERS, 4)) == [(0, NEAR), (kea_configuration.subnet_id(FAR), FAR)]


def test_rows_of_ipv6_are_those_of_their_network() -> None:
    ids = [kea_configuration.subnet_id(network) for network in (SIX, FAR_SIX)]
    assert list(kea_configuration.row_ids(ANSWERS6, 6)) == list(zip(ids, (SIX, FAR_SIX), strict=True))
    assert len({0, *ids}) == 3


def test_over_ipv6_a_host_looks_the_same_whatever_changes_of_ipv4() -> None:
    host = ANSWERS6.hosts[7]
    other = structs.replace(host, token="another", address="10.77.0.70", macs=host.macs[:1])
    assert seen(host, 6) == seen(other, 6)
    assert seen(host, 4) != seen(other, 4)
    assert seen(ANSWERS6.hosts[8], 6) is None
    moved = structs.replace(host, nics=(structs.replace(STORAGE, addresses=("fd00:77::8",)),))
    assert seen(host, 6) != seen(moved, 6)
    assert seen(host, 6) != seen(structs.replace(host, name="other"), 6)


def test_an_address_that_is_gone_belongs_to_nobody_and_one_that_moved_to_its_new_owner() -> None:
    before = ANSWERS6.hosts
    nic = structs.replace(STORAGE, mac="52:54:00:00:00:08", addresses=("fd00:77::7",))
    answers = structs.replace(ANSWERS6, hosts={8: structs.replace(before[8], nics=(nic,))})
    assert owners(answers, before, (7, 8), 6) == {"fd00:77::7": {"52:54:00:00:00:08"}}
    assert owners(answers, before, (7, 8), 4) == {"10.77.0.7": set(), "10.77.0.17": set()}


def test_only_addresses_in_a_dynamic_range_are_taken_out_of_it() -> None:
    hosts = {7: ANSWERS.hosts[7], 8: structs.replace(ANSWERS.hosts[8], address="10.77.0.150")}
    taken = Taken.among(structs.replace(ANSWERS, hosts=hosts), 4)
    assert taken.addresses() == {"10.77.0.150"}
    nic = structs.replace(STORAGE, addresses=("10.77.0.151", "fd00:77::1:5", "fd00:77::5"))
    sixes = structs.replace(ANSWERS6, hosts={7: structs.replace(hosts[7], nics=(nic,))})
    assert Taken.among(sixes, 6).addresses() == {"fd00:77::1:5"}
    moved = structs.replace(ANSWERS, hosts={7: structs.replace(hosts[7], address="10.77.0.9")})
    assert not taken.note(moved, [7])
    assert taken.note(moved, [8])
    assert taken.addresses() == set()


def test_further_interfaces_have_addresses_of_their_own() -> None:
    nics = (
        ServedNic(mac="52:54:00:00:01:07", addresses=("10.88.0.7", "fd00::7"), name="storage"),
        ServedNic(mac="", addresses=("10.77.0.77",), name="bond0"),
    )
    host = structs.replace(ANSWERS.hosts[7], nics=nics)
    assert list(host.within(Within(NEAR.cidr))) == [("52:54:00:00:00:07", "10.77.0.7")]
    assert list(host.within(Within(FAR.cidr))) == [("52:54:00:00:01:07", "10.88.0.7")]
    assert list(host.within(Within("fd00::/64"))) == [("52:54:00:00:01:07", "fd00::7")]


@pytest.mark.parametrize("addresses", [True, False])
def test_dnsmasq_is_told_its_part(addresses: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    lines = dnsmasq.configuration(ANSWERS, "/rack/dnsmasq", addresses=addresses, tftp=not addresses)
    golden(f"dnsmasq-{'addresses' if addresses else 'boot'}.conf", "\n".join(lines) + "\n")


def test_a_network_is_answered_where_the_rack_has_its_address() -> None:
    assert [network.cidr for network in ANSWERS.absent()] == [AWAY.cidr]
    elsewhere = structs.replace(ANSWERS, networks=(structs.replace(NEAR, interface="eth9"),))
    assert list(elsewhere.present()) == []


def test_what_a_url_holds_cannot_break_the_option() -> None:
    odd = structs.replace(ANSWERS.hosts[7], token="a,b")
    subnet = kea_configuration.configuration(structs.replace(ANSWERS, hosts={7: odd}), "/rack")["Dhcp4"]["subnet4"][0]
    assert "/boot/a\\,b/ipxe" in subnet["reservations"][0]["option-data"][0]["data"]


def test_an_unknown_kind_of_server_is_refused() -> None:
    with pytest.raises(InvalidInput, match="there is no DHCP server 'isc'"):
        servers("isc", "/rack", tftp=True)


@pytest.mark.parametrize(
    ("kind", "tftp", "names"),
    [
        ("kea", True, ["dnsmasq", "kea", "kea6", "router advertisements"]),
        ("dnsmasq", True, ["dnsmasq", "dnsmasq", "router advertisements"]),
        ("none", True, ["dnsmasq", "router advertisements"]),
        ("none", False, ["dnsmasq"]),
    ],
)
def test_what_runs_for_each_kind(kind: str, tftp: bool, names: list[str]) -> None:
    assert [server.name for server in servers(kind, "/rack", tftp=tftp)] == names


def test_a_message_is_read_as_it_was_written() -> None:
    message = Message(
        OFFER, 7, bytes.fromhex("525400000007"), reply=True, yours="10.77.0.7", server="10.77.0.1", relay="10.88.0.1",
        file="undionly.kpxe", options={54: bytes([10, 77, 0, 1]), 67: b"http://rack"},
    )  # fmt: skip
    assert decode(message.encode()) == message


def test_a_question_in_a_frame_goes_to_the_servers() -> None:
    frame = broadcast_frame(Message(DISCOVER, 7, bytes.fromhex("525400000007")))
    assert frame[:6] == b"\xff" * 6
    assert sum(int.from_bytes(frame[at : at + 2]) for at in range(14, 34, 2)) % 0xFFFF == 0
    assert from_frame(frame) is None


@given(st.binary(max_size=600))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    start = Message(DISCOVER, 7, bytes(6)).encode()[:240]
    assert decode(start + data) is not None
    assert decode(data) is None or len(data) > 240
    from_frame(data)
