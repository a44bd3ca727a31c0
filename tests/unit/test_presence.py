"""What processes tell of themselves, and what the api tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from rackwright.core.errors import StoreUnavailable
from rackwright.core.services import Beat, Family, Process
from rackwright.engine.presence import Presence, Pulse, this_process
from rackwright.engine.telemetry import Telemetry
from rackwright.store.memory import MemoryStore
from rackwright.store.memory.roster import MemoryRoster
from rackwright.store.memory.tables import Tables
from tests.unit.api_world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


SAID = {"id": "x", "kind": "api", "name": "other", "host": "h1", "pid": 3, "version": "1", "started_at": 1.0}


def heartbeat(world: World, token: str, number: int, state: str = "running", **process: Any) -> None:
    body = {"incarnation": "me", "process": {"process": SAID | process, "number": number, "state": state}}
    assert world.ask("POST", "/api/v1/racks/r1/heartbeat", body, token=token).status_code == 200


def services(world: World) -> list[tuple[str, str, str]]:
    """Kind, name and state of all that are listed once the api has beaten."""
    world.run(beaten(world.presence))
    items = world.ask("GET", "/api/v1/services").json()["items"]
    return [(item["kind"], item["name"], item["state"]) for item in items]


async def beaten(presence: Presence) -> None:
    """Let a presence write what it has, without saying that it ends."""
    await presence._write()


def test_a_rack_is_listed_by_its_own_name_whatever_it_says(world: World) -> None:
    token = world.site()
    heartbeat(world, token, 1)
    assert services(world) == [("api", "api 1", "running"), ("rack", "r1", "running")]
    heartbeat(world, token, 2, "draining")
    assert services(world)[1] == ("rack", "r1", "draining")
    heartbeat(world, token, 3, "ended")
    assert services(world) == [("api", "api 1", "running")]


def test_a_rack_that_asks_for_work_is_listed_too(world: World) -> None:
    body = {"incarnation": "me", "capacity": 1, "wait": 0, "process": {"process": SAID, "number": 1}}
    assert world.ask("POST", "/api/v1/racks/r1/claims", body, token=world.site()).status_code == 200
    assert services(world) == [("api", "api 1", "running"), ("rack", "r1", "running")]


def test_a_rack_that_tells_nothing_of_its_process_is_not_listed(world: World) -> None:
    token = world.site()
    assert world.ask("POST", "/api/v1/racks/r1/heartbeat", {"incarnation": "me"}, token=token).status_code == 200
    assert services(world) == [("api", "api 1", "running")]


def test_metrics_count_requests_and_take_a_token(world: World) -> None:
    assert world.ask("GET", "/metrics", token="").status_code == 401
    assert world.ask("GET", "/api/v1/nodes", token=world.reader).status_code == 200
    world.run(beaten(world.presence))
    text = world.ask("GET", "/metrics", token=world.reader).text
    line = 'rackwright_http_request_duration_seconds_count{host="%s",method="GET",process="api 1",service="api",status='
    counted = [found for found in text.splitlines() if found.startswith(line % world.presence.pulse.process.host)]
    assert any('"200"' in found for found in counted)
    assert any('"401"' in found for found in counted)


def test_metrics_of_two_processes_of_one_name_do_not_get_into_each_others_way(world: World) -> None:
    here = world.presence.pulse.process
    older = msgspec.structs.replace(here, id="older", pid=77, started_at=here.started_at - 9)
    world.presence.tell(Beat(process=older, number=1, sample=Telemetry().sample()))
    world.run(beaten(world.presence))
    lines = world.ask("GET", "/metrics").text.splitlines()
    samples = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples))
    assert any('process="api 1 (77)"' in line for line in samples)


def test_metrics_count_the_node_tasks_of_the_fleet(world: World) -> None:
    world.site()
    world.apply(bind={"web": ["n1", "n2"]})
    lines = world.ask("GET", "/metrics").text.splitlines()
    assert 'rackwright_node_tasks{state="todo"} 2.0' in lines
    assert 'rackwright_node_tasks{state="blocked"} 2.0' in lines


def test_metrics_never_name_a_node_or_a_path(world: World) -> None:
    world.site()
    world.ask("GET", "/api/v1/nodes/n1")
    world.ask("BREW", "/api/v1/nodes/n1")
    world.run(beaten(world.presence))
    text = world.ask("GET", "/metrics").text
    assert "n1" not in text
    assert "BREW" not in text
    assert 'method="other"' in text


class Fickle(MemoryRoster):
    """A roster that is away at first."""

    def __init__(self) -> None:
        super().__init__(Tables)
        self.away = True
        self.got: list[list[str]] = []

    async def beat(self, beats: Sequence[Beat]) -> None:
        if self.away:
            raise StoreUnavailable("the database cannot be reached")
        self.got.append([f"{beat.process.id} {beat.number} {beat.state}" for beat in beats])


async def test_beats_of_others_are_kept_while_the_database_is_away_and_only_the_newest_of_each() -> None:
    roster = Fickle()
    presence = Presence(roster, Pulse(_process("me"), Telemetry()))
    presence.tell(Beat(process=_process("r"), number=1))
    with pytest.raises(StoreUnavailable):
        await presence._write()
    presence.tell(Beat(process=_process("r"), number=2, state="draining"))
    presence.tell(Beat(process=_process("r"), number=1))
    roster.away = False
    await presence._write()
    assert roster.got == [["me 2 running", "r 2 draining"]]


async def test_the_last_beat_of_a_process_says_that_it_has_ended() -> None:
    store = MemoryStore()
    presence = Presence(store.roster, Pulse(this_process("conductor", "conductor 1"), Telemetry()))
    async with presence.shown():
        while not await store.roster.services():
            await asyncio.sleep(0)
        presence.drain()
        while (await store.roster.services())[0].state != "draining":
            await asyncio.sleep(0.001)
    assert await store.roster.services() == []


async def test_a_loop_that_is_held_up_shows_as_lag() -> None:
    telemetry = Telemetry()
    async with telemetry.watched():
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.6
        while loop.time() < end:
            pass
        await asyncio.sleep(0.05)
    assert telemetry.worst_lag() > 0.2
    assert telemetry.worst_lag() == 0.0


def test_a_sample_has_all_that_was_measured() -> None:
    telemetry = Telemetry()
    telemetry.waited(0.2)
    telemetry.answered("GET", 200, 0.01)
    families = {family.name: family for family in msgspec.json.decode(telemetry.sample(), type=list[Family])}
    waits = {point.name: point.value for point in families["rackwright_db_pool_wait_seconds"].points}
    assert waits["rackwright_db_pool_wait_seconds_count"] == 1.0
    assert families["rackwright_http_request_duration_seconds"].type == "histogram"


def _process(id: str) -> Process:
    return Process(id=id, kind="api", name=id, host="h", pid=1, version="1", started_at=1.0)
