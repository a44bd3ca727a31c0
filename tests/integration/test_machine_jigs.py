from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Outcome, Work
from rackwright.core.messages import Claim
from rackwright.core.power import PowerSetting
from rackwright.core.served import Delta, ServedNode
from rackwright.drivers.jig.agent import AgentJig
from rackwright.drivers.jig.boot import BootJig
from rackwright.rack.door.service import DoorBoot
from tests.integration.door_world import Agent, World, world


class Bmcs:
    """What is known of the machines' BMCs."""

    password = "s3cret"

    async def setting(self, node: str) -> PowerSetting:
        return PowerSetting(driver="ipmi", user="admin", password=self.password)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as found:
        yield found


def work(folder: Path, timeout: float = 10.0, **parameters: Any) -> Work:
    claim = Claim(
        id=5, attempt=1, revision=1, deployment="metal", task="t", scope="n1", jig="agent", parameters=parameters,
        writes=("served.boot",), inputs={"cores": 4},
        files={"scripts/a.sh": "echo a"}, timeout=timeout,
    )  # fmt: skip
    return Work(claim=claim, rack="r1", folder=str(folder), state=str(folder), log=str(folder / "log"))


async def carried_out(here: World, folder: Path, ending: dict[str, Any], **parameters: Any) -> tuple[Any, Outcome]:
    running = asyncio.create_task(AgentJig(here.desk, Bmcs()).run(work(folder, **parameters)))
    agent = Agent(here, 1, request="q1")
    await agent.register()
    task = await agent.task()
    await agent.end(task, **ending)
    return task, await asyncio.wait_for(running, 60)


async def test_the_agent_gets_its_own_parameters_and_the_files_but_not_the_jigs(here: World, tmp_path: Path) -> None:
    task, outcome = await carried_out(
        here, tmp_path, {"facts": {"os.written": {"request": "q1"}}},
        action="write-image", systems=["discovery"], request="q1", url="http://x", until=5,
    )  # fmt: skip
    assert task.parameters == {"request": "q1", "url": "http://x"}
    assert (task.action, task.files, task.timeout) == ("write-image", {"scripts/a.sh": "echo a"}, 10.0)
    assert outcome == Outcome(facts={"os.written": {"request": "q1"}})


async def test_a_script_on_the_machine_gets_what_its_task_reads(here: World, tmp_path: Path) -> None:
    task, _ = await carried_out(here, tmp_path, {}, action="script", script="scripts/a.sh")
    assert task.parameters == {"script": "scripts/a.sh", "inputs": {"cores": 4}}


async def test_a_reboot_parks_until_the_machine_is_back(here: World, tmp_path: Path) -> None:
    awaited = {"observed.os.request": "q1"}
    _, outcome = await carried_out(here, tmp_path, {}, action="reboot", until_fact=awaited, until=300)
    assert outcome.parked is not None
    assert (outcome.parked.until, outcome.parked.until_fact) == (300, awaited)


@pytest.mark.parametrize(("ending", "kind"), [("failed", Permanent), ("retryable", Retryable)])
async def test_what_the_agent_could_not_do_fails_with_its_reason(
    here: World, tmp_path: Path, ending: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="agent on n1: the disk is too small"):
        await carried_out(here, tmp_path, {"outcome": ending, "reason": "the disk is too small"}, action="write-image")


@pytest.mark.parametrize("wrong", [{}, {"action": 5}, {"action": "erase", "systems": ["windows"]}])
async def test_parameters_that_make_no_sense_fail_at_once(here: World, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(Permanent, match="do not fit"):
        await AgentJig(here.desk, Bmcs()).run(work(tmp_path, **wrong))


async def test_boot_waits_until_the_rack_serves_it_with_its_files(here: World, tmp_path: Path) -> None:
    image = here.region.image("discovery", kernel=b"K", ramdisk=b"R")
    running = asyncio.create_task(BootJig(DoorBoot(here.replica, here.images)).run(work(tmp_path, request="q1")))
    await here.serve(1, kind="discovery", request="q0")
    await asyncio.sleep(0.05)
    assert not running.done()
    await here.serve(1, kind="discovery", request="q1")
    outcome = await asyncio.wait_for(running, 60)
    assert outcome.facts == {"served.boot": {"request": "q1", "kind": "discovery", "generation": 3}}
    assert {sha256 for sha256, _ in here.region.fetched} == {file.sha256 for file in image.files}


async def test_boot_waits_for_the_kind_that_is_wanted(here: World, tmp_path: Path) -> None:
    await here.serve(1, kind="install", request="q1")
    jig = BootJig(DoorBoot(here.replica, here.images))
    running = asyncio.create_task(jig.run(work(tmp_path, request="q1", kind="local")))
    await asyncio.sleep(0.05)
    assert not running.done()
    await here.serve(1, kind="local", request="q1")
    assert (await asyncio.wait_for(running, 60)).facts["served.boot"]["kind"] == "local"


async def test_boot_that_is_never_served_says_what_is_missing_and_may_be_tried_again(
    here: World, tmp_path: Path
) -> None:
    jig, asked = BootJig(DoorBoot(here.replica, here.images)), work(tmp_path, timeout=0.2, request="q9", kind="local")
    reason = r"within 0\.2 s: it is to boot discovery for request '', not local for request 'q9'"
    with pytest.raises(Retryable, match=reason):
        await jig.run(asked)
    told = ServedNode(id=1, name="n1", bootenv=Bootenv(kind="local", request="q9"))
    await here.replica.apply(Delta(after=1, generation=2, nodes=(told,)))
    with pytest.raises(Retryable, match="DHCP answers from generation 1 only, of 2"):
        await jig.run(asked)
    await here.replica.apply(Delta(after=2, generation=3, gone=(1,)))
    with pytest.raises(Retryable, match="has not told the rack of this machine"):
        await jig.run(asked)


async def test_boot_of_an_image_that_is_nowhere_fails_before_the_machine_is_touched(
    here: World, tmp_path: Path
) -> None:
    await here.serve(1, kind="memory", request="q1", image="live")
    with pytest.raises(Permanent, match="no image 'live'"):
        await BootJig(DoorBoot(here.replica, here.images)).run(work(tmp_path, request="q1"))


async def test_the_agent_gets_the_password_of_its_bmc(here: World, tmp_path: Path) -> None:
    task, _ = await carried_out(here, tmp_path, {}, action="bmc", credentials="bmc", slot=2)
    assert task.parameters == {"slot": 2, "user": "admin", "password": "s3cret"}


async def test_a_bmc_of_which_nobody_has_said_a_password_is_a_clear_error(here: World, tmp_path: Path) -> None:
    silent = Bmcs()
    silent.password = ""
    with pytest.raises(Permanent, match="node bmc n1"):
        await AgentJig(here.desk, silent).run(work(tmp_path, action="bmc", credentials="bmc"))
