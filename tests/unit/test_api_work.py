"""What racks ask for: work that is waited for, results, leases, logs."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rackwright.api import work
from rackwright.core.messages import Claim, ClaimRequest
from rackwright.engine import planning
from rackwright.engine.rack_requests import RackRequests
from tests.unit.api_world import SERVER, World

ASK = {"incarnation": "me", "capacity": 10}


class Rack:
    """The rack r1 at the api."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = world.site()

    def ask(self, what: str, body: dict[str, Any]) -> Any:
        response = self.world.ask("POST", f"/api/v1/racks/r1/{what}", body, token=self.token)
        assert response.status_code == 200, response.text
        return response.json()

    def request(self, wait: float) -> httpx.Request:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Request("POST", f"{SERVER}/api/v1/racks/r1/claims", headers=headers, json={**ASK, "wait": wait})


@pytest.fixture
def rack() -> Iterator[Rack]:
    world = World()
    yield Rack(world)
    world.close()


def test_a_claim_without_work_ends_when_its_wait_is_over(rack: Rack) -> None:
    assert rack.ask("claims", {**ASK, "wait": 0.05}) == {"items": [], "lease": 30.0, "texts": {}}


def test_what_a_claim_has_waited_is_no_sign_of_life(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    looked = RackRequests.claim

    async def look(requests: RackRequests, number: int, request: ClaimRequest) -> list[Claim]:
        looks.append(request.waited)
        if len(looks) == 1:
            asyncio.get_running_loop().call_later(0.05, rack.world.services.news.tell, "work", str(number))
        return await looked(requests, number, request)

    monkeypatch.setattr(RackRequests, "claim", look)
    rack.ask("claims", {**ASK, "wait": 0.5})
    first, *later = looks
    assert first == 0.0
    assert later[0] >= 0.04


def test_a_claim_looks_for_work_once_if_there_is_no_news_of_any(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    looked = RackRequests.claim

    async def look(requests: RackRequests, number: int, request: ClaimRequest) -> list[Claim]:
        looks.append(number)
        return await looked(requests, number, request)

    monkeypatch.setattr(RackRequests, "claim", look)
    rack.ask("claims", {**ASK, "wait": 0.1})
    assert len(looks) == 1


def test_who_was_heard_last_long_ago_holds_the_rack_for_the_rest_of_the_lease(rack: Rack) -> None:
    rack.ask("claims", {**ASK, "seat": "a", "wait": 0, "waited": 25.0})
    other = {**ASK, "incarnation": "you", "seat": "b", "wait": 0}
    refused = rack.world.ask("POST", "/api/v1/racks/r1/claims", other, token=rack.token)
    assert refused.status_code == 409
    left = re.search(r"its lease lasts for (\d+) s more", refused.text)
    assert left is not None
    assert int(left.group(1)) <= 5


def test_a_waiting_claim_gets_work_as_soon_as_there_is_some(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LOOK_AGAIN", 60.0)
    waiting = rack.world.start(rack.world._answer(rack.request(wait=50.0)))
    while not any(channel == "work" for channel, _ in rack.world.news._bells):
        rack.world.run(asyncio.sleep(0.01))
    rack.world.apply(bind={"web": ["n1", "n2"]})
    items = rack.world.run(waiting).json()["items"]
    assert sorted((item["scope"], item["task"]) for item in items) == [("n1", "install"), ("n2", "install")]


def test_work_of_which_there_is_no_news_wakes_the_racks_that_wait(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LOOK_AGAIN", 0.01)
    world = rack.world
    world.apply(bind={"web": ["n1"]})

    async def rings(number: int, within: float) -> bool:
        looking = asyncio.create_task(work.look_for_work(world.services))
        with world.news.watch("work", str(number)) as bell:
            began = asyncio.get_running_loop().time()
            await bell.wait(within)
            took = asyncio.get_running_loop().time() - began
        looking.cancel()
        return took < within

    async def number() -> int:
        async with world.store.transaction() as tx:
            return (await tx.named("rack", ["r1"]))["r1"].id

    known = world.run(number())
    assert world.run(rings(known, 60.0))
    assert not world.run(rings(known + 10_000, 0.5))


def test_a_waiting_claim_ends_at_once_when_the_process_stops(rack: Rack) -> None:
    waiting = rack.world.start(rack.world._answer(rack.request(wait=50.0)))
    while not rack.world.news._bells:
        rack.world.run(asyncio.sleep(0.01))
    rack.world.call(rack.world.news.stop)
    assert rack.world.run(waiting).json()["items"] == []
    assert not rack.world.news._bells


def test_nothing_is_claimed_for_a_rack_that_has_hung_up(rack: Rack) -> None:
    async def scenario() -> list[dict[str, Any]]:
        said = [{"type": "http.request", "body": b'{"incarnation":"me","capacity":1,"wait":50}', "more_body": False}]
        sent: list[dict[str, Any]] = []
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if said:
                return said.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/api/v1/racks/r1/claims", "raw_path": b"", "query_string": b"",
            "headers": [(b"authorization", f"Bearer {rack.token}".encode())], "root_path": "", "scheme": "http",
            "server": ("x", 80), "http_version": "1.1",
        }  # fmt: skip
        task = asyncio.create_task(rack.world.app(scope, receive, send))
        while not rack.world.news._bells:
            await asyncio.sleep(0.01)
        gone.set()
        await _apply(rack.world)
        await task
        return sent

    sent = rack.world.run(scenario())
    assert b'"items":[]' in sent[-1]["body"]
    assert {task["state"] for task in _tasks(rack.world)} == {"todo", "blocked"}


def test_results_are_taken_once_and_late_ones_refused(rack: Rack) -> None:
    rack.world.apply(bind={"web": ["n1"]})
    (claim,) = rack.ask("claims", {**ASK, "wait": 0})["items"]
    result = {key: claim[key] for key in ("id", "attempt", "revision")}
    good = {**result, "outcome": "ok", "facts": {"web.conf": "x"}}
    verdicts = rack.ask("results", {"incarnation": "me", "items": [good]})["items"]
    assert [verdict["taken"] for verdict in verdicts] == [True]
    late = {**good, "attempt": claim["attempt"] - 1}
    assert [v["taken"] for v in rack.ask("results", {"incarnation": "me", "items": [late]})["items"]] == [False]


def test_a_heartbeat_names_what_is_no_longer_the_racks(rack: Rack) -> None:
    rack.world.apply(bind={"web": ["n1"]})
    (claim,) = rack.ask("claims", {**ASK, "wait": 0})["items"]
    mine = [claim["id"], claim["attempt"]]
    beat = {"incarnation": "me", "working": [mine, [claim["id"], 99]], "keeping": [claim["id"], 98]}
    assert rack.ask("heartbeat", beat) == {"cancel": [[claim["id"], 99]], "drop": [98], "lost": False}


def test_pieces_of_logs_are_kept_once(rack: Rack) -> None:
    rack.world.apply(bind={"web": ["n1"]})
    (claim,) = rack.ask("claims", {**ASK, "wait": 0})["items"]
    data = base64.b64encode(b"\x00line\n").decode()
    piece = {"id": claim["id"], "attempt": claim["attempt"], "offset": 0, "data": data, "last": True}
    for _ in range(2):
        assert rack.ask("logs", {"items": [piece]}) == {}
    log = rack.world.run(rack.world.store.views.log(claim["id"], attempt=None, offset=0))
    assert (log.data, log.complete) == (b"\x00line\n", True)


def test_a_rack_writes_no_logs_of_what_is_not_its_own(rack: Rack) -> None:
    rack.world.apply(bind={"web": ["n1"]})
    (claim,) = rack.ask("claims", {**ASK, "wait": 0})["items"]
    piece = {"id": claim["id"] + 1000, "attempt": 1, "offset": 0, "data": "eA==", "last": True}
    assert rack.ask("logs", {"items": [piece]}) == {}
    log = rack.world.run(rack.world.store.views.log(claim["id"] + 1000, attempt=1, offset=0))
    assert log.data == b""


async def _apply(world: World) -> None:
    await planning.request_plan(world.store, "d", {"bind": {"web": ["n1"]}}, apply=True, by="test")
    while await planning.compute_next(world.store, world.library):
        pass


def _tasks(world: World) -> list[dict[str, Any]]:
    return list(world.ask("GET", "/api/v1/deployments/d/tasks").json()["items"])
