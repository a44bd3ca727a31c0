"""What every power driver must do, as a suite: a test class of a driver inherits it and gives a machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.power import Action, PowerDriver, PowerFactory, PowerSetting, PowerState


async def becomes(driver: PowerDriver, wanted: PowerState, seconds: float = 20.0) -> None:
    """Wait until the machine is as it is wanted."""
    async with asyncio.timeout(seconds):
        while await driver.state() != wanted:
            await asyncio.sleep(0.05)


class PowerConformance:
    """Inherit, and give the fixture ``setting`` of a machine that is off, and the factory."""

    factory: PowerFactory

    @pytest.fixture
    async def driver(self, setting: PowerSetting) -> AsyncIterator[PowerDriver]:
        driver = self.factory(setting)
        yield driver
        await driver.close()

    async def test_a_machine_that_is_off_says_so(self, driver: PowerDriver) -> None:
        assert await driver.state() == "off"

    async def test_it_is_switched_on_and_off(self, driver: PowerDriver) -> None:
        assert await driver.act("on") == ""
        await becomes(driver, "on")
        assert await driver.act("off") == ""
        await becomes(driver, "off")

    async def test_switching_on_what_is_on_changes_nothing(self, driver: PowerDriver) -> None:
        await driver.act("on")
        await becomes(driver, "on")
        await driver.act("on")
        assert await driver.state() == "on"
        await driver.act("off")
        await becomes(driver, "off")
        await driver.act("off")
        assert await driver.state() == "off"

    @pytest.mark.parametrize("action", ["cycle", "reset"])
    async def test_a_machine_that_is_off_is_on_after_a_cycle_or_a_reset(
        self, driver: PowerDriver, action: Action
    ) -> None:
        await driver.act(action)
        await becomes(driver, "on")

    @pytest.mark.parametrize("action", ["cycle", "reset"])
    async def test_a_machine_that_is_on_is_on_again_after_it(self, driver: PowerDriver, action: Action) -> None:
        await driver.act("on")
        await becomes(driver, "on")
        await driver.act(action)
        await becomes(driver, "on")

    async def test_what_it_boots_can_be_chosen_for_once_and_for_good(self, driver: PowerDriver) -> None:
        for once in (True, False):
            await driver.set_boot_device("network", once=once, uefi=False)
            await driver.set_boot_device("disk", once=once, uefi=False)
        await driver.set_boot_device("none", once=False, uefi=False)

    async def test_it_tells_something_of_itself(self, driver: PowerDriver) -> None:
        assert await driver.describe()

    async def test_a_soft_off_on_a_machine_that_is_off_changes_nothing(self, driver: PowerDriver) -> None:
        with contextlib.suppress(DriverError):  # some controllers refuse it
            await driver.act("soft")
        assert await driver.state() == "off"

    async def test_a_bmc_that_is_not_there_is_retryable_and_named(self, absent: PowerSetting) -> None:
        driver = self.factory(absent)
        with pytest.raises(Retryable) as caught:
            await driver.state()
        await driver.close()
        assert absent.address.split("/")[-1] in str(caught.value)


class GuardedConformance(PowerConformance):
    """For drivers whose BMC asks for a password."""

    async def test_a_wrong_password_is_refused_for_good_and_never_said(self, setting: PowerSetting) -> None:
        wrong = "Wrong-Pass-1"
        driver = self.factory(msgspec.structs.replace(setting, password=wrong))
        with pytest.raises(Permanent) as caught:
            await driver.state()
        await driver.close()
        assert wrong not in str(caught.value)
        assert "password" in str(caught.value)
