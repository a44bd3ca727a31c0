"""Looking back through the API and the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rackwright.cli.gantt import Bar, draw
from tests.unit.api_world import World


@pytest.fixture
def site() -> Iterator[World]:
    world = World()
    world.site()
    world.apply(bind={"web": ["n1", "n2"]})
    world.work()
    yield world
    world.close()


def test_a_change_tells_the_token_the_address_and_the_request_that_asked_for_it(site: World) -> None:
    answer = site.ask("POST", "/api/v1/deployments/d/stop", {}, X_Request_Id="r-17")
    assert answer.status_code == 200
    newest = site.ask("GET", "/api/v1/deployments/d/changes").json()["items"][0]
    assert (newest["by"], newest["request"], newest["kind"]) == ("boss", "r-17", "deployment.stopped")
    assert newest["address"]


def test_a_fact_that_a_person_sets_is_a_change_from_the_old_value_to_the_new(site: World) -> None:
    for port in (81, 82):
        site.ask("PATCH", "/api/v1/nodes/n1", {"facts": {"desired.web.port": port}})
    newest = site.ask("GET", "/api/v1/nodes/n1/changes").json()["items"][0]
    assert (newest["before"], newest["after"]) == ({"desired.web.port": 81}, {"desired.web.port": 82})
    kinds = [change["kind"] for change in site.ask("GET", "/api/v1/changes").json()["items"]]
    assert kinds[:2] == ["facts", "facts"]
    assert "catalog.added" in kinds


@pytest.mark.parametrize("path", ["/changes", "/deployments/d/changes", "/attempts/n1"])
def test_the_past_comes_in_pages_that_hold_everything_once(site: World, path: str) -> None:
    whole = site.ask("GET", f"/api/v1{path}").json()["items"]
    found, cursor = [], ""
    while cursor is not None:
        page = site.ask("GET", f"/api/v1{path}?limit=1{cursor and '&cursor=' + cursor}").json()
        found += page["items"]
        cursor = page["next"]
    assert found == whole
    assert len(whole) >= 2
    assert site.ask("GET", f"/api/v1{path}?cursor=bm9uc2Vuc2U").status_code == 400


def test_an_attempt_tells_what_it_wrote_and_who_carried_it_out(site: World) -> None:
    (attempt,) = site.ask("GET", "/api/v1/attempts/n1?task=install").json()["items"]
    assert (attempt["outputs"], attempt["incarnation"]) == ({"web.conf": {"value": "said"}}, "me")
    assert site.ask("GET", "/api/v1/attempts/n9").status_code == 404


def test_a_history_shows_who_asked_for_what(site: World) -> None:
    site.rackwright("deployment", "stop", "d")
    lines = site.rackwright("deployment", "history", "d").stdout.splitlines()
    assert lines[0].split() == ["TIME", "BY", "KIND", "TEXT"]
    assert "boss   deployment.stopped   the deployment was stopped" in lines[1]
    assert any("plan.applied" in line for line in lines)
    assert site.rackwright("deployment", "history", "dd").exit_code == 3


def test_a_timeline_draws_each_attempt_where_they_are_few(site: World) -> None:
    lines = site.rackwright("deployment", "timeline", "d", "--since", "10000d").stdout.splitlines()
    assert sorted(line.split("|")[0].strip() for line in lines[1:]) == [
        "install on n1", "install on n2", "start on n1", "start on n2",
    ]  # fmt: skip
    found = json.loads(site.rackwright("deployment", "timeline", "d", "--since", "10000d", "-o", "json").stdout)
    assert [(lane["task"], lane["outcomes"]) for lane in found["lanes"]] == [
        ("install", {"active": 2}), ("start", {"active": 2}),
    ]  # fmt: skip


def test_a_critical_path_adds_up_running_and_waiting(site: World) -> None:
    result = site.rackwright("deployment", "critical-path", "d", "--since", "10000d")
    assert (result.exit_code, "in all for 4 node tasks" in result.stdout) == (0, True)
    answer = site.ask("GET", "/api/v1/deployments/d/critical-path?since=0").json()
    assert answer["waited"] + answer["ran"] == sum(step["waited"] + step["ran"] for step in answer["steps"])
    nothing = site.rackwright("deployment", "critical-path", "d", "--since", "1s")
    assert (nothing.stdout, "nothing ran" in nothing.stderr) == ("", True)


def test_the_past_of_a_node_holds_what_ran_and_what_was_changed(site: World) -> None:
    site.rackwright("node", "set", "n1", "--unavailable")
    items = json.loads(site.rackwright("node", "timeline", "n1", "-o", "json").stdout)["items"]
    assert {(item["entry"], item.get("task") or item.get("kind")) for item in items} == {
        ("attempt", "install"), ("attempt", "start"), ("change", "node.added"), ("change", "node.set"),
    }  # fmt: skip
    assert "available of the node changed" in site.rackwright("node", "timeline", "n1").stdout


def test_the_attempts_of_a_task_are_listed_with_what_they_wrote(site: World) -> None:
    lines = site.rackwright("task", "attempts", "n1", "install").stdout.splitlines()
    assert len(lines) == 2
    assert "web.conf" in lines[1]


def test_bars_stand_where_their_times_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "45")
    bars = [Bar("a", 0.0, 5.0, "one"), Bar("bb", 5.0, 10.0, "two"), Bar("c", 2.5, None, "")]
    lines = [line.split("|")[1] for line in draw(bars, 10.0)[1:]]
    width = len(lines[0])
    assert {len(line) for line in lines} == {width}
    assert lines[0].rstrip() == "#" * (width // 2)
    assert lines[1].lstrip() == "#" * (width // 2)
    assert lines[2].endswith("#>")
    assert draw([], 0.0) == []
