"""How machines are switched: what people say of it, what a rack is told, and what the jig and the switchboard do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.errors import Conflict, Permanent, Retryable
from rackwright.core.power import Action, Device, NodePower, PowerSetting, PowerState
from rackwright.core.served import ServedNode
from rackwright.drivers.jig import power as power_jig
from rackwright.drivers.jig.power import PowerJig
from rackwright.engine.sealing import Seal
from rackwright.rack.switchboard import Switchboard
from tests.integration.jig_conformance import make_work
from tests.unit.api_world import World

PASSWORD = "correct horse"


@pytest.fixture
def world() -> Any:
    world = World()
    yield world
    world.close()


def told(world: World, token: str, rack: str = "r1", *nodes: str) -> Any:
    answer = world.ask("POST", f"/api/v1/racks/{rack}/power", {"nodes": list(nodes or ("n1", "n2"))}, token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


class TestSetting:
    def test_a_rack_is_told_the_password_and_nobody_else_is(self, world: World) -> None:
        token = world.site()
        said = {"driver": "ipmi", "address": "10.0.0.1", "user": "admin", "password": PASSWORD}
        assert world.ask("PUT", "/api/v1/nodes/n1/power", said).status_code == 204
        assert told(world, token) == [{"node": "n1", "setting": {**said, "options": {}}}]
        shown = world.ask("GET", "/api/v1/nodes/n1").text
        assert "10.0.0.1" in shown
        assert PASSWORD not in shown
        assert PASSWORD not in world.ask("GET", "/api/v1/changes").text
        assert all(PASSWORD.encode() not in data for data in world.store.tables.sealed.values())

    def test_a_rack_is_told_of_its_own_nodes_only(self, world: World) -> None:
        world.site()
        other = world.ask("POST", "/api/v1/racks", {"name": "r2"}).json()["token"]
        world.ask("PUT", "/api/v1/nodes/n1/power", {"driver": "manual"})
        assert told(world, other, "r2") == []

    def test_the_password_stays_for_the_same_address_and_user_and_goes_with_them(self, world: World) -> None:
        token = world.site()
        said = {"driver": "ipmi", "address": "10.0.0.1", "user": "admin"}
        world.ask("PUT", "/api/v1/nodes/n1/power", {**said, "password": PASSWORD})
        world.ask("PUT", "/api/v1/nodes/n1/power", {**said, "options": {"cipher": 3}})
        (one,) = told(world, token)
        assert (one["setting"]["password"], one["setting"]["options"]) == (PASSWORD, {"cipher": 3})
        world.ask("PUT", "/api/v1/nodes/n1/power", {**said, "address": "10.6.6.6"})
        assert told(world, token)[0]["setting"].get("password", "") == ""

    def test_the_command_line_reads_the_password_from_a_file_only(self, world: World) -> None:
        token = world.site()
        arguments = ("node", "bmc", "n1", "n2", "--driver", "redfish", "--address", "bmc-{name}.example", "--user", "u")
        done = world.rackwright(*arguments, "--password-file", "-", input=PASSWORD + "\n")
        assert done.exit_code == 0, done.output
        assert [one["setting"]["address"] for one in told(world, token)] == ["bmc-n1.example", "bmc-n2.example"]
        assert {one["setting"]["password"] for one in told(world, token)} == {PASSWORD}
        assert world.rackwright("node", "bmc", "n1", "--none").exit_code == 0
        assert [one["node"] for one in told(world, token)] == ["n2"]

    def test_one_bmc_for_many_nodes_is_a_mistake(self, world: World) -> None:
        world.site()
        assert world.rackwright("node", "bmc", "n1", "n2", "--driver", "ipmi", "--address", "x").exit_code == 2


class TestSeal:
    def test_what_is_sealed_for_one_node_cannot_be_opened_for_another(self) -> None:
        seal = Seal(b"k" * 32)
        sealed = seal.close(1, "password", PASSWORD)
        assert seal.open(1, "password", sealed) == PASSWORD
        for scope, name in ((2, "password"), (1, "other")):
            with pytest.raises(Conflict):
                seal.open(scope, name, sealed)

    def test_another_key_opens_nothing(self) -> None:
        with pytest.raises(Conflict, match="another key"):
            Seal(b"b" * 32).open(1, "password", Seal(b"a" * 32).close(1, "password", PASSWORD))

    def test_the_same_text_is_never_sealed_alike(self) -> None:
        seal = Seal(b"k" * 32)
        assert seal.close(1, "p", PASSWORD) != seal.close(1, "p", PASSWORD)


class Lamp:
    """A machine's driver that writes down what it was told."""

    def __init__(self, setting: PowerSetting) -> None:
        self.setting = setting
        self.told: list[str] = []
        self.on = False
        self.busy = 0
        self.most = 0
        self.obeys = True

    async def state(self) -> PowerState:
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        if self.setting.address == "silent":
            raise Retryable("silent")
        return "on" if self.on else "off"

    async def act(self, action: Action) -> str:
        self.told.append(action)
        if self.setting.address == "cellar":
            return f"{action} it"
        if self.obeys and not (action == "soft" and self.setting.address == "stubborn"):
            self.on = action not in ("off", "soft")
        return ""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        self.told.append(f"{device} {'once' if once else 'always'}{' uefi' if uefi else ''}")

    async def describe(self) -> dict[str, Any]:
        return {"model": "lamp"}

    async def set_bios(self, settings: dict[str, Any]) -> None:
        self.told.append(f"bios {settings}")

    async def close(self) -> None:
        self.told.append("close")


class Room:
    """A switchboard with its machines, and what it told the region."""

    def __init__(self, *addresses: str) -> None:
        self.lamps: dict[str, list[Lamp]] = {}
        self.asked: list[str] = []
        self.seen: list[tuple[str, Any]] = []
        self.passwords = 0
        self.served = {
            f"n{number}": ServedNode(id=number, name=f"n{number}", power={"driver": "lamp", "address": address})
            for number, address in enumerate(addresses, 1)
        }
        self.board = Switchboard(self, self.ask, self.tell, {"lamp": self.make})

    def named(self, name: str) -> ServedNode | None:
        return self.served.get(name)

    def nodes(self) -> list[ServedNode]:
        return list(self.served.values())

    def tell(self, node: str, facts: dict[str, Any]) -> None:
        self.seen.append((node, facts["observed.power"]))

    async def ask(self, nodes: Sequence[str]) -> list[NodePower]:
        self.asked += nodes
        settings = [(name, self.served[name].power or {}) for name in nodes]
        return [NodePower(name, PowerSetting(driver="lamp", address=power["address"])) for name, power in settings]

    def make(self, setting: PowerSetting) -> Lamp:
        lamp = Lamp(setting)
        self.lamps.setdefault(setting.address, []).append(lamp)
        return lamp

    async def run(self, tmp_path: Path, node: str = "n1", inputs: Any = None, **parameters: Any) -> Any:
        work = make_work(tmp_path, parameters, scope=node, inputs=inputs or {}, writes=("bmc.told",))
        outcome = await PowerJig(self.board).run(work)
        return outcome, Path(work.log).read_text()


class TestSwitchboard:
    async def test_a_driver_is_made_once_and_anew_when_its_setting_changes(self) -> None:
        room = Room("a")
        await room.board.state("n1")
        await room.board.act("n1", "on")
        assert room.asked == ["n1"]
        room.served["n1"] = ServedNode(id=1, name="n1", power={"driver": "lamp", "address": "b"})
        assert await room.board.state("n1") == "off"
        assert room.asked == ["n1", "n1"]
        assert room.lamps["a"][0].told == ["on", "close"]

    async def test_one_bmc_takes_one_conversation_at_a_time(self) -> None:
        room = Room("a", "b")
        await asyncio.gather(*(room.board.state(node) for node in ("n1", "n1", "n1", "n2")))
        assert {address: [lamp.most for lamp in lamps] for address, lamps in room.lamps.items()} == {"a": [1], "b": [1]}

    async def test_only_what_changed_is_told(self) -> None:
        room = Room("a")
        for _ in range(3):
            await room.board.state("n1")
        await room.board.act("n1", "on")
        await room.board.state("n1")
        assert room.seen == [("n1", "off"), ("n1", "on")]

    async def test_the_watch_looks_at_every_machine_and_a_silent_bmc_makes_it_unknown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rackwright.rack.switchboard.ROUND", 0.02)
        monkeypatch.setattr("rackwright.rack.switchboard.TURN", 0.01)
        room = Room("a", "silent", "c")
        watching = asyncio.create_task(room.board.watch())
        async with asyncio.timeout(60):
            while len(room.seen) < 3:
                await asyncio.sleep(0.01)
        watching.cancel()
        assert sorted(room.seen) == [("n1", "off"), ("n2", "unknown"), ("n3", "off")]

    async def test_a_machine_that_has_left_is_forgotten_and_told_anew_when_it_comes_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rackwright.rack.switchboard.ROUND", 0.02)
        monkeypatch.setattr("rackwright.rack.switchboard.TURN", 0.01)
        room = Room("a")
        watching = asyncio.create_task(room.board.watch())
        async with asyncio.timeout(60):
            while not room.seen:
                await asyncio.sleep(0.01)
            left = room.served.pop("n1")
            while room.lamps["a"][0].told != ["close"]:
                await asyncio.sleep(0.01)
            room.served["n1"] = left
            while len(room.seen) < 2:
                await asyncio.sleep(0.01)
        watching.cancel()
        assert room.seen == [("n1", "off"), ("n1", "off")]

    async def test_a_machine_without_a_bmc_is_a_clear_error(self) -> None:
        room = Room()
        with pytest.raises(Permanent, match="node bmc"):
            await room.board.state("n9")

    async def test_an_unknown_driver_is_named(self) -> None:
        room = Room("a")
        board = Switchboard(room, room.ask, room.tell, {})
        with pytest.raises(Permanent, match="no power driver 'lamp'"):
            await board.state("n1")


class TestJig:
    async def test_a_boot_chooses_the_device_and_switches_on_what_is_off(self, tmp_path: Path) -> None:
        room = Room("a")
        outcome, said = await room.run(tmp_path, action="boot", inputs={"firmware": "uefi"})
        assert outcome.parked is None
        assert room.lamps["a"][0].told == ["network once uefi", "on"]
        assert "network once" in said

    async def test_a_boot_cycles_what_is_on_and_waits_for_the_facts_that_are_asked_for(self, tmp_path: Path) -> None:
        room = Room("a")
        await room.board.act("n1", "on")
        awaited = {"observed.booted.request": "r1"}
        outcome, _ = await room.run(tmp_path, action="boot", until_fact=awaited, until=300, uefi=False, once=False)
        assert room.lamps["a"][0].told == ["on", "network always", "cycle"]
        assert (outcome.parked.until, outcome.parked.until_fact) == (300, awaited)

    async def test_a_system_that_does_not_go_down_is_cut_off(self, tmp_path: Path) -> None:
        room = Room("stubborn")
        await room.board.act("n1", "on")
        _, said = await room.run(tmp_path, action="soft", grace=0)
        assert room.lamps["stubborn"][0].told == ["on", "soft", "off"]
        assert "its power is cut" in said

    async def test_what_only_a_person_can_do_waits_for_the_person(self, tmp_path: Path) -> None:
        room = Room("cellar")
        outcome, _ = await room.run(tmp_path, action="on")
        assert "on it" in outcome.parked.reason

    async def test_a_bmc_that_lies_is_found_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(power_jig, "FOLLOW", 0.0)
        monkeypatch.setattr(power_jig, "LOOK", 0.0)
        room = Room("a")
        await room.board.state("n1")
        room.lamps["a"][0].obeys = False
        with pytest.raises(Retryable, match="not on"):
            await room.run(tmp_path, action="on")

    async def test_what_is_found_goes_into_the_fact_that_takes_it(self, tmp_path: Path) -> None:
        outcome, _ = await Room("a").run(tmp_path, action="describe", into="bmc.told")
        assert outcome.facts == {"bmc.told": {"model": "lamp"}}

    async def test_strange_parameters_are_refused_for_good(self, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="explode"):
            await Room("a").run(tmp_path, action="explode")
