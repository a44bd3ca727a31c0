"""Every power driver against what it is for: BMCs that speak IPMI and Redfish, a QEMU, an HTTP service, a person."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rackwright.commands.demo_ground import free_port
from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.power import PowerSetting
from rackwright.drivers.power.ipmi import IpmiPower
from rackwright.drivers.power.manual import ManualPower
from rackwright.drivers.power.qemu import QemuPower
from rackwright.drivers.power.redfish import RedfishPower
from rackwright.drivers.power.webhook import WebhookPower
from rackwright.sim.bmc import Account, Bmc, Faults
from rackwright.sim.bmc_house import BmcHouse
from rackwright.sim.shape import BmcKind, Device, Shape
from tests.integration.power_conformance import GuardedConformance, PowerConformance, becomes

T = TypeVar("T")

needs_ipmitool = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="no ipmitool (Debian: ipmitool)")
needs_qemu = pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU (Debian: qemu-system-x86)")


class Word:
    """A machine that is only a word in memory, behind a real BMC."""

    def __init__(self, kind: BmcKind) -> None:
        self.shape = Shape(number=1, name="m1", firmware="bios", bmc=kind)
        self.is_on = False
        self.starts = 0
        self.next_device: tuple[Device, bool] = ("network", False)

    async def on(self) -> None:
        self.is_on = True

    async def off(self) -> None:
        self.is_on = False

    async def cycle(self) -> None:
        self.starts += 1

    async def reset(self) -> None:
        self.starts += 1

    async def press(self) -> None:
        self.is_on = False

    async def boot_from(self, device: Device | None, *, once: bool) -> None:
        self.next_device = (device or "network", once)


async def opened_house(kind: BmcKind, folder: Path) -> tuple[BmcHouse, Bmc, PowerSetting]:
    """A BMC that answers on loopback, and how to reach it."""
    account = Account(user="operator", password=secrets.token_hex(8))
    bmc = Bmc(Word(kind), account)
    port = free_port()
    house = BmcHouse({"127.0.0.1": bmc}, folder, ipmi_port=port, redfish_port=port)
    await house.open()
    options: dict[str, Any] = {"verify": False} if kind == "redfish" else {}
    where = f"127.0.0.1:{port}"
    setting = PowerSetting(driver=kind, address=where, user=account.user, password=account.password, options=options)
    return house, bmc, setting


class Houses:
    """BMCs in a loop and thread of their own, for all tests of this file: pyghmi has one listener in a process."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._folder = folder
        self._made: dict[BmcKind, tuple[BmcHouse, Bmc, PowerSetting]] = {}

    def bmc(self, kind: BmcKind) -> tuple[Bmc, PowerSetting]:
        if kind not in self._made:
            self._made[kind] = self._run(opened_house(kind, self._folder))
        return self._made[kind][1:]

    def close(self) -> None:
        for house, _, _ in self._made.values():
            self._run(house.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    houses = Houses(tmp_path_factory.mktemp("bmc"))
    yield houses
    houses.close()


class BmcConformance(GuardedConformance):
    """What holds of the drivers of both protocols of BMCs."""

    kind: BmcKind

    @pytest.fixture
    def setting(self, bmc: tuple[Bmc, PowerSetting]) -> PowerSetting:
        return bmc[1]

    @pytest.fixture
    def absent(self) -> PowerSetting:
        return PowerSetting(driver=self.kind, address=f"127.0.0.1:{free_port()}", user="a", password="b")

    async def test_the_chosen_device_reaches_the_controller(self, bmc: tuple[Bmc, PowerSetting]) -> None:
        controller, setting = bmc
        driver = self.factory(setting)
        for device, once in (("network", True), ("disk", False), ("disk", True)):
            await driver.set_boot_device("network" if device == "network" else "disk", once=once, uefi=False)
            async with asyncio.timeout(60):
                while controller.machine.next_device != (device, once):
                    await asyncio.sleep(0.01)
        await driver.close()

    async def test_a_machine_goes_down_softly(self, bmc: tuple[Bmc, PowerSetting]) -> None:
        driver = self.factory(bmc[1])
        await driver.act("on")
        await becomes(driver, "on")
        await driver.act("soft")
        await becomes(driver, "off")
        await driver.close()

    async def test_a_slow_bmc_is_waited_for(self, bmc: tuple[Bmc, PowerSetting]) -> None:
        bmc[0].faults = Faults(slow=0.4)
        driver = self.factory(bmc[1])
        assert await driver.state() == "off"
        await driver.close()

    async def test_a_bmc_whose_password_was_changed_meanwhile_says_so(self, bmc: tuple[Bmc, PowerSetting]) -> None:
        driver = self.factory(bmc[1])
        assert await driver.state() == "off"
        await driver.close()
        bmc[0].faults = Faults(password=secrets.token_hex(8))
        driver = self.factory(bmc[1])
        with pytest.raises(Permanent, match="password"):
            await driver.state()
        await driver.close()


@needs_ipmitool
class TestIpmi(BmcConformance):
    factory = IpmiPower
    kind = "ipmi"

    @pytest.fixture
    def bmc(self, houses: Houses) -> tuple[Bmc, PowerSetting]:
        bmc, setting = houses.bmc(self.kind)
        bmc.faults = Faults()
        assert isinstance(bmc.machine, Word)
        bmc.machine.is_on, bmc.machine.next_device = False, ("network", False)
        return bmc, setting

    async def test_the_password_is_in_no_list_of_processes(self, setting: PowerSetting) -> None:
        asking = asyncio.create_task(IpmiPower(setting).state())
        seen: list[bytes] = []
        while not asking.done():
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.append(line.read_bytes())
            await asyncio.sleep(0.001)
        assert await asking == "off"
        assert any(b"ipmitool" in line for line in seen)
        assert not any(setting.password.encode() in line for line in seen)

    async def test_it_says_that_it_cannot_set_bios_settings(self, setting: PowerSetting) -> None:
        with pytest.raises(Permanent, match="Redfish"):
            await IpmiPower(setting).set_bios({"Boot": "UEFI"})


class TestRedfish(BmcConformance):
    factory = RedfishPower
    kind = "redfish"

    @pytest.fixture
    async def bmc(self, tmp_path: Path) -> AsyncIterator[tuple[Bmc, PowerSetting]]:
        house, bmc, setting = await opened_house(self.kind, tmp_path)
        yield bmc, setting
        await house.close()

    async def test_bios_settings_are_read_and_asked_for(self, setting: PowerSetting) -> None:
        driver = RedfishPower(setting)
        assert (await driver.describe())["bios"]["HyperThreading"] == "Enabled"
        await driver.set_bios({"HyperThreading": "Disabled"})
        with pytest.raises(Permanent, match="NoSuchThing"):
            await driver.set_bios({"NoSuchThing": 1})
        await driver.close()

    async def test_firmware_is_read(self, setting: PowerSetting) -> None:
        driver = RedfishPower(setting)
        said = await driver.describe()
        assert said["serial"] == "LAB00001"
        assert said["firmware"]
        await driver.close()

    async def test_a_certificate_that_nobody_signed_is_refused_unless_told_otherwise(
        self, setting: PowerSetting
    ) -> None:
        driver = RedfishPower(msgspec.structs.replace(setting, options={}))
        with pytest.raises(DriverError, match=r"(?i)certificate|ssl"):
            await driver.state()
        await driver.close()

    async def test_a_system_that_is_not_there_is_named(self, setting: PowerSetting) -> None:
        driver = RedfishPower(msgspec.structs.replace(setting, options={"verify": False, "system": "/redfish/v1/no"}))
        with pytest.raises(Permanent, match="system"):
            await driver.state()
        await driver.close()


@needs_qemu
class TestQemu(PowerConformance):
    factory = QemuPower

    @pytest.fixture
    async def setting(self, tmp_path: Path) -> AsyncIterator[PowerSetting]:
        path = tmp_path / "qmp"
        process = await asyncio.create_subprocess_exec(
            *(
                "qemu-system-x86_64",
                "-accel",
                "tcg",
                "-m",
                "32",
                "-display",
                "none",
                "-S",
                "-no-shutdown",
                "-nodefaults",
            ),
            *("-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n,id=net0,bootindex=0,romfile="),
            *(
                "-drive",
                "if=none,id=d,driver=null-co,size=1M",
                "-device",
                "virtio-blk-pci,drive=d,id=disk0,bootindex=1",
            ),
            *("-qmp", f"unix:{path},server=on,wait=off"),
        )
        setting = PowerSetting(driver="qemu", address=str(path))
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Retryable):
                    await QemuPower(setting).state()
                    break
                await asyncio.sleep(0.05)
        yield setting
        process.kill()
        await process.wait()

    @pytest.fixture
    def absent(self, tmp_path: Path) -> PowerSetting:
        return PowerSetting(driver="qemu", address=str(tmp_path / "no-such-socket"))


class TestWebhook(GuardedConformance):
    factory = WebhookPower

    @pytest.fixture
    async def setting(self) -> AsyncIterator[PowerSetting]:
        password = secrets.token_hex(8)
        machine: dict[str, Any] = {"power": "off"}

        async def switch(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {password}":
                return JSONResponse({"error": "who are you"}, 401)
            if request.method == "POST":
                said = await request.json()
                if "action" in said:
                    machine["power"] = "off" if said["action"] in ("off", "soft") else "on"
            return JSONResponse(machine)

        port = free_port()
        app = Starlette(routes=[Route("/n1", switch, methods=["GET", "POST"])])
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        yield PowerSetting(driver="webhook", address=f"http://127.0.0.1:{port}/n1", password=password)
        server.should_exit = True
        await serving

    @pytest.fixture
    def absent(self) -> PowerSetting:
        return PowerSetting(driver="webhook", address=f"http://127.0.0.1:{free_port()}/n1")

    async def test_an_answer_that_makes_no_sense_is_refused_for_good(self, setting: PowerSetting) -> None:
        driver = WebhookPower(msgspec.structs.replace(setting, address=setting.address + "-other"))
        with pytest.raises(Permanent, match="404"):
            await driver.state()
        await driver.close()


class TestManual:
    async def test_a_person_is_told_what_to_do_and_where(self) -> None:
        driver = ManualPower(PowerSetting(driver="manual", address="cellar, shelf 3"))
        assert await driver.act("on") == "switch it on (cellar, shelf 3)"
        assert await driver.state() == "unknown"
