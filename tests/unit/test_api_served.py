"""What racks ask for of what they serve, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rackwright.api import served
from tests.unit.api_world import SERVER, World


class Rack:
    """The rack r1 at the api."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = world.site()

    def served(self, after: int) -> Any:
        response = self.world.ask("GET", f"/api/v1/racks/r1/served?after={after}", token=self.token)
        assert response.status_code == 200, response.text
        return response.json()

    def applied(self, generation: int) -> int:
        body = {"generation": generation, "report": {"servers": ["kea"]}}
        status: int = self.world.ask("POST", "/api/v1/racks/r1/applied", body, token=self.token).status_code
        return status


@pytest.fixture
def rack() -> Iterator[Rack]:
    world = World()
    yield Rack(world)
    world.close()


def test_a_rack_gets_everything_and_then_nothing_new(rack: Rack) -> None:
    first = rack.served(-1)
    assert first["full"]
    assert "n1" in {node["name"] for node in first["nodes"]}
    again = rack.served(first["generation"])
    assert (again["generation"], again["nodes"], again["full"]) == (first["generation"], [], False)


def test_a_waiting_rack_gets_a_change_as_soon_as_there_is_one(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "LOOK_AGAIN", 60.0)
    after = rack.served(-1)["generation"]
    url = f"{SERVER}/api/v1/racks/r1/served?after={after}&wait=50"
    request = httpx.Request("GET", url, headers={"Authorization": f"Bearer {rack.token}"})
    waiting = rack.world.start(rack.world._answer(request))
    while not any(channel == "served" for channel, _ in rack.world.news._bells):
        rack.world.run(asyncio.sleep(0.01))
    assert rack.world.ask("PATCH", "/api/v1/nodes/n1", {"address": "10.77.0.7"}).status_code == 200
    nodes = rack.world.run(waiting).json()["nodes"]
    assert [(node["name"], node["address"]) for node in nodes] == [("n1", "10.77.0.7")]


def test_how_far_a_rack_is_stands_beside_it(rack: Rack) -> None:
    assert rack.world.ask("GET", "/api/v1/racks/r1").json()["serving"] is None
    generation = rack.served(-1)["generation"]
    assert rack.applied(generation) == 200
    serving = rack.world.ask("GET", "/api/v1/racks/r1").json()["serving"]
    assert (serving["generation"], serving["applied"]) == (generation, generation)
    assert serving["report"] == {"servers": ["kea"]}
    assert serving["effect"] >= 0
    row = rack.world.rackwright("get", "racks").stdout.splitlines()[1]
    assert "current" in row


def test_a_generation_that_was_never_given_is_refused(rack: Rack) -> None:
    assert rack.applied(rack.served(-1)["generation"] + 1) == 409


def test_only_the_rack_itself_is_answered(rack: Rack) -> None:
    assert rack.world.ask("GET", "/api/v1/racks/r1/served").status_code == 403
