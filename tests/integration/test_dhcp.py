"""Kea and dnsmasq, as racks run them, asked by machines on a wire."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec import structs

from rackwright.core.dhcp import Answers, DhcpServer, Host
from rackwright.core.dhcp_packet import DISCOVER, Message, broadcast_frame, from_frame
from rackwright.core.errors import Retryable, StoreUnavailable
from rackwright.core.leases import Lease
from rackwright.core.served import Network, ServedNic
from rackwright.rack.dhcp import interfaces
from rackwright.rack.dhcp.dnsmasq import Dnsmasq
from rackwright.rack.dhcp.dnsmasq_leases import DnsmasqLeases
from rackwright.rack.dhcp.foreign import servers_on
from rackwright.rack.dhcp.kea import Kea
from rackwright.rack.dhcp.kea_rows import HostRows
from rackwright.sim.namespaces import entered
from rackwright.store.embedded import running
from tests.integration.dhcp_wire import Wire, inside, pids_in, require, wire

NETWORK = Network(
    cidr="10.77.0.0/24", address="10.77.0.1", gateway="10.77.0.254", dns=("10.77.0.53",), domain="rack.test",
    dynamic=("10.77.0.100", "10.77.0.199"),
)  # fmt: skip
FAR = Network(cidr="10.88.0.0/24", address="10.77.0.1", relayed=True, dynamic=("10.88.0.100", "10.88.0.199"))
N7 = Host(7, "n7", ("52:54:00:00:00:07", "52:54:00:00:01:07"), "10.77.0.7", "token7")
N8 = Host(8, "n8", ("52:54:00:00:00:08",), None, "token8")
FAR9 = Host(9, "n9", ("52:54:00:00:00:09",), "10.88.0.9", "token9")
STRANGER = "52:54:00:00:00:99"
DOOR = "http://10.77.0.1:8480"
ANSWERS = Answers(networks=(NETWORK,), hosts={7: N7, 8: N8}, interfaces={"10.77.0.1": "rack0"})

Make = Callable[[str], DhcpServer]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of a database for rows; what an earlier test left in it is replaced."""
    require("kea-dhcp4")
    async with running(tmp_path_factory.mktemp("hosts"), linger=0) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Wire]:
    require("kea-dhcp4", "dnsmasq")
    with wire() as made:
        async with inside(made.rack):
            yield made


@pytest_asyncio.fixture(params=["kea", "kea with rows", "dnsmasq"])
async def server(
    request: pytest.FixtureRequest, database: str, line: Wire, tmp_path: Path
) -> AsyncIterator[DhcpServer]:
    makers: dict[str, Callable[[], DhcpServer]] = {
        "kea": lambda: Kea(str(tmp_path / "kea")),
        "kea with rows": lambda: _with_rows(database, tmp_path),
        "dnsmasq": lambda: _dnsmasq(tmp_path),
    }
    made = makers[request.param]()
    await made.answer(ANSWERS)
    yield made
    await made.close()


def _with_rows(dsn: str, folder: Path, rows_from: int = 0) -> Kea:
    return Kea(str(folder / "kea"), HostRows(lambda: contextlib.nullcontext(dsn)), rows_from)


def _dnsmasq(folder: Path) -> Dnsmasq:
    return Dnsmasq(str(folder), addresses=True)


async def test_a_node_gets_its_address_and_its_boot_url(server: DhcpServer, line: Wire) -> None:
    offered = await line.ipxe(N7.macs[0])
    assert (offered["address"], offered["12"]) == ("10.77.0.7", "n7")
    assert (offered["67"] or offered["file"]) == f"{DOOR}/boot/token7/ipxe?mac=${{netX/mac}}&firmware=${{platform}}"
    assert [int(byte) for byte in offered["3"].encode("latin-1")] == [10, 77, 0, 254]
    other = await line.ipxe(N7.macs[1])
    assert other["address"] == "10.77.0.7"


async def test_a_node_without_an_address_gets_one_of_the_pool_and_its_own_url(server: DhcpServer, line: Wire) -> None:
    offered = await line.ipxe(N8.macs[0])
    assert "10.77.0.100" <= offered["address"] <= "10.77.0.199"
    assert "/boot/token8/ipxe" in offered["67"]


async def test_a_stranger_gets_an_address_of_the_pool_and_the_discovery_url(server: DhcpServer, line: Wire) -> None:
    offered = await line.ipxe(STRANGER)
    assert "10.77.0.100" <= offered["address"] <= "10.77.0.199"
    assert offered["67"].startswith(f"{DOOR}/boot/ipxe?mac=${{netX/mac}}&")


@pytest.mark.parametrize("mac", [N7.macs[0], STRANGER])
@pytest.mark.parametrize(("arch", "file"), [(0, "undionly.kpxe"), (7, "snponly.efi"), (9, "snponly.efi")])
async def test_firmware_gets_the_first_stage(server: DhcpServer, line: Wire, mac: str, arch: int, file: str) -> None:
    offered = await line.firmware(mac, arch)
    assert file in (offered["file"], offered.get("67"))
    assert offered.get("67", file) == file
    assert offered["server"] == "10.77.0.1"


@pytest.mark.parametrize("mac", [N7.macs[0], STRANGER])
async def test_http_boot_gets_a_url_and_is_told_that_it_is_one(server: DhcpServer, line: Wire, mac: str) -> None:
    offered = await line.firmware(mac, 16)
    assert offered["60"] == "HTTPClient"
    assert (offered.get("67") or offered["file"]) == f"{DOOR}/assets/ipxe/ipxe.efi"


async def test_changes_are_answered_at_once(server: DhcpServer, line: Wire) -> None:
    moved = structs.replace(N7, address="10.77.0.70")
    await server.answer(structs.replace(ANSWERS, hosts={7: moved}))
    assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.70"
    assert "token8" not in (await line.ipxe(N8.macs[0]))["67"]
    await server.answer(structs.replace(ANSWERS, hosts={}))
    gone = await line.ipxe(N7.macs[0])
    assert gone["address"] >= "10.77.0.100"
    assert "token7" not in gone["67"]


async def test_an_address_that_moves_is_given_to_its_new_owner_at_once(
    database: str, line: Wire, tmp_path: Path
) -> None:
    for made in (Kea(str(tmp_path / "kea")), _with_rows(database, tmp_path / "rows")):
        await made.answer(ANSWERS)
        assert await line.lease(N7.macs[0]) == "10.77.0.7"
        hosts = {7: structs.replace(N7, address="10.77.0.8"), 8: structs.replace(N8, address="10.77.0.7")}
        await made.answer(structs.replace(ANSWERS, hosts=hosts), {7, 8})
        assert await line.lease(N8.macs[0]) == "10.77.0.7"
        assert await line.lease(N7.macs[0]) == "10.77.0.8"
        gone = {8: structs.replace(N8, address="10.77.0.8")}
        await made.answer(structs.replace(ANSWERS, hosts=gone), {7, 8})
        assert await line.lease(N8.macs[0]) == "10.77.0.8"
        await made.close()


async def test_a_further_interface_is_given_its_own_address(server: DhcpServer, line: Wire) -> None:
    nic = ServedNic(mac=N7.macs[1], addresses=("10.77.0.17",), name="storage")
    await server.answer(structs.replace(ANSWERS, hosts={7: structs.replace(N7, nics=(nic,))}), {7, 8})
    assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.7"
    offered = await line.ipxe(N7.macs[1])
    assert offered["address"] == "10.77.0.17"
    assert "/boot/token7/ipxe" in (offered.get("67") or offered["file"])


async def test_hosts_go_into_rows_when_there_are_many_and_nobody_is_without_an_answer(
    database: str, line: Wire, tmp_path: Path
) -> None:
    kea = _with_rows(database, tmp_path, rows_from=3)
    await kea.answer(ANSWERS)
    pids = _pids("kea-dhcp4", line)
    many = {id: Host(id, f"n{id}", (f"52:54:00:00:01:{id:02x}",), f"10.77.0.{id}", f"t{id}") for id in range(10, 50)}
    asked: list[str] = []

    async def ask() -> None:
        while True:
            asked.append((await line.ipxe(N7.macs[0])).get("address", "nobody"))

    async def asked_again() -> None:
        before = len(asked)
        while len(asked) < before + 2:
            await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    await asked_again()
    await kea.answer(structs.replace(ANSWERS, hosts={7: N7, 8: N8, **many}), set(many))
    await asked_again()
    asking.cancel()
    await asyncio.wait({asking})
    assert set(asked) == {"10.77.0.7"}
    assert (await line.ipxe("52:54:00:00:01:0a"))["address"] == "10.77.0.10"
    assert _pids("kea-dhcp4", line) == pids
    in_range = structs.replace(many[10], address="10.77.0.100")
    await kea.answer(structs.replace(ANSWERS, hosts={7: N7, 8: N8, **many, 10: in_range}), {10})
    assert (await line.ipxe("52:54:00:00:01:0a"))["address"] == "10.77.0.100"
    assert (await line.ipxe(STRANGER))["address"] == "10.77.0.101"
    await kea.close()


async def test_without_the_database_machines_are_answered_and_it_is_said(
    database: str, line: Wire, tmp_path: Path
) -> None:
    there: list[str] = []

    @contextlib.asynccontextmanager
    async def sometimes() -> AsyncIterator[str]:
        if not there:
            raise StoreUnavailable("the disk is full")
        yield there[0]

    kea = Kea(str(tmp_path), HostRows(sometimes), 0)
    for _ in range(2):
        with pytest.raises(Retryable, match="the disk is full"):
            await kea.answer(ANSWERS)
        assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.7"
    there.append(database)
    await kea.answer(structs.replace(ANSWERS, hosts={7: structs.replace(N7, address="10.77.0.70")}))
    assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.70"
    await kea.close()


async def test_a_database_that_goes_away_for_long_is_done_without_and_used_again_when_it_is_back(
    line: Wire, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rackwright.rack.dhcp.kea.BRIEF", 0.2)
    # A short name: below a long one the server's socket would be elsewhere after each start.
    place, moved = tmp_path_factory.mktemp("kea"), structs.replace(N7, address="10.77.0.70")
    folder = place / "hosts"
    async with running(folder, linger=0) as dsn:
        kea = _with_rows(dsn, place)
        await kea.answer(ANSWERS)
        assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.7"
    # It ends a moment later.
    async with asyncio.timeout(60):
        refused = 0
        while refused < 2:
            try:
                await kea.answer(ANSWERS, set())
            except Retryable:
                refused += 1
            await asyncio.sleep(0.3)
    assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.7"
    with pytest.raises(Retryable):
        await kea.answer(structs.replace(ANSWERS, hosts={7: moved, 8: N8}), {7})
    async with running(folder, linger=0):
        await kea.answer(structs.replace(ANSWERS, hosts={7: moved, 8: N8}), {7})
        assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.70"
        await kea.close()


async def test_rows_that_were_kept_are_answered_by_the_next_process(database: str, line: Wire, tmp_path: Path) -> None:
    first = _with_rows(database, tmp_path)
    await first.answer(ANSWERS)
    await first.close()
    second = _with_rows(database, tmp_path)
    await second.answer(structs.replace(ANSWERS, hosts={7: structs.replace(N7, address="10.77.0.70"), 8: N8}))
    assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.70"
    assert "/boot/token8/ipxe" in (await line.ipxe(N8.macs[0]))["67"]
    await second.close()


async def test_two_hundred_machines_that_ask_at_once_are_each_offered_an_address_of_their_own(
    database: str, line: Wire, tmp_path: Path
) -> None:
    known = {n: Host(n, f"n{n}", (f"52:54:00:00:02:{n:02x}",), f"10.77.3.{n}", f"t{n}") for n in range(1, 151)}
    # More than are needed: an offer that is lost is none that is kept, and the next one is another.
    network = Network(cidr="10.77.0.0/16", address="10.77.0.1", dynamic=("10.77.4.1", "10.77.7.250"))
    answers = Answers(networks=(network,), hosts=known, interfaces={"10.77.0.1": "rack0"})
    for made in (Kea(str(tmp_path / "kea")), _with_rows(database, tmp_path / "rows")):
        await made.answer(answers)
        offered = await asyncio.to_thread(_offers, line, [f"52:54:00:00:02:{n:02x}" for n in range(1, 201)])
        assert {n: offered[f"52:54:00:00:02:{n:02x}"] for n in known} == {n: host.address for n, host in known.items()}
        strangers = {offered[f"52:54:00:00:02:{n:02x}"] for n in range(151, 201)}
        assert len(strangers) == 50
        assert all("10.77.4." <= address < "10.77.8." for address in strangers)
        await made.close()


async def test_a_storm_of_ten_thousand_changes_is_answered_and_nobody_waits_for_it(
    database: str, line: Wire, tmp_path: Path
) -> None:
    def known(moved: int) -> dict[int, Host]:
        """Those below ``moved`` have their second address."""
        third = {n: 64 if n < moved else 0 for n in range(10_000)}
        macs = {n: f"52:54:00:01:{n >> 8:02x}:{n & 255:02x}" for n in third}
        return {
            n: Host(n, f"n{n}", (macs[n],), f"10.77.{third[n] + 1 + n // 250}.{1 + n % 250}", f"t{n}") for n in third
        }

    network = Network(cidr="10.77.0.0/16", address="10.77.0.1", dynamic=("10.77.200.1", "10.77.200.250"))
    answers = Answers(networks=(network,), hosts=known(0), interfaces={"10.77.0.1": "rack0"})
    kea = _with_rows(database, tmp_path)
    await kea.answer(answers)
    pids = _pids("kea-dhcp4", line)
    last = answers.hosts[9_999]
    before: list[str] = []
    for step in range(1000, 10_001, 1000):
        telling = asyncio.create_task(
            kea.answer(structs.replace(answers, hosts=known(step)), set(range(step - 1000, step)))
        )
        if step < 10_000:
            before.append((await line.ipxe(last.macs[0])).get("address", "nobody"))
        await telling
    assert set(before) == {last.address}
    now = known(10_000)
    for number in (0, 999, 1000, 5000, 9_999):
        assert (await line.ipxe(now[number].macs[0]))["address"] == now[number].address
    assert _pids("kea-dhcp4", line) == pids
    await kea.close()


def _offers(line: Wire, macs: list[str]) -> dict[str, str]:
    """What so many machines are offered that ask at once, each again when nobody has answered for a second."""
    found: dict[str, str] = {}
    with entered(line.machine), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as opened:
        opened.bind(("machine0", 0))
        opened.settimeout(1.0)
        for _ in range(30):
            for mac in [mac for mac in macs if mac not in found]:
                asking = bytes.fromhex(mac.replace(":", ""))
                opened.send(broadcast_frame(Message(DISCOVER, int.from_bytes(asking[2:]), asking)))
            with contextlib.suppress(TimeoutError):
                while len(found) < len(macs):
                    answer = from_frame(opened.recv(4096))
                    if answer is not None and answer.reply:
                        found[answer.mac.hex(":")] = answer.yours
            if len(found) == len(macs):
                break
    return found


async def test_machines_behind_a_relay_are_answered(server: DhcpServer, line: Wire) -> None:
    await server.answer(structs.replace(ANSWERS, networks=(NETWORK, FAR), hosts={7: N7, 9: FAR9}))
    known = await line.ipxe(FAR9.macs[0], relay="10.88.0.1")
    assert known["address"] == "10.88.0.9"
    assert "/boot/token9/ipxe" in known["67"]
    stranger = await line.ipxe(STRANGER, relay="10.88.0.1")
    assert "10.88.0.100" <= stranger["address"] <= "10.88.0.199"


async def test_without_networks_nobody_is_answered(server: DhcpServer, line: Wire) -> None:
    await server.answer(Answers())
    assert await line.ipxe(N7.macs[0]) == {}
    await server.answer(ANSWERS)
    assert (await line.ipxe(N7.macs[0]))["address"] == "10.77.0.7"


async def test_a_server_that_was_killed_is_there_again(server: DhcpServer, line: Wire) -> None:
    _kill("kea-dhcp4" if server.name == "kea" else "dnsmasq", line)
    offered: dict[str, str] = {}
    while not offered:
        await server.answer(ANSWERS)
        offered = await line.ipxe(N7.macs[0])
    assert offered["address"] == "10.77.0.7"


async def test_an_interface_without_a_carrier_is_answered_once_it_has_one(tmp_path: Path) -> None:
    require("kea-dhcp4")
    with wire(carrier=False) as line:
        async with inside(line.rack):
            kea = Kea(str(tmp_path))
            await kea.answer(ANSWERS)
            line.beyond("ip", "link", "set", "machine0", "up")
            offered = {}
            for _ in range(20):
                if offered := await line.ipxe(N7.macs[0]):
                    break
            await kea.close()
    assert offered["address"] == "10.77.0.7"


async def test_kea_outlives_the_process_that_started_it(line: Wire, tmp_path: Path) -> None:
    first = Kea(str(tmp_path))
    await first.answer(ANSWERS)
    pids = _pids("kea-dhcp4", line)
    second = Kea(str(tmp_path))
    await second.answer(structs.replace(ANSWERS, hosts={}))
    assert (await line.ipxe(N7.macs[0]))["address"] >= "10.77.0.100"
    assert _pids("kea-dhcp4", line) == pids
    await second.close()
    await first.close()
    assert _pids("kea-dhcp4", line) == []


async def test_a_folder_too_deep_for_a_socket_is_named(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)
    deep.mkdir()
    with pytest.raises(Retryable, match="give the rack a folder with a shorter path"):
        await Kea(str(deep)).answer(ANSWERS)


async def test_a_server_beside_another_one_adds_only_the_boot_information(line: Wire, tmp_path: Path) -> None:
    proxy = structs.replace(NETWORK, proxy=True, dynamic=None)
    beside = Dnsmasq(str(tmp_path), addresses=False, tftp=True)
    await beside.answer(structs.replace(ANSWERS, networks=(proxy,)))
    bios, uefi = await line.firmware(STRANGER, 0), await line.firmware(STRANGER, 7)
    assert (bios["address"], bios["file"]) == ("0.0.0.0", "undionly.kpxe")
    assert (uefi["address"], uefi["file"]) == ("0.0.0.0", "snponly.efi")
    ipxe = await line.ipxe(STRANGER)
    assert (ipxe.get("67") or ipxe["file"]).startswith(f"{DOOR}/boot/ipxe?mac=")
    await beside.close()


async def test_the_first_stage_is_served(line: Wire, tmp_path: Path) -> None:
    beside = Dnsmasq(str(tmp_path), addresses=False, tftp=True)
    await beside.answer(ANSWERS)
    assert await asyncio.to_thread(_first_block, "snponly.efi") == Path("/usr/lib/ipxe/snponly.efi").read_bytes()[:512]
    assert await line.ipxe(N7.macs[0]) == {}
    await beside.close()


async def test_what_a_killed_rack_left_behind_is_replaced(line: Wire, tmp_path: Path) -> None:
    left, fresh = _dnsmasq(tmp_path), _dnsmasq(tmp_path)
    await left.answer(ANSWERS)
    before = _pids("dnsmasq", line)
    await fresh.answer(structs.replace(ANSWERS, hosts={}))
    after = _pids("dnsmasq", line)
    assert (len(before), len(after)) == (1, 1)
    assert before != after
    assert (await line.ipxe(N7.macs[0]))["address"] >= "10.77.0.100"
    await fresh.close()
    await left.close()


async def test_what_another_dnsmasq_has_given_stays_with_its_client(line: Wire, tmp_path: Path) -> None:
    answers = structs.replace(ANSWERS, networks=(structs.replace(NETWORK, dynamic=("10.77.0.100", "10.77.0.101")),))
    one, other = _dnsmasq(tmp_path / "one"), _dnsmasq(tmp_path / "other")
    await one.answer(answers)
    given = await line.lease(STRANGER)
    news = DnsmasqLeases(str(tmp_path / "one" / "leases")).news(answers.networks)
    await one.close()
    assert news.keys() == {given}
    client, until = news[given]
    leases = [Lease(given, client, until - time.time())]
    DnsmasqLeases(str(tmp_path / "other" / "leases")).inherit(leases, answers.networks)
    await other.answer(answers)
    assert {"10.77.0.100", "10.77.0.101"} == {given, await line.lease("52:54:00:00:00:98")}
    assert await line.lease(STRANGER) == given
    await other.close()


@pytest.mark.parametrize("mac", [STRANGER, N7.macs[0]])
async def test_nobody_is_given_the_address_of_another_host_by_asking_for_it(
    mac: str, database: str, line: Wire, tmp_path: Path
) -> None:
    n9 = Host(9, "n9", (FAR9.macs[0],), "10.77.0.9", "token9")
    kea = _with_rows(database, tmp_path)
    await kea.answer(structs.replace(ANSWERS, hosts={7: N7, 9: n9}))
    assert (await line.ask(mac, lease="yes", wanted="10.77.0.9")).get("address", "") != "10.77.0.9"
    assert await line.lease(FAR9.macs[0]) == "10.77.0.9"
    await kea.close()


async def test_a_host_of_the_first_network_is_a_stranger_on_the_next(database: str, line: Wire, tmp_path: Path) -> None:
    kea = _with_rows(database, tmp_path)
    await kea.answer(structs.replace(ANSWERS, networks=(NETWORK, FAR), hosts={7: N7, 9: FAR9}))
    assert (await line.ipxe(FAR9.macs[0], relay="10.88.0.1"))["address"] == "10.88.0.9"
    for mac, relay in ((N7.macs[0], "10.88.0.1"), (FAR9.macs[0], "")):
        offered = await line.ipxe(mac, relay=relay)
        assert offered["67"].startswith(f"{DOOR}/boot/ipxe?")
        assert int(offered["address"].rpartition(".")[2]) >= 100
    await kea.close()


async def test_foreign_servers_are_seen(server: DhcpServer, line: Wire) -> None:
    async with inside(line.machine):
        assert await servers_on("machine0", 4) == {"10.77.0.1"}
    await server.close()
    async with inside(line.machine):
        assert await servers_on("machine0", 1) == set()


async def test_the_interface_of_an_address_is_found(line: Wire) -> None:
    assert (await interfaces.addresses())["10.77.0.1"] == "rack0"


def _first_block(name: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(b"\0\1" + name.encode() + b"\0octet\0", ("10.77.0.1", 69))
        data = asking.recv(1024)
    assert data[:4] == b"\0\3\0\1"
    return data[4:]


def _pids(program: str, line: Wire) -> list[int]:
    return [pid for pid in pids_in(line.rack) if _name(pid) == program]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


def _kill(program: str, line: Wire) -> None:
    for pid in _pids(program, line):
        os.kill(pid, 9)
