"""The shipped catalog `metal`: its graphs on played machines, its scripts for real, and how far each change reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rackwright.core.facts import PEOPLE, WORLD
from rackwright.core.lifecycle import VERBS
from rackwright.core.messages import Claim, Result
from rackwright.engine import catalogs, deployments
from rackwright.store.memory import MemoryStore
from tests.integration.hands import failed
from tests.integration.metal_machines import Machines, Ran
from tests.unit.metal_scripts import DISKS, KEY, manifest

INSTALL = ["os-target", "os-plan", "os-served", "os-boot", "os-write", "os-local", "os-restart", "os-home",
           "os-verified"]  # fmt: skip
BOOT = ["machine-firmware", "machine-served", "machine-boot"]
DESTRUCTIVE = {"os-plan", "os-boot", "os-write", "os-restart"}


@pytest.fixture
async def site(tmp_path: Path) -> Machines:
    store = MemoryStore()
    made = Machines(store, store.views)
    await made.open(tmp_path)
    return made


@pytest.fixture
async def installed(site: Machines) -> Machines:
    """Two machines with a system, by a deployment of a person's own."""
    await deployments.create(site.store, site.library, "d", catalog="metal")
    os = {"image": "debian-12", "ssh_keys": [KEY]}
    await site.apply({"set": {"os": os}, "bind": {"os-install": ["n0", "n1"]}})
    await site.settle()
    return site


def of(node: str, *tasks: str) -> set[tuple[str, str]]:
    return {(node, task) for task in tasks}


def tasks_of(ran: Ran, node: str) -> list[str]:
    return [task for name, task in ran if name == node]


async def proposed(site: Machines) -> set[tuple[str, str]]:
    return {place for place, state in (await site.states()).items() if state == "proposed"}


# ---- a system by a deployment


async def test_a_system_is_installed_step_by_step_and_the_installer_boots_once(installed: Machines) -> None:
    assert set((await installed.states()).values()) == {"active"}
    for node in ("n0", "n1"):
        order = [claim.task for claim in installed.seen if claim.scope == node]
        assert order == ["inventory-checked", *INSTALL]
        assert [kind for name, kind in installed.boots if name == node] == ["install", "local"]
    facts = await installed.facts("n0")
    assert facts["os.verified"]["request"] == facts["os.plan"]["request"]


async def test_the_scripts_need_nothing_but_the_texts_that_their_tasks_name(site: Machines) -> None:
    site.processes = True
    await site.put("node", "n0", PEOPLE, **{"desired.os.image": "debian-12"})
    await site.say("accept", "n0")
    for verb in ("commission", "deploy", "erase"):
        await site.say(verb, "n0")
        await site.settle()
    row = await site.rows("metal")
    assert row == {}, "every activity came to its end"


async def test_the_image_goes_to_the_disk_that_was_chosen_by_its_serial_and_size(installed: Machines) -> None:
    (write,) = [claim for claim in installed.seen if (claim.scope, claim.task) == ("n1", "os-write")]
    assert write.parameters["disk"] == {"serial": "SSD1-1", "min_bytes": DISKS[1]["bytes"]}
    assert write.parameters["url"] == f"/assets/{'d' * 64}"
    assert write.parameters["systems"] == ["discovery"]


async def test_only_who_writes_the_image_is_given_the_files_that_go_into_it(installed: Machines) -> None:
    assert "seed" not in (await installed.facts("n0"))["os.plan"]
    for claim in installed.seen:
        if claim.task == "os-write":
            assert "/etc/hostname" in [file["path"] for file in claim.parameters["seed"]]
        else:
            assert "/etc/hostname" not in str((claim.parameters, claim.inputs)), claim.task


async def test_another_key_on_one_node_proposes_a_new_installation_there_and_touches_nothing(
    installed: Machines,
) -> None:
    await installed.apply({"set_nodes": {"n0": {"os": {"ssh_keys": []}}}})
    before = (await installed.facts("n0"))["os.plan"]
    assert set(await installed.settle()) == of("n0", "os-target")
    assert await proposed(installed) == of("n0", "os-plan")
    assert (await installed.facts("n0"))["os.plan"] == before
    assert len(installed.boots) == 4


async def test_a_new_installation_is_committed_twice_its_plan_and_its_restart(installed: Machines) -> None:
    await installed.apply({"set_nodes": {"n0": {"os": {"ssh_keys": []}}}})
    await installed.settle()
    await deployments.commit(installed.store, "d")
    assert set(await installed.settle()) <= of("n0", *INSTALL) - of("n0", "os-boot", "os-write", "os-restart")
    assert await proposed(installed) == of("n0", *(DESTRUCTIVE - {"os-plan"}))
    assert len(installed.boots) == 4, "the plan is there, and the machine runs on"
    await deployments.commit(installed.store, "d")
    ran = await installed.settle()
    assert {node for node, _ in ran} == {"n0"}
    assert set((await installed.states()).values()) == {"active"}
    assert [kind for name, kind in installed.boots[4:]] == ["install", "local"]


async def test_an_inventory_that_names_disks_otherwise_is_checked_and_nothing_more(installed: Machines) -> None:
    disks = [{**disk, "path": f"/dev/x{place}", "serial": f"{disk['serial']}-0"} for place, disk in enumerate(DISKS)]
    await installed.put("node", "n0", WORLD, **{"observed.inventory.disks": disks})
    assert set(await installed.settle()) == of("n0", "inventory-checked", "os-target")
    assert await proposed(installed) == set()


async def test_a_machine_that_starts_again_is_verified_again_by_itself(installed: Machines) -> None:
    await installed.start("n0")
    assert set(await installed.settle()) == of("n0", "os-verified")
    assert set((await installed.states()).values()) == {"active"}


async def test_a_machine_that_runs_another_system_is_told(installed: Machines) -> None:
    await installed.put("node", "n0", WORLD, **{"observed.os": {"request": "of somebody else"}})
    await installed.settle()
    assert (await installed.states())["n0", "os-verified"] == "error"
    assert (await installed.states())["n1", "os-verified"] == "active"


async def test_a_newer_image_is_proposed_to_those_who_have_it_and_another_one_concerns_nobody(
    installed: Machines,
) -> None:
    await installed.imported(manifest(name="other"))
    assert set(await installed.settle()) == of("n0", "os-target") | of("n1", "os-target")
    assert await proposed(installed) == set()
    await installed.imported(manifest(version="2026.2"))
    await installed.settle()
    assert await proposed(installed) == of("n0", "os-plan") | of("n1", "os-plan")


async def test_hardware_that_falls_short_gets_no_system(site: Machines) -> None:
    await deployments.create(site.store, site.library, "d", catalog="metal")
    wanted = {"os": {"image": "debian-12"}, "hardware": {"min_threads": 8}}
    await site.apply({"set": wanted, "bind": {"os-install": ["n0"]}})
    assert await site.settle() == [("n0", "inventory-checked")]
    row = (await site.rows())["n0", "inventory-checked"]
    assert (row.state.word, "8 are wanted" in row.reason) == ("error", True)


async def test_a_disk_that_is_too_small_is_told_before_anything_is_touched(site: Machines) -> None:
    await deployments.create(site.store, site.library, "d", catalog="metal")
    os = {"image": "debian-12", "disk": {"serial": "SSD1-0", "min_bytes": 1 << 50}}
    await site.apply({"set": {"os": os}, "bind": {"os-install": ["n0"]}})
    await site.settle()
    assert "are needed" in (await site.rows())["n0", "os-target"].reason
    assert site.boots == []


async def test_an_installer_that_never_calls_back_ends_at_its_time_limit_and_writes_nothing(site: Machines) -> None:
    site.silent.add("n0")
    await deployments.create(site.store, site.library, "d", catalog="metal")
    await site.apply({"set": {"os": {"image": "debian-12"}}, "bind": {"os-install": ["n0"]}})
    await site.settle()
    assert (await site.rows())["n0", "os-boot"].parked
    assert "os-write" not in [claim.task for claim in site.seen]


@pytest.mark.parametrize("method", ["preseed", "kickstart", "autoinstall"])
async def test_an_installer_writes_its_disk_itself_and_restarts_into_its_system(site: Machines, method: str) -> None:
    properties = {"method": method, "mirror": "http://mirror.example/x", "url": "http://mirror.example/x.iso"}
    image = manifest("installer", name="net", properties=properties)
    await site.imported(image)
    await deployments.create(site.store, site.library, "d", catalog="metal")
    await site.apply({"set": {"os": {"image": "net"}}, "bind": {"os-install": ["n0"]}})
    await site.settle()
    assert set((await site.states()).values()) == {"active"}
    assert [claim.jig for claim in site.seen if claim.jig == "agent"] == []
    assert site.boots == [("n0", "install")]


async def test_a_system_that_runs_from_memory_writes_no_disk(site: Machines) -> None:
    await site.imported(manifest("memory", name="live"))
    await deployments.create(site.store, site.library, "d", catalog="metal")
    await site.apply({"set": {"os": {"image": "live"}}, "bind": {"os-install": ["n0"]}})
    await site.settle()
    assert set((await site.states()).values()) == {"active"}
    assert site.boots == [("n0", "memory")]
    assert "os.written" not in await site.facts("n0")


# ---- activities


def test_every_verb_that_is_an_activity_has_its_graph() -> None:
    graphs = catalogs.find("metal").graphs
    assert {verb.name for verb in VERBS.values() if verb.graph} == set(graphs)
    assert all(task.offline for graph in graphs.values() for task in graph.tasks)
    assert {name: graph.bootenv for name, graph in graphs.items() if graph.bootenv} == {
        "commission": "discovery", "test": "discovery", "release": "discovery", "erase": "discovery",
        "rescue": "rescue",
    }  # fmt: skip


async def test_a_machine_is_commissioned_tested_deployed_rescued_and_released(site: Machines) -> None:
    await site.put("node", "n0", PEOPLE, **{"desired.os.image": "debian-12"})
    story: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
        ("accept", {}, [], []),
        ("commission", {}, [*BOOT, "machine-inventory", "machine-hardware", "machine-off"],
         ["discovery"]),
        ("test", {"cpu": 5, "memory": 0}, [*BOOT, "test-cpu", "test-disk", "machine-off"],
         ["discovery"]),
        ("deploy", {}, INSTALL, ["install", "local"]),
        ("rescue", {}, BOOT, ["rescue"]),
        ("exit-rescue", {}, BOOT, ["local"]),
        ("power", {"action": "cycle"}, ["machine-power"], []),
        ("release", {"mode": "zero"}, [*BOOT, "erase-list", "erase-disks", "machine-off"],
         ["discovery"]),
        ("erase", {"disks": ["SSD2-0"]},
         [*BOOT, "erase-list", "erase-disks", "machine-off"], ["discovery"]),
    ]  # fmt: skip
    for verb, parameters, tasks, boots in story:
        before = len(site.boots)
        await site.say(verb, "n0", **parameters)
        ran = await site.settle()
        assert [task for task in tasks_of(ran, "n0") if task != "inventory-checked"] == tasks, verb
        assert tasks_of(ran, "n1") == [], verb
        assert [kind for _, kind in site.boots[before:]] == boots, verb
    erased = [claim.parameters for claim in site.seen if claim.task == "erase-disks"]
    assert [(one["mode"], one["disks"]) for one in erased] == [
        ("zero", ["BIG1-0", "SSD1-0", "SSD2-0"]),
        ("quick", ["SSD2-0"]),
    ]
    facts = await site.facts("n0")
    assert not {"os.plan", "os.written", "machine.activity"} & facts.keys()


async def test_a_machine_is_deployed_anew_by_the_same_verb(site: Machines) -> None:
    await site.put("node", "n0", PEOPLE, **{"desired.os.image": "debian-12"})
    await site.say("accept", "n0")
    requests = []
    for _ in range(2):
        await site.say("deploy", "n0")
        await site.settle()
        requests.append((await site.facts("n0"))["os.plan"]["request"])
    assert requests[0] != requests[1]
    assert [kind for _, kind in site.boots] == ["install", "local"] * 2


@pytest.mark.parametrize("wanted", [{}, {"desired.hardware.firmware": "uefi"}])
async def test_a_machine_that_tells_its_firmware_for_the_first_time_boots_once(
    site: Machines, wanted: dict[str, Any]
) -> None:
    site.strange.add("n0")
    await site.put("node", "n0", PEOPLE, **wanted)
    await site.put("node", "n0", WORLD, **{"observed.inventory.firmware": None})
    await site.say("accept", "n0")
    await site.say("commission", "n0")
    ran = tasks_of(await site.settle(), "n0")
    assert (ran.count("machine-boot"), site.boots) == (1, [("n0", "discovery")])
    (boot,) = [claim for claim in site.seen if claim.task == "machine-boot"]
    assert boot.inputs["firmware"] == wanted.get("desired.hardware.firmware", "")
    assert await site.rows("metal") == {}


async def test_a_bmc_gets_its_user_only_when_somebody_asks_for_it_and_no_fact_has_the_password(site: Machines) -> None:
    await site.say("accept", "n0")
    await site.say("commission", "n0", bmc=True, slot=3, stay_on=True)
    ran = tasks_of(await site.settle(), "n0")
    assert "machine-bmc" in ran
    assert "machine-off" not in ran
    (claim,) = [claim for claim in site.seen if claim.task == "machine-bmc"]
    asked = {name: claim.parameters[name] for name in ("credentials", "slot", "privilege")}
    assert asked == {"credentials": "bmc", "slot": 3, "privilege": "administrator"}


async def test_a_bmc_is_described_and_its_bios_set_as_people_want_it(site: Machines) -> None:
    await site.put("node", "n0", PEOPLE, **{"desired.power": {"driver": "redfish", "address": "bmc"}})
    await site.put("node", "n0", PEOPLE, **{"desired.hardware.bios": {"HyperThreading": "Disabled"}})
    await site.say("accept", "n0")
    await site.say("commission", "n0")
    ran = tasks_of(await site.settle(), "n0")
    assert ran[4:6] == ["machine-described", "machine-bios"]
    (claim,) = [claim for claim in site.seen if claim.task == "machine-bios"]
    assert claim.parameters["settings"] == {"HyperThreading": "Disabled"}


async def test_a_serial_that_the_machine_does_not_have_is_refused_before_anything_is_erased(site: Machines) -> None:
    await site.say("accept", "n0")
    await site.say("erase", "n0", disks=["SSD1-1"])
    await site.settle()
    row = (await site.rows("metal"))["n0", "erase-list"]
    assert (row.state.word, "has no disk SSD1-1" in row.reason) == ("error", True)
    assert "erase-disks" not in [claim.task for claim in site.seen]


async def test_a_burn_in_that_fails_stops_the_test_with_its_reason(
    site: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = site.agent

    async def agent(claim: Claim) -> Result:
        return failed(claim, "memory changed at 7") if claim.task == "test-memory" else await whole(claim)

    monkeypatch.setattr(site, "agent", agent)
    await site.say("accept", "n0")
    await site.say("test", "n0")
    await site.settle()
    row = (await site.rows("metal"))["n0", "test-memory"]
    assert "memory changed at 7" in row.reason


async def test_service_waits_for_a_person(site: Machines) -> None:
    await site.say("accept", "n0")
    await site.say("service", "n0", reason="a new fan")
    await site.settle()
    assert (await site.rows("metal"))["n0", "machine-service"].parked
