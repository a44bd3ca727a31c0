"""DHCPv6 as a rack answers it, asked by machines on a wire: with hosts in Kea's configuration, and in rows."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from msgspec import structs

from rackwright.core.dhcp import Answers, Host
from rackwright.core.errors import Retryable, StoreUnavailable
from rackwright.core.served import Network, ServedNic
from rackwright.rack.dhcp.kea import Kea
from rackwright.rack.dhcp.kea_rows import HostRows
from rackwright.store.embedded import running
from tests.integration.dhcp6_wire import given, line6, link_local
from tests.integration.dhcp_wire import Wire, pids_in, require

FOUR = Network(cidr="10.77.0.0/24", address="10.77.0.1", dynamic=("10.77.0.100", "10.77.0.199"))
SIX = Network(cidr="fd00:77::/64", address="fd00:77::1", dynamic=("fd00:77::1:0", "fd00:77::1:ff"))
RANGE = ipaddress.ip_network("fd00:77::1:0/120")
MAC, OTHER, STRANGER = "52:54:00:00:00:07", "52:54:00:00:00:08", "52:54:00:00:00:99"

Make = Callable[[], Kea]


def host(id: int, mac: str, *addresses: str) -> Host:
    return Host(id, f"n{id}", (), None, f"t{id}", (ServedNic(mac=mac, addresses=addresses, name="s"),))


def answers(*hosts: Host) -> Answers:
    return Answers(networks=(SIX,), hosts={each.id: each for each in hosts}, interfaces={"fd00:77::1": "rack0"})


SEVEN, EIGHT = host(7, MAC, "10.77.0.7", "fd00:77::7"), host(8, OTHER, "10.77.0.8", "fd00:77::8")
BOTH = answers(SEVEN, EIGHT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of a database for rows."""
    require("kea-dhcp6")
    async with running(tmp_path_factory.mktemp("hosts"), linger=0) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def database(server: str) -> AsyncIterator[asyncpg.Connection]:
    """The database, without what an earlier test has left in it."""
    connection = await asyncpg.connect(server)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Wire]:
    require("kea-dhcp4", "kea-dhcp6")
    async with line6() as made:
        yield made


@pytest.fixture
def by_rows(server: str, database: asyncpg.Connection, tmp_path: Path) -> Make:
    return lambda: _with_rows(server, tmp_path)


@pytest_asyncio.fixture(params=["in the configuration", "rows"])
async def kea(request: pytest.FixtureRequest, by_rows: Make, line: Wire, tmp_path: Path) -> AsyncIterator[Kea]:
    made = by_rows() if request.param == "rows" else Kea(str(tmp_path / "kea6"), version=6)
    await made.answer(BOTH)
    yield made
    await made.close()


def _with_rows(dsn: str, folder: Path, rows_from: int = 0, version: int = 6) -> Kea:
    rows = HostRows(lambda: contextlib.nullcontext(dsn))
    return Kea(str(folder / f"kea{version}"), rows, rows_from, version=version)


async def test_each_is_given_its_own_address_and_a_stranger_one_of_the_range(kea: Kea, line: Wire) -> None:
    assert await given(line, MAC) == "fd00:77::7"
    assert await given(line, OTHER) == "fd00:77::8"
    assert ipaddress.ip_address(await given(line, STRANGER)) in RANGE


async def test_an_address_that_moves_is_given_to_its_new_owner_at_once(kea: Kea, line: Wire) -> None:
    assert await given(line, MAC) == "fd00:77::7"
    await kea.answer(answers(host(7, MAC, "fd00:77::9"), host(8, OTHER, "fd00:77::7")), {7, 8})
    assert await given(line, OTHER) == "fd00:77::7"
    assert await given(line, MAC) == "fd00:77::9"


async def test_an_address_that_is_gone_is_free_for_the_next_node(kea: Kea, line: Wire) -> None:
    assert await given(line, MAC) == "fd00:77::7"
    await kea.answer(answers(EIGHT), {7})
    assert ipaddress.ip_address(await given(line, MAC)) in RANGE
    nine = host(9, STRANGER, "fd00:77::7")
    await kea.answer(answers(host(7, MAC, "10.77.0.7"), EIGHT, nine), {7, 9})
    assert await given(line, STRANGER) == "fd00:77::7"
    assert ipaddress.ip_address(await given(line, MAC)) in RANGE


async def test_an_address_of_the_range_that_becomes_a_nodes_is_given_to_no_stranger(kea: Kea, line: Wire) -> None:
    first = await given(line, STRANGER)
    assert first == "fd00:77::1:0"
    await kea.answer(answers(host(7, MAC, first), host(8, OTHER, "fd00:77::1:1")), {7, 8})
    assert await given(line, MAC) == first
    assert await given(line, STRANGER) == "fd00:77::1:2"


@pytest.mark.parametrize("mac", [STRANGER, OTHER])
async def test_nobody_is_given_the_address_of_another_host_by_asking_for_it(kea: Kea, line: Wire, mac: str) -> None:
    assert await given(line, mac, wanted="fd00:77::7") != "fd00:77::7"
    assert await given(line, MAC) == "fd00:77::7"


async def test_each_interface_of_a_machine_that_has_one_identifier_is_given_its_own(kea: Kea, line: Wire) -> None:
    # Kea takes it only from the link-local address of a universal one.
    second = "00:16:3e:00:00:09"
    line.beyond("ip", "address", "add", f"{link_local(second)}/64", "dev", "machine0", "nodad")
    await kea.answer(answers(SEVEN, EIGHT, host(9, second, "fd00:77::9")), {9})
    assert await given(line, MAC, source=link_local(second)) == "fd00:77::9"
    assert await given(line, MAC) == "fd00:77::7"


async def test_without_networks_nobody_is_answered_and_what_changed_meanwhile_is_known(kea: Kea, line: Wire) -> None:
    await kea.answer(structs.replace(BOTH, networks=()), set())
    assert await given(line, MAC, patience=2) == ""
    nine = host(7, MAC, "fd00:77::9")
    await kea.answer(structs.replace(answers(nine, EIGHT), networks=()), {7})
    await kea.answer(answers(nine, EIGHT), set())
    assert await given(line, MAC) == "fd00:77::9"
    await kea.answer(BOTH, {7})
    assert await given(line, MAC) == "fd00:77::7"


async def test_a_server_that_was_killed_is_there_again(kea: Kea, line: Wire) -> None:
    (pid,) = _pids(line)
    os.kill(pid, 9)
    while _pids(line) in ([pid], []):
        await kea.answer(BOTH, set())
    assert await given(line, MAC) == "fd00:77::7"


async def test_a_thousand_changes_are_a_thousand_rows_and_kea_is_told_nothing(
    by_rows: Make, database: asyncpg.Connection, line: Wire, tmp_path: Path
) -> None:
    def known(moved: int) -> dict[int, Host]:
        """Those below ``moved`` have their second address."""
        return {
            n: host(n, f"52:54:00:02:{n >> 8:02x}:{n & 255:02x}", f"fd00:77::{'b' if n < moved else 'a'}:{n:x}")
            for n in range(3000)
        }

    kea, told = by_rows(), tmp_path / "kea6" / "kea-dhcp6.conf"
    await kea.answer(structs.replace(BOTH, hosts=known(0)))
    before, configured, pids = await _kept(database), told.stat(), _pids(line)
    assert await given(line, "52:54:00:02:00:05") == "fd00:77::a:5"
    await kea.answer(structs.replace(BOTH, hosts=known(1000)), set(range(1000)))
    after = await _kept(database)
    assert {node for node, row in after.items() if before[node] != row} == set(range(1000))
    assert await given(line, "52:54:00:02:00:05") == "fd00:77::b:5"
    assert await given(line, "52:54:00:02:0b:05") == "fd00:77::a:b05"
    assert (told.stat().st_ino, told.stat().st_mtime_ns) == (configured.st_ino, configured.st_mtime_ns)
    assert _pids(line) == pids
    await kea.close()


async def test_a_change_of_one_version_leaves_the_rows_of_the_other_alone(
    server: str, database: asyncpg.Connection, line: Wire, tmp_path: Path
) -> None:
    both = Answers(networks=(FOUR, SIX), hosts=BOTH.hosts, interfaces={"10.77.0.1": "rack0", "fd00:77::1": "rack0"})
    servers = [_with_rows(server, tmp_path, version=version) for version in (4, 6)]
    for each in servers:
        await each.answer(both)
    assert (await line.ipxe(MAC))["address"] == "10.77.0.7"
    assert await given(line, MAC) == "fd00:77::7"
    kept4, kept6 = await _kept(database, 4), await _kept(database)
    assert set(kept4) == set(kept6) == {7, 8}
    for each in servers:
        await each.answer(structs.replace(both, hosts={7: host(7, MAC, "10.77.0.70", "fd00:77::7"), 8: EIGHT}), {7})
    assert await _kept(database) == kept6
    assert (await line.ipxe(MAC))["address"] == "10.77.0.70"
    moved = structs.replace(both, hosts={7: host(7, MAC, "10.77.0.70", "fd00:77::9"), 8: EIGHT})
    for each in servers:
        await each.answer(moved, {7})
    assert (await _kept(database, 4))[8] == kept4[8]
    assert await given(line, MAC) == "fd00:77::9"
    assert (await line.ipxe(MAC))["address"] == "10.77.0.70"
    for each in servers:
        await each.answer(structs.replace(both, hosts={8: EIGHT}), {7})
    assert (await _kept(database, 4), await _kept(database)) == ({8: kept4[8]}, {8: kept6[8]})
    for each in servers:
        await each.close()


async def test_the_next_process_finds_rows_and_kea_as_they_were(
    by_rows: Make, database: asyncpg.Connection, line: Wire
) -> None:
    first, second = by_rows(), by_rows()
    await first.answer(BOTH)
    before, pids = await _kept(database), _pids(line)
    await second.answer(BOTH)
    assert (await _kept(database), _pids(line)) == (before, pids)
    assert await given(line, MAC) == "fd00:77::7"
    await second.answer(answers(SEVEN), {8})
    assert await _kept(database) == {7: before[7]}
    await second.close()
    await first.close()
    assert _pids(line) == []


async def test_hosts_go_into_rows_when_there_are_many_and_back_when_a_rack_begins_with_few(
    server: str, database: asyncpg.Connection, line: Wire, tmp_path: Path
) -> None:
    many = [host(n, f"52:54:00:00:01:{n:02x}", f"fd00:77::{n:x}") for n in range(16, 48)]
    kea = _with_rows(server, tmp_path, rows_from=10)
    await kea.answer(BOTH)
    assert await given(line, MAC) == "fd00:77::7"
    assert await database.fetchval("SELECT to_regclass('hosts')") is None
    pids = _pids(line)
    await kea.answer(answers(SEVEN, EIGHT, *many), {each.id for each in many})
    assert len(await _kept(database)) == 34
    for mac, address in ((MAC, "fd00:77::7"), ("52:54:00:00:01:10", "fd00:77::10")):
        assert await given(line, mac) == address
    await kea.answer(answers(host(7, MAC, "fd00:77::9"), EIGHT), {7, *(each.id for each in many)})
    assert set(await _kept(database)) == {7, 8}
    assert await given(line, MAC) == "fd00:77::9"
    again = _with_rows(server, tmp_path, rows_from=10)
    await again.answer(BOTH)
    await database.execute("TRUNCATE hosts CASCADE")
    assert await given(line, MAC) == "fd00:77::7"
    assert _pids(line) == pids
    await again.close()
    await kea.close()


async def test_without_the_database_machines_are_answered_and_it_is_said(
    server: str, database: asyncpg.Connection, line: Wire, tmp_path: Path
) -> None:
    there: list[str] = []

    @contextlib.asynccontextmanager
    async def sometimes() -> AsyncIterator[str]:
        if not there:
            raise StoreUnavailable("the disk is full")
        yield there[0]

    kea = Kea(str(tmp_path), HostRows(sometimes), 0, version=6)
    with pytest.raises(Retryable, match="the disk is full"):
        await kea.answer(BOTH)
    assert await given(line, MAC) == "fd00:77::7"
    there.append(server)
    await kea.answer(answers(host(7, MAC, "fd00:77::9")), {7, 8})
    assert await given(line, MAC) == "fd00:77::9"
    await kea.close()


async def _kept(database: asyncpg.Connection, version: int = 6) -> Mapping[int, int]:
    """Of each node the key of its row: another one when it was written anew."""
    column = f"dhcp{version}_subnet_id"
    rows = await database.fetch(f"SELECT node, host_id FROM hosts WHERE {column} IS NOT NULL")
    return {row["node"]: row["host_id"] for row in rows}


def _pids(line: Wire) -> list[int]:
    return [pid for pid in pids_in(line.rack) if _name(pid) == "kea-dhcp6"]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""
