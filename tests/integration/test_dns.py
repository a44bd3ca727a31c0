"""PowerDNS as a rack runs it: what it answers, and from when."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.reversename
import dns.rrset
import pytest
import pytest_asyncio
from msgspec import structs

from rackwright.core.dhcp import Answers, Host
from rackwright.core.errors import Retryable
from rackwright.core.hosts import Hosts
from rackwright.core.served import Network, ServedNic
from rackwright.rack.dns.powerdns import PowerDns
from tests.integration.dhcp_wire import Wire, inside, pids_in, require, wire

SERVER = "10.77.0.1"
OUTSIDE = "192.0.2.53"
NETWORK = Network(cidr="10.77.0.0/24", address=SERVER, domain="rack.test")
N7 = Host(7, "n7", ("52:54:00:00:00:07",), "10.77.0.7", "t7", (), ("db",))
N8 = Host(8, "n8", (), None, "t8", (ServedNic(mac="x", addresses=("10.77.0.80",), name="storage"),))


def known(*given: Host) -> Answers:
    hosts = Hosts()
    for host in given:
        hosts.put(host)
    return Answers(networks=(NETWORK,), hosts=hosts, interfaces={SERVER: "rack0"})


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Wire]:
    require("pdns_server")
    with wire() as made:
        async with inside(made.rack):
            yield made


@pytest_asyncio.fixture
async def server(line: Wire, tmp_path: Path) -> AsyncIterator[PowerDns]:
    made = PowerDns(str(tmp_path / "dns"))
    await made.answer(known(N7, N8))
    yield made
    await made.close()


async def ask(name: str, kind: str = "A", patience: float = 5, source: str | None = None) -> list[str]:
    """What is answered; with nothing, the code says why."""
    question = dns.message.make_query(name, kind)
    answer = await dns.asyncquery.udp(question, SERVER, timeout=patience, source=source)
    return [str(item) for part in answer.answer for item in part] or [dns.rcode.to_text(answer.rcode())]


async def test_names_and_addresses_are_found(server: PowerDns) -> None:
    assert await ask("n7.rack.test") == ["10.77.0.7"]
    assert await ask("DB.rack.test") == ["10.77.0.7"]
    assert await ask("n8-storage.rack.test") == ["10.77.0.80"]
    assert await ask(str(dns.reversename.from_address("10.77.0.7")), "PTR") == ["n7.rack.test."]
    assert await ask("ns.rack.test") == [SERVER]


async def test_what_is_not_ours_is_refused_and_what_is_nobodys_is_denied(server: PowerDns) -> None:
    assert await ask("example.org") == ["REFUSED"]
    assert await ask("n9.rack.test") == ["NXDOMAIN"]


async def test_who_may_asks_for_other_names_too_and_the_racks_own_are_not_kept(server: PowerDns, line: Wire) -> None:
    require("dnsdist")
    line.within("ip", "address", "add", OUTSIDE, "dev", "lo")
    away = Network(cidr="10.66.0.0/24", address=SERVER)
    networks = (structs.replace(NETWORK, forwarders=(OUTSIDE,)), away)
    async with outside({"example.org.": "192.0.2.1"}) as asked:
        await server.answer(structs.replace(known(N7), networks=networks))
        assert await ask("n7.rack.test") == ["10.77.0.7"]
        assert await ask("n9.rack.test") == ["NXDOMAIN"]
        assert await ask(str(dns.reversename.from_address("10.77.0.7")), "PTR") == ["n7.rack.test."]
        assert [await ask("example.org") for _ in range(3)] == [["192.0.2.1"]] * 3
        assert asked == ["example.org."]
        await server.answer(structs.replace(known(structs.replace(N7, address="10.77.0.70")), networks=networks), {7})
        assert await ask("n7.rack.test") == ["10.77.0.70"]
        # Whoever asks from a network without forwarders is refused.
        line.within("ip", "address", "add", "10.66.0.9", "dev", "lo")
        assert await ask("example.org", source="10.66.0.9") == ["REFUSED"]
        assert await ask("n7.rack.test", source="10.66.0.9") == ["10.77.0.70"]
    # With the resolver away the rack's own names are answered as ever.
    assert await ask("n7.rack.test") == ["10.77.0.70"]
    await server.answer(known(N7))
    assert await ask("example.org") == ["REFUSED"]
    assert await ask("n7.rack.test") == ["10.77.0.7"]


async def test_servers_that_a_killed_rack_left_behind_are_taken_over_as_they_are(
    server: PowerDns, line: Wire, tmp_path: Path
) -> None:
    require("dnsdist")
    for networks in ((NETWORK,), (structs.replace(NETWORK, forwarders=("10.77.0.254",)),)):
        answers = structs.replace(known(N7, N8), networks=networks)
        await server.answer(answers)
        before = pids_of(line)
        fresh = PowerDns(str(tmp_path / "dns"))
        await fresh.answer(answers)
        assert pids_of(line) == before
        assert await ask("n7.rack.test") == ["10.77.0.7"]
        for pid in before:
            os.kill(pid, 9)
        while not await _is_up(fresh, answers):
            pass
        await fresh.close()
        assert pids_of(line) == []
        await server.close()


async def test_addresses_of_ipv6_have_names_too(server: PowerDns) -> None:
    six = Network(cidr="fd00:77::/64", address="fd00:77::1", domain="rack.test")
    host = structs.replace(N7, nics=(ServedNic(mac=N7.macs[0], addresses=("10.77.0.7", "fd00:77::7")),))
    await server.answer(structs.replace(known(host), networks=(NETWORK, six)))
    assert await ask("n7.rack.test", "AAAA") == ["fd00:77::7"]
    assert await ask(str(dns.reversename.from_address("fd00:77::7")), "PTR") == ["n7.rack.test."]


async def test_a_change_is_answered_from_then_on(server: PowerDns) -> None:
    assert await ask("n7.rack.test") == ["10.77.0.7"]
    moved = structs.replace(N7, address="10.77.0.70", aliases=())
    await server.answer(known(moved, N8), {7})
    assert await ask("n7.rack.test") == ["10.77.0.70"]
    assert await ask("db.rack.test") == ["NXDOMAIN"]
    assert await ask(str(dns.reversename.from_address("10.77.0.7")), "PTR") == ["NXDOMAIN"]
    await server.answer(known(N8), {7})
    assert await ask("n7.rack.test") == ["NXDOMAIN"]
    assert await ask("n8-storage.rack.test") == ["10.77.0.80"]


async def test_a_server_that_was_killed_is_there_again(server: PowerDns, line: Wire) -> None:
    _kill(line)
    while not await _is_up(server):
        pass
    assert await ask("n7.rack.test") == ["10.77.0.7"]


async def test_what_a_killed_rack_left_behind_is_replaced_and_only_what_differs_is_written(
    server: PowerDns, line: Wire, tmp_path: Path
) -> None:
    fresh = PowerDns(str(tmp_path / "dns"))
    await fresh.answer(known(structs.replace(N7, address="10.77.0.71")))
    assert await ask("n7.rack.test") == ["10.77.0.71"]
    assert await ask("n8-storage.rack.test") == ["NXDOMAIN"]
    await fresh.close()


async def test_another_domain_replaces_the_former(server: PowerDns) -> None:
    networks = (structs.replace(NETWORK, domain="other.test"),)
    await server.answer(structs.replace(known(N7), networks=networks))
    assert await ask("n7.other.test") == ["10.77.0.7"]
    assert await ask("n7.rack.test") == ["REFUSED"]


async def test_a_port_that_is_taken_is_said(server: PowerDns, tmp_path: Path) -> None:
    other = PowerDns(str(tmp_path / "other"))
    with pytest.raises(Retryable, match="PowerDNS does not start"):
        await other.answer(known(N7))
    await other.close()


async def _is_up(server: PowerDns, answers: Answers | None = None) -> bool:
    await server.answer(answers or known(N7, N8), set())
    try:
        return await ask("n7.rack.test", patience=0.5) == ["10.77.0.7"]
    except (OSError, dns.exception.Timeout):
        return False


def _kill(line: Wire) -> None:
    for pid in pids_of(line):
        os.kill(pid, 9)


def pids_of(line: Wire) -> list[int]:
    """The servers that run."""
    found = []
    for pid in pids_in(line.rack):
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/comm").read_text().strip() in ("pdns_server", "dnsdist"):
                found.append(pid)
    return sorted(found)


@contextlib.asynccontextmanager
async def outside(names: dict[str, str]) -> AsyncIterator[list[str]]:
    """A resolver beyond the rack that knows these names; gives what it is asked for."""
    asked: list[str] = []

    class Resolver(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, sender: Any) -> None:
            question = dns.message.from_wire(data)
            name = question.question[0].name.to_text()
            asked.append(name)
            answer = dns.message.make_response(question, recursion_available=True)
            answer.answer.append(dns.rrset.from_text(name, 300, "IN", "A", names[name]))
            self.transport.sendto(answer.to_wire(), sender)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Resolver, local_addr=(OUTSIDE, 53))
    try:
        yield asked
    finally:
        transport.close()
