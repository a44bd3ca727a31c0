"""Nodes as DHCP and DNS know them, changed one at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.dhcp import Host
from rackwright.core.hosts import Hosts
from rackwright.core.served import ServedNic


def host(id: int, *macs: str) -> Host:
    return Host(id, f"n{id}", macs, f"10.77.0.{id}", f"token{id}")


def test_an_ethernet_address_that_two_nodes_claim_is_that_of_the_first_until_it_goes() -> None:
    hosts = Hosts()
    hosts.put(host(7, "a", "b"))
    assert hosts.put(host(6, "a")) == {6, 7}
    assert (hosts[6].macs, hosts[7].macs) == (("a",), ("b",))
    assert hosts.drop(6) == {6, 7}
    assert (list(hosts), hosts[7].macs) == ([7], ("a", "b"))


def test_a_change_touches_only_those_that_claim_the_same() -> None:
    hosts = Hosts()
    for id in range(1, 9):
        hosts.put(host(id, f"m{id}"))
    assert hosts.put(host(3, "m3", "x")) == {3}
    assert hosts.drop(99) == set()


def test_an_interface_that_another_node_has_first_keeps_its_name_and_loses_its_ethernet_address() -> None:
    hosts = Hosts()
    hosts.put(host(1, "a"))
    nic = ServedNic(mac="a", addresses=("10.88.0.2",), name="storage")
    hosts.put(Host(2, "n2", (), None, "token2", (nic,)))
    assert list(hosts[2].ports()) == []
    assert hosts[2].nics[0].addresses == nic.addresses


@given(st.lists(st.tuples(st.integers(1, 5), st.one_of(st.none(), st.sets(st.sampled_from("abcd"))))))
def test_whatever_comes_in_whatever_order_it_is_as_if_all_had_come_at_once(
    changes: list[tuple[int, set[str] | None]],
) -> None:
    hosts, last = Hosts(), dict[int, set[str]]()
    before: dict[int, Host] = {}
    for id, macs in changes:
        touched = hosts.drop(id) if macs is None else hosts.put(host(id, *sorted(macs)))
        last.pop(id, None)
        if macs is not None:
            last[id] = macs
        assert all(before.get(other) == hosts.get(other) for other in {*before, *hosts} - touched)
        before = dict(hosts)
    owner = {mac: min(id for id, macs in last.items() if mac in macs) for macs in last.values() for mac in macs}
    assert {id: set(each.macs) for id, each in hosts.items()} == {
        id: {mac for mac in macs if owner[mac] == id} for id, macs in last.items()
    }
