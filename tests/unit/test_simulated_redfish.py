"""The Redfish BMC of a simulated machine, told by its HTTP answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from rackwright.sim.bmc import Account, Bmc, Faults
from rackwright.sim.redfish import RedfishBmc
from rackwright.sim.shape import Device, Shape

SYSTEM = "/redfish/v1/Systems/1"
SESSIONS = "/redfish/v1/SessionService/Sessions"


class Word:
    """A machine that is only a word in memory."""

    def __init__(self) -> None:
        self.shape = Shape(number=7, name="m7", firmware="uefi", bmc="redfish")
        self.is_on, self.starts = False, 0
        self.next_device: tuple[Device, bool] = ("network", False)

    async def on(self) -> None:
        self.is_on, self.starts = True, self.starts + 1

    async def off(self) -> None:
        self.is_on = False

    async def cycle(self) -> None:
        await self.on()

    async def reset(self) -> None:
        self.starts += 1

    async def press(self) -> None:
        self.is_on = False

    async def boot_from(self, device: Device | None, *, once: bool) -> None:
        self.next_device = (device or "network", once and device is not None)


@pytest.fixture
async def bmc() -> Bmc:
    return Bmc(Word(), Account(user="op", password="secret"))


@pytest.fixture
async def client(bmc: Bmc) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(RedfishBmc(bmc).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://bmc", auth=("op", "secret")) as made:
        yield made


async def reset(client: httpx.AsyncClient, kind: str) -> int:
    answer = await client.post(f"{SYSTEM}/Actions/ComputerSystem.Reset", json={"ResetType": kind})
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    return answer.status_code


async def told(client: httpx.AsyncClient, path: str) -> Any:
    return (await client.get(path)).raise_for_status().json()


async def test_every_link_leads_somewhere(client: httpx.AsyncClient) -> None:
    seen, waiting = set(), ["/redfish/v1/"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting += _links(await told(client, path))
    assert {SYSTEM, f"{SYSTEM}/Bios", "/redfish/v1/Managers/1", "/redfish/v1/Chassis/1/Thermal"} <= seen


async def test_the_root_is_open_and_all_else_is_for_those_who_know_the_password(
    bmc: Bmc, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/redfish/v1/", auth=("", ""))).status_code == 200
    for wrong in (("op", "wrong"), ("other", "secret"), ("", "")):
        assert (await client.get(SYSTEM, auth=wrong)).status_code == 401
    bmc.faults = Faults(password="another")
    assert (await client.get(SYSTEM)).status_code == 401


async def test_a_session_lasts_until_it_is_closed(client: httpx.AsyncClient) -> None:
    opened = await client.post(SESSIONS, json={"UserName": "op", "Password": "secret"})
    token = {"X-Auth-Token": opened.headers["x-auth-token"]}
    assert (await client.get(SYSTEM, headers=token)).status_code == 200
    assert (await client.delete(opened.headers["location"], headers=token)).status_code == 204
    assert (await client.get(SYSTEM, headers=token)).status_code == 401
    refused = await client.post(SESSIONS, json={"UserName": "op", "Password": "no"})
    assert refused.status_code == 401


async def test_it_switches_the_machine_and_refuses_what_it_does_not_know(client: httpx.AsyncClient) -> None:
    assert (await told(client, SYSTEM))["PowerState"] == "Off"
    assert await reset(client, "On") == 204
    assert (await told(client, SYSTEM))["PowerState"] == "On"
    assert await reset(client, "ForceOff") == 204
    assert (await told(client, SYSTEM))["PowerState"] == "Off"
    assert await reset(client, "Nmi") == 400


async def test_a_boot_override_is_taken_once_or_for_good(bmc: Bmc, client: httpx.AsyncClient) -> None:
    for enabled, once in (("Once", True), ("Continuous", False)):
        boot = {"BootSourceOverrideTarget": "Hdd", "BootSourceOverrideEnabled": enabled}
        assert (await client.patch(SYSTEM, json={"Boot": boot})).status_code == 204
        await asyncio.sleep(0.01)
        assert bmc.machine.next_device == ("disk", once)
    assert (await client.patch(SYSTEM, json={"Boot": {"BootSourceOverrideTarget": "Usb"}})).status_code == 400
    legacy = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideMode": "Legacy"}}
    assert (await client.patch(SYSTEM, json=legacy)).status_code == 400


async def test_bios_settings_wait_for_the_next_start(client: httpx.AsyncClient) -> None:
    asked = {"Attributes": {"PowerProfile": "Performance"}}
    assert (await client.patch(f"{SYSTEM}/Bios/Settings", json=asked)).status_code == 204
    assert (await told(client, f"{SYSTEM}/Bios"))["Attributes"]["PowerProfile"] == "Balanced"
    assert (await told(client, f"{SYSTEM}/Bios/Settings"))["Attributes"]["PowerProfile"] == "Performance"
    await reset(client, "On")
    assert (await told(client, f"{SYSTEM}/Bios"))["Attributes"]["PowerProfile"] == "Performance"
    for wrong in ("Unheard", "BootMode"):
        refused = await client.patch(f"{SYSTEM}/Bios/Settings", json={"Attributes": {wrong: "x"}})
        assert refused.status_code == 400


async def test_a_bmc_that_lies_says_the_same_whatever_is_true(bmc: Bmc, client: httpx.AsyncClient) -> None:
    bmc.faults = Faults(lies="on")
    assert (await told(client, SYSTEM))["PowerState"] == "On"
    assert not bmc.machine.is_on


async def test_a_bmc_that_is_gone_answers_nothing(bmc: Bmc, client: httpx.AsyncClient) -> None:
    bmc.faults = Faults(gone=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.get(SYSTEM)


def _links(told: Any) -> list[str]:
    """All references in a resource, wherever they stand; those into the same resource are left out."""
    if isinstance(told, list):
        return [link for part in told for link in _links(part)]
    if not isinstance(told, dict):
        return []
    own = told.get("@odata.id")
    below = [link for name, part in told.items() if name != "Actions" for link in _links(part)]
    return [link for link in ([own] if own else []) + below if "#" not in link]
