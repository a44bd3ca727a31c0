from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from rackwright.core.bootenv import Bootenv, Kind
from rackwright.core.machine_messages import PhoneHome
from rackwright.core.served import Delta, ServedNode
from tests.integration.door_world import MACS, Agent, FakeRegion, World, world

DISCOVERY = {"kernel": b"K" * 1000, "ramdisk": b"R" * 2000}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as found:
        found.region.image("discovery", **DISCOVERY)
        yield found


async def test_a_known_machine_gets_the_script_of_its_boot_environment(here: World) -> None:
    url = f"/boot/{here.token(1)}/ipxe?mac={MACS[1]}&firmware=pcbios"
    assert "n1 boots discovery 1" in (await here.http.get(url)).text
    await here.serve(1, kind="local", request="q1")
    answer = await here.http.get(url)
    assert "n1 boots its own disk" in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_every_url_of_a_script_can_be_fetched(here: World) -> None:
    script = (await here.http.get(f"/boot/{here.token(1)}/ipxe?mac={MACS[1]}")).text
    urls = [word for word in script.split() if word.startswith(f"{here.url}/assets/")]
    assert [(await here.http.get(url)).content for url in urls] == list(DISCOVERY.values())


async def test_a_stranger_boots_the_discovery_system_without_a_token(here: World) -> None:
    script = (await here.http.get("/boot/ipxe?mac=52:54:00:00:00:99&serial=S1&firmware=efi")).text
    assert "this machine (52:54:00:00:00:99) is new here" in script
    assert "rackwright.token" not in script


async def test_a_machine_that_does_not_say_its_mac_is_asked_for_it(here: World) -> None:
    script = (await here.http.get("/boot/ipxe")).text
    assert f"chain --replace --autofree {here.url}/boot/ipxe?mac=${{netX/mac}}" in script


async def test_a_known_machine_that_comes_as_a_stranger_gets_its_own_script(here: World) -> None:
    await here.serve(1, kind="local", request="q1")
    assert "n1 boots its own disk" in (await here.http.get(f"/boot/ipxe?mac={MACS[1].upper()}")).text


async def test_a_token_that_nobody_has_is_refused(here: World) -> None:
    answer = await here.http.get("/boot/aaaaaaaaaaaaaaaaaaaaaaaaaa/ipxe")
    assert answer.status_code == 403
    assert "boot it over the network again" in answer.text


async def test_a_token_is_void_once_the_epoch_is_raised(here: World) -> None:
    token = here.token(1)
    raised = ServedNode(id=1, name="n1", macs=(MACS[1],), epoch=1)
    await here.replica.apply(Delta(after=1, generation=2, nodes=(raised,)))
    assert (await here.http.get(f"/boot/{token}/ipxe")).status_code == 403
    assert (await here.http.get(f"/boot/{here.token(1)}/ipxe")).status_code == 200


async def test_a_machine_with_anothers_boot_url_is_refused_and_people_are_told(here: World) -> None:
    answer = await here.http.get(f"/boot/{here.token(1)}/ipxe?mac={MACS[2]}")
    assert answer.status_code == 403
    assert (await here.told("n1", "observed.refused"))["macs"] == [MACS[2]]


async def test_a_second_card_that_nobody_owns_may_boot(here: World) -> None:
    assert (await here.http.get(f"/boot/{here.token(1)}/ipxe?mac=52:54:00:00:00:77")).status_code == 200


async def test_a_missing_image_is_told_on_the_console_and_asked_for_again(here: World) -> None:
    await here.serve(1, kind="memory", request="q1", image="live")
    answer = await here.http.get(f"/boot/{here.token(1)}/ipxe")
    assert answer.status_code == 200
    assert "n1 cannot boot yet: images: there is no image 'live' (import it)" in answer.text
    assert f"chain --replace --autofree {here.url}/boot/{here.token(1)}/ipxe?" in answer.text


async def test_arguments_that_a_script_cannot_carry_are_told_on_the_console(here: World) -> None:
    await here.serve(1, kind="discovery", arguments="quiet && shell")
    assert "cannot be passed on" in (await here.http.get(f"/boot/{here.token(1)}/ipxe")).text


async def test_with_the_region_away_everything_known_is_answered(here: World) -> None:
    await here.http.get(f"/boot/{here.token(1)}/ipxe")
    here.region.away = True
    assert "n1 boots discovery" in (await here.http.get(f"/boot/{here.token(1)}/ipxe")).text
    assert "is new here" in (await here.http.get("/boot/ipxe?mac=52:54:00:00:00:99")).text
    agent = Agent(here, 1)
    assert (await agent.register()).node == "n1"
    assert (await agent.poll(wait=0)).tasks == ()


async def test_a_host_that_is_none_is_refused(here: World) -> None:
    answer = await here.http.get(f"/boot/{here.token(1)}/ipxe", headers={"Host": "a b"})
    assert answer.status_code == 400


async def test_a_machine_registers_and_its_facts_reach_the_region(here: World) -> None:
    agent = Agent(here, 1, serial="S1", firmware="uefi", request="q1", inventory={"cpu": {"cores": 4}})
    registered = await agent.register()
    assert (registered.node, registered.token) == ("n1", here.token(1))
    assert registered.clock > 1_700_000_000
    booted = await here.told("n1", "observed.booted")
    assert booted == {
        "system": "discovery", "request": "q1", "boot_id": "boot-1", "firmware": "uefi", "version": "",
    }  # fmt: skip
    assert here.region.fact("n1", "observed.inventory.cpu") == {"cores": 4}
    assert here.region.fact("n1", "observed.serial") == "S1"
    assert here.region.fact("n1", "observed.macs") == [MACS[1]]


async def test_an_agent_with_anothers_token_is_refused_and_people_are_told(here: World) -> None:
    agent = Agent(here, 2)
    agent.token = here.token(1)
    answer = await agent.post("register", agent.said)
    assert answer.status_code == 403
    assert "the token is that of n1" in answer.json()["detail"]
    assert (await here.told("n1", "observed.refused"))["macs"] == [MACS[2]]


@pytest.mark.parametrize("verb", ["poll", "log", "result", "home", "installed"])
async def test_an_agent_without_a_token_is_refused(here: World, verb: str) -> None:
    assert (await Agent(here, 1).post(verb, {})).status_code == 403


async def test_two_nodes_that_claim_one_machine_are_told_apart_by_people(here: World) -> None:
    agent = Agent(here, 1)
    answer = await agent.post("register", {"macs": [MACS[1], MACS[2]]})
    assert answer.status_code == 409
    assert "more than one node: n1, n2" in answer.json()["detail"]


async def test_a_stranger_is_enlisted_once_and_gets_its_token(here: World) -> None:
    agent = Agent(here, 99, inventory={"cpu": {"cores": 2}})
    assert (await agent.register()).node == "new-100"
    assert agent.token == here.token(100)
    assert (await agent.poll(wait=0)).tasks == ()
    agent.token = ""
    assert (await agent.register()).node == "new-100"
    assert len(here.region.enlisted) == 1


async def test_what_the_region_heard_when_it_enlisted_a_machine_is_not_told_again(here: World) -> None:
    agent = Agent(here, 99, inventory={"cpu": {"cores": 2}})
    await agent.register()
    agent.said = structs.replace(agent.said, inventory={"cpu": {"cores": 4}})
    await agent.register()
    assert await here.told("new-100", "observed.inventory.cpu") == {"cores": 4}
    told = [item.facts.get("observed.inventory.cpu") for item in here.region.observed_items if item.facts]
    assert told == [{"cores": 4}]


async def test_with_the_region_away_a_stranger_is_asked_to_come_again(here: World) -> None:
    here.region.away = True
    agent = Agent(here, 99)
    answer = await agent.post("register", agent.said)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    here.region.away = False
    assert (await agent.register()).node == "new-100"


async def test_an_inventory_of_50_megabytes_is_refused(here: World) -> None:
    agent = Agent(here, 1)
    answer = await agent.post("register", {"macs": [MACS[1]], "inventory": {"noise": "x" * 50_000_000}})
    assert answer.status_code == 413
    assert "4194304 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"macs": 5}', b'{"macs": ["a"], "clock": "1970"}', b"\xff"])
async def test_a_body_that_makes_no_sense_is_refused(here: World, body: bytes) -> None:
    assert (await here.http.post("/agent/register", content=body)).status_code == 400


async def test_an_installed_system_phones_home_and_is_alive(here: World) -> None:
    agent = Agent(here, 1)
    await agent.register()
    said = PhoneHome(request="q1", hostname="n1", boot_id="b2", ssh_host_keys=("ssh-ed25519 A",), os={"id": "debian"})
    assert (await agent.post("home", said)).status_code == 200
    assert await here.told("n1", "observed.os") == {
        "request": "q1", "hostname": "n1", "boot_id": "b2", "ssh_host_keys": ["ssh-ed25519 A"], "id": "debian",
    }  # fmt: skip
    assert [item.alive for item in here.region.observed_items if "observed.os" in item.facts] == [True]


@pytest.mark.parametrize("way", ["agent", "plain"])
async def test_an_installer_that_is_done_is_never_booted_again_even_with_the_region_away(here: World, way: str) -> None:
    here.region.image("netboot", **DISCOVERY)
    await here.serve(1, kind="install", method="preseed", image="netboot", request="q1")
    script_url, agent = f"/boot/{here.token(1)}/ipxe", Agent(here, 1)
    assert "n1 boots netboot" in (await here.http.get(script_url)).text
    agent.token = here.token(1)
    here.region.away = True
    if way == "agent":
        assert (await agent.post("installed", {"request": "q1"})).status_code == 200
    else:
        assert (await here.http.get(f"/install/{agent.token}/installed?request=q1")).status_code == 200
    assert "n1 boots its own disk" in (await here.http.get(script_url)).text
    here.region.away = False
    assert await here.told("n1", "observed.installed") == {"request": "q1"}


async def test_an_installer_of_an_older_request_changes_nothing(here: World) -> None:
    here.region.image("netboot", **DISCOVERY)
    await here.serve(1, kind="install", method="preseed", image="netboot", request="q2")
    agent = Agent(here, 1)
    agent.token = here.token(1)
    answer = await agent.post("installed", {"request": "q1"})
    assert answer.status_code == 409
    assert "n1 boots netboot" in (await here.http.get(f"/boot/{here.token(1)}/ipxe")).text


async def test_answers_are_given_by_token_with_their_places_filled(here: World) -> None:
    answers = {"preseed.cfg": "url ${DOOR}/install/${TOKEN}/installed?request=${REQUEST}"}
    await here.serve(1, kind="install", request="q1", data={"answers": answers})
    token = here.token(1)
    text = (await here.http.get(f"/install/{token}/preseed.cfg")).text
    assert text == f"url {here.url}/install/{token}/installed?request=q1"
    assert (await here.http.get(f"/metadata/{token}/meta-data")).json()["local-hostname"] == "n1"
    assert (await here.http.get(f"/install/{token}/kickstart")).status_code == 404
    assert (await here.http.get("/metadata/nonsense/meta-data")).status_code == 403


async def test_what_was_told_while_the_region_was_away_survives_the_rack(tmp_path: Path) -> None:
    region = FakeRegion()
    region.away = True
    async with world(tmp_path, region) as first:
        agent = Agent(first, 1, serial="S1")
        await agent.register()
    region.away = False
    async with world(tmp_path, region) as second:
        assert await second.told("n1", "observed.serial") == "S1"


async def test_heartbeats_say_how_long_ago_they_were(here: World) -> None:
    agent = Agent(here, 1)
    await agent.register()
    await here.told("n1", "observed.booted")
    before = len(here.region.observed_items)
    await agent.poll(wait=0)
    while len(here.region.observed_items) == before:
        await agent.poll(wait=0.1)
    seen = here.region.observed_items[-1].seen
    assert seen is not None
    assert 0 <= seen < 60


async def test_the_agent_for_installed_systems_is_given_to_machines_only(here: World) -> None:
    headers = {"Authorization": f"Bearer {here.token(1)}"}
    assert (await here.http.get("/agent/archive", headers=headers)).content == b"PK agent"
    assert (await here.http.get("/agent/archive")).status_code == 403


async def test_a_boot_loader_is_given_by_its_name_and_nothing_else_is(here: World, tmp_path: Path) -> None:
    (tmp_path / "loaders").mkdir()
    (tmp_path / "loaders" / "snponly.efi").write_bytes(b"MZ")
    assert (await here.http.get("/assets/ipxe/snponly.efi")).content == b"MZ"
    for name in ("other.efi", "..%2Freplica%2Fnode.key", ".hidden"):
        assert (await here.http.get(f"/assets/ipxe/{name}")).status_code == 404


async def test_firmware_that_boots_over_http_goes_on_to_its_disk_where_that_is_meant(
    here: World, tmp_path: Path
) -> None:
    (tmp_path / "loaders").mkdir()
    (tmp_path / "loaders" / "ipxe.efi").write_bytes(b"MZ")
    expected: dict[Kind, int] = {"discovery": 200, "local": 404, "install": 200}
    for kind, status in expected.items():
        node = ServedNode(id=1, name="n1", macs=(MACS[1],), address="127.0.0.1", bootenv=Bootenv(kind=kind))
        before = here.replica.generation
        await here.replica.apply(Delta(after=before, generation=before + 1, nodes=(node,)))
        assert (await here.http.get("/assets/ipxe/ipxe.efi")).status_code == status
