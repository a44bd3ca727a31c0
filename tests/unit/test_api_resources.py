"""What each resource gives and takes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import pytest

from tests.unit.api_world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.site()
    yield world
    world.close()


def _events(text: str) -> list[dict[str, str]]:
    """The fields of each server-sent event."""
    frames = [frame for frame in text.split("\n\n") if frame.startswith("id:")]
    return [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in frames]


def test_one_node_or_many_are_added_and_each_has_its_result(world: World) -> None:
    assert world.ask("POST", "/api/v1/nodes", {"name": "n3", "rack": "r1"}).json()["items"] == [
        {"name": "n3", "error": ""}
    ]
    results = world.ask("POST", "/api/v1/nodes", [{"name": "n4", "rack": "r1"}, {"name": "n1", "rack": "r1"}]).json()
    assert [bool(item["error"]) for item in results["items"]] == [False, True]


def test_a_list_comes_in_pages_that_lead_to_each_other(world: World) -> None:
    world.ask("POST", "/api/v1/nodes", [{"name": f"m{n}", "rack": "r1"} for n in range(5)])
    names, path = [], "/api/v1/nodes?limit=3"
    for _ in range(3):
        response = world.ask("GET", path)
        page = response.json()
        names += [node["name"] for node in page["items"]]
        if page["next"] is None:
            assert "link" not in response.headers
            break
        path = response.headers["link"].split(">")[0].strip("<")
        assert f"cursor={page['next']}" in path
    assert names == ["m0", "m1", "m2", "m3", "m4", "n1", "n2"]


@pytest.mark.parametrize("cursor", ["!", "MQ", "e30", "%00"])
def test_a_cursor_of_something_else_is_refused(world: World, cursor: str) -> None:
    response = world.ask("GET", f"/api/v1/nodes?cursor={cursor}")
    assert (response.status_code, response.json()["where"]) == (400, "query/cursor")


def test_a_node_is_changed_and_forgotten(world: World) -> None:
    change = {"available": False, "address": "127.1.0.9", "facts": {"desired.web.port": 81, "observed.os": "linux"}}
    node = world.ask("PATCH", "/api/v1/nodes/n1", change).json()
    assert (node["available"], node["address"]) == (False, "127.1.0.9")
    assert node["facts"]["desired.web.port"] == 81
    assert node["facts"]["observed.os"] == "linux"
    assert world.ask("DELETE", "/api/v1/nodes/n1").status_code == 204
    assert world.ask("GET", "/api/v1/nodes/n1").status_code == 404


def test_a_fact_of_a_task_is_not_for_people_to_set(world: World) -> None:
    response = world.ask("PATCH", "/api/v1/nodes/n1", {"facts": {"web.conf": 1}})
    assert response.status_code == 400
    assert "belongs to a task" in response.json()["detail"]


def test_an_address_has_one_way_in(world: World) -> None:
    assert world.ask("PATCH", "/api/v1/nodes/n1", {"facts": {"desired.address": "x"}}).status_code == 400
    assert world.ask("PATCH", "/api/v1/nodes/n1", {"address": "127.1.0.2"}).status_code == 409


def test_facts_of_many_nodes_are_changed_in_one_request(world: World) -> None:
    items = [{"name": name, "facts": {"desired.os": {"image": name}}} for name in ("n1", "nobody", "n2")]
    results = world.ask("PATCH", "/api/v1/nodes", {"items": items}).json()["items"]
    assert [(one["name"], bool(one["error"])) for one in results] == [("n1", False), ("nobody", True), ("n2", False)]
    facts = [world.ask("GET", f"/api/v1/nodes/{name}").json()["facts"] for name in ("n1", "n2")]
    assert [each["desired.os"]["image"] for each in facts] == ["n1", "n2"]


def test_one_fact_that_may_not_be_set_keeps_all_of_a_request_out(world: World) -> None:
    items = [{"name": "n1", "facts": {"desired.x": 1}}, {"name": "n2", "facts": {"desired.address": "127.1.0.3"}}]
    assert world.ask("PATCH", "/api/v1/nodes", {"items": items}).status_code == 400
    assert "desired.x" not in world.ask("GET", "/api/v1/nodes/n1").json()["facts"]


def test_a_rack_gets_its_token_once(world: World) -> None:
    response = world.ask("POST", "/api/v1/racks", {"name": "r9"})
    assert response.status_code == 201
    assert response.headers["location"] == "/api/v1/racks/r9"
    assert response.headers["cache-control"] == "no-store"
    assert "token" not in world.ask("GET", "/api/v1/racks/r9").json()
    assert world.ask("POST", "/api/v1/racks", {"name": "r9"}).status_code == 409
    assert world.ask("DELETE", "/api/v1/racks/r9").status_code == 204


def test_a_catalog_shows_its_roles_and_graphs(world: World) -> None:
    catalog = world.ask("GET", "/api/v1/catalogs/tiny").json()
    assert (catalog["roles"], catalog["graphs"]) == (["web"], {"deploy": 2})
    (role,) = world.ask("GET", "/api/v1/roles?catalog=tiny").json()["items"]
    assert (role["name"], role["tags"]) == ("web", ["web"])


def test_a_bad_catalog_is_refused_with_every_fault(world: World) -> None:
    files = {"catalog.yaml": "strict: true", "tasks.yaml": "- {id: a, type: nope, roles: [x]}\n- {type: noop}\n"}
    response = world.ask("POST", "/api/v1/catalogs", {"name": "bad", "files": files})
    assert response.status_code == 400
    assert len(response.json()["faults"]) >= 2


def test_a_plan_is_asked_for_computed_and_applied_as_it_is(world: World) -> None:
    asked = world.ask("POST", "/api/v1/deployments/d/plans", {"changes": {"bind": {"web": ["n1"]}}})
    assert asked.status_code == 202
    place = asked.headers["location"]
    plan = world.ask("GET", f"{place}?wait=5").json()
    assert (plan["state"], plan["deployment"], plan["created_by"]) == ("ready", "d", "boss")
    assert [(row["node"], row["task"]) for row in plan["summary"]["run"]] == [("n1", "install"), ("n1", "start")]
    assert world.ask("GET", "/api/v1/deployments/d/tasks").json()["items"] == []
    assert world.ask("POST", f"{place}/apply", {}).status_code == 202
    assert world.ask("GET", f"{place}?wait=5").json()["state"] == "applied"
    assert world.ask("GET", "/api/v1/deployments/d").json()["tasks"] == {"todo": 1, "blocked": 1}
    assert world.ask("POST", f"{place}/apply", {}).status_code == 409


def test_a_plan_that_nobody_computes_is_told_as_requested(world: World) -> None:
    place = world.ask("POST", "/api/v1/deployments/d/plans", {}).headers["location"]
    response = world.run(world.begin(f"{place}?wait=0.05"))
    assert response.json()["state"] == "requested"


def test_node_tasks_are_read_by_state_scope_and_task(world: World) -> None:
    world.apply(bind={"web": ["n1", "n2"]})
    todo = world.ask("GET", "/api/v1/deployments/d/tasks?state=todo").json()["items"]
    assert {task["task"] for task in todo} == {"install"}
    start = world.ask("GET", "/api/v1/deployments/d/tasks?scope=n1&task=start").json()["items"]
    assert [task["state"] for task in start] == ["blocked"]
    assert world.ask("GET", "/api/v1/deployments/d/tasks?state=lazy").status_code == 400


def test_the_graph_and_the_history_are_read(world: World) -> None:
    world.apply(bind={"web": ["n1"]})
    graph = world.ask("GET", "/api/v1/deployments/d/graph").json()
    assert (len(graph["tasks"]), len(graph["edges"])) == (2, 1)
    world.work()
    history = world.ask("GET", "/api/v1/deployments/d/history").json()["items"]
    assert [(run["task"], run["outcome"]) for run in history] == [("install", "active"), ("start", "active")]


def test_failed_node_tasks_are_retried_and_the_answer_counts_them(world: World) -> None:
    world.apply(bind={"web": ["n1", "n2"]})
    world.work("install")
    assert world.ask("GET", "/api/v1/deployments/d").json()["state"] == "error"
    assert world.ask("POST", "/api/v1/deployments/d/retry", {"nodes": ["n1"]}).json() == {"count": 1}
    assert world.ask("POST", "/api/v1/deployments/d/commit", {}).json() == {"count": 0}


def test_a_deployment_is_stopped_resumed_and_deleted(world: World) -> None:
    world.apply(bind={"web": ["n1"]})
    assert world.ask("POST", "/api/v1/deployments/d/stop", {}).json()["state"] == "stopped"
    assert world.work() == []
    assert world.ask("POST", "/api/v1/deployments/d/resume", {}).json()["state"] == "annealing"
    assert world.ask("DELETE", "/api/v1/deployments/d").status_code == 204
    assert world.ask("GET", "/api/v1/deployments").json()["items"] == []


def test_events_are_read_from_a_place_on(world: World) -> None:
    world.apply(bind={"web": ["n1"]})
    world.work()
    page = world.ask("GET", "/api/v1/events?after=0").json()
    ids = [event["id"] for event in page["items"]]
    assert ids == sorted(set(ids))
    assert page["last"] == ids[-1]
    rest = world.ask("GET", f"/api/v1/events?after={ids[1]}").json()["items"]
    assert [event["id"] for event in rest] == ids[2:]
    newest = world.ask("GET", "/api/v1/events?after=-1&limit=2").json()["items"]
    assert [event["id"] for event in newest] == ids[-2:]


def _stream(world: World, **headers: str) -> str:
    """All that a stream says until it is told to stop."""
    world.call(world.news.stop)
    return world.ask("GET", "/api/v1/events", accept="text/event-stream", **headers).text


def test_a_reader_that_comes_back_misses_no_event_and_sees_none_twice(world: World) -> None:
    world.apply(bind={"web": ["n1"]})
    world.work()
    before = _ids(world)
    headers = {"accept": "text/event-stream", "last_event_id": str(before[1])}
    stream = world.begin("/api/v1/events", **headers)
    world.until(lambda: bool(world.news._bells))
    world.ask("POST", "/api/v1/deployments/d/stop", {})
    world.until(lambda: len(_ids(world)) > len(before))
    world.run(asyncio.sleep(0.5))
    world.call(world.news.stop)
    frames = _events(world.run(stream).text)
    assert [int(frame["id"]) for frame in frames] == _ids(world)[2:]
    assert frames[-1]["event"] == "deployment.stopped"


def test_a_stream_ends_at_once_when_the_process_stops(world: World) -> None:
    assert _stream(world, last_event_id="0") == "retry: 1000\n\n"


def test_a_last_event_id_that_is_no_number_is_refused(world: World) -> None:
    response = world.ask("GET", "/api/v1/events", accept="text/event-stream", last_event_id="x")
    assert response.status_code == 400


def test_a_log_is_read_as_text_and_piece_by_piece(world: World) -> None:
    world.apply(bind={"web": ["n1"]})
    world.work()
    task = world.ask("GET", "/api/v1/deployments/d/tasks?task=install").json()["items"][0]
    world.run(world.store.views.add_log([(task["id"], 1, 0, b"hello ", False), (task["id"], 1, 6, b"you\n", True)]))
    path = "/api/v1/logs?deployment=d&node=n1&task=install"
    assert world.ask("GET", f"{path}&follow=true", accept="text/plain").text == "hello you\n"
    piece = world.ask("GET", f"{path}&offset=6").json()
    assert (base64.b64decode(piece["data"]), piece["complete"], piece["next_offset"]) == (b"you\n", True, 10)
    assert world.ask("GET", path.replace("install", "instal")).json()["mend"].startswith("did you mean install")
    assert world.ask("GET", path.replace("n1", "n9")).status_code == 404


def test_the_log_of_a_task_that_has_not_run_is_empty(world: World) -> None:
    world.apply(bind={"web": ["n1"]})
    path = "/api/v1/logs?deployment=d&node=n1&task=start"
    assert world.ask("GET", path, accept="text/plain").text == ""


def _ids(world: World) -> list[int]:
    return [event["id"] for event in world.ask("GET", "/api/v1/events?after=0").json()["items"]]
