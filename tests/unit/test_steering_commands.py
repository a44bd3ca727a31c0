"""The words that steer a deployment, from the command line through the api to the store."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.unit.api_world import TINY, World


@pytest.fixture
def site() -> Iterator[World]:
    """A rack, three nodes and the deployment d of the tiny catalog, planned but not carried out."""
    world = World()
    world.ask("POST", "/api/v1/racks", {"name": "r1"})
    world.ask("POST", "/api/v1/nodes", [{"name": f"n{i}", "rack": "r1"} for i in range(3)])
    world.ask("POST", "/api/v1/catalogs", {"name": "tiny", "files": TINY})
    world.ask("POST", "/api/v1/deployments", {"name": "d", "catalog": "tiny"})
    assert world.rackwright("deployment", "apply", "d", "--bind", "web=n0,n1,n2", "--yes").exit_code == 0
    yield world
    world.close()


def reasons(site: World) -> list[str]:
    found = site.ask("GET", "/api/v1/deployments/d").json()
    return [found["state"], *found["reasons"][:1]]


def test_a_pause_holds_a_deployment_until_it_is_resumed(site: World) -> None:
    assert site.rackwright("deployment", "pause", "d", "--for", "2h").stderr == "d paused\n"
    state, why = reasons(site)
    assert (state, why.startswith("held: paused until ")) == ("held", True)
    assert site.rackwright("deployment", "resume", "d").stderr == "d resumed\n"
    assert reasons(site)[0] == "annealing"
    assert site.rackwright("deployment", "pause", "d", "--for", "0s").exit_code == 1


def test_a_window_is_set_and_taken_back(site: World) -> None:
    said = site.rackwright("deployment", "window", "d", "Mon 01:00-01:01", "--zone", "Europe/Berlin")
    assert said.exit_code == 0
    shown = site.ask("GET", "/api/v1/deployments/d").json()["steering"]
    assert (shown["windows"], shown["time_zone"]) == (["Mon 01:00-01:01"], "Europe/Berlin")
    assert site.rackwright("deployment", "window", "d", "never").exit_code == 1
    assert site.rackwright("deployment", "window", "d").exit_code == 2
    assert site.rackwright("deployment", "window", "d", "--none").stderr == "d: not held\n"
    assert site.ask("GET", "/api/v1/deployments/d").json()["steering"] is None


def test_waves_are_told_promoted_and_ended(site: World) -> None:
    said = site.rackwright("deployment", "waves", "d", "--canary", "n2", "--tolerance", "1", "--manual")
    assert said.stderr == "d: wave 1 of 2: 1 of 3 nodes\n"
    assert "wave 1 of 2" in site.rackwright("describe", "deployment", "d").stdout
    assert site.rackwright("deployment", "waves", "d", "--promote").exit_code == 0
    assert site.rackwright("deployment", "waves", "d", "--forgive").exit_code == 4
    assert site.rackwright("deployment", "waves", "d", "--steps", "x").exit_code == 1
    assert site.rackwright("deployment", "waves", "d", "--canary", "n9").exit_code == 1
    assert site.rackwright("deployment", "waves", "d").exit_code == 2
    assert site.rackwright("deployment", "waves", "d", "--none").stderr == "d: all nodes at once\n"


def test_limits_of_a_deployment_a_rack_and_the_site(site: World) -> None:
    assert site.rackwright("deployment", "limit", "d", "2").stderr == "d: at most 2 at the same time\n"
    assert site.ask("GET", "/api/v1/deployments/d").json()["steering"]["limit"] == 2
    assert site.rackwright("deployment", "limit", "d", "none").stderr == "d: no limit\n"
    assert site.rackwright("rack", "limit", "r1", "5").exit_code == 0
    assert site.rackwright("rack", "limit", "@site", "500").stderr == "@site: at most 500 at the same time\n"
    assert site.rackwright("rack", "limit", "r9", "5").exit_code == 3
    assert site.rackwright("rack", "limit", "r1", "many").exit_code == 2


def test_a_rehearsal_and_an_abort(site: World) -> None:
    assert site.rackwright("deployment", "noop", "d", "on").exit_code == 0
    assert reasons(site)[1].startswith("rehearsal")
    assert site.rackwright("deployment", "noop", "d", "off").exit_code == 0
    assert site.rackwright("deployment", "abort", "d", "--yes").stderr == "d aborted\n"
    assert site.ask("GET", "/api/v1/deployments/d").json()["tasks"] == {"proposed": 6}


def test_a_plan_for_some_tasks_tells_what_is_left_out(site: World) -> None:
    assert site.rackwright("deployment", "abort", "d", "--yes").exit_code == 0
    site.ask("POST", "/api/v1/nodes", [{"name": "n3", "rack": "r1"}])
    said = site.rackwright("deployment", "plan", "d", "--bind", "web=n3", "--task", "install/n3")
    assert "1 to run" in said.stdout
    assert "Left out, until it is committed:" in said.stdout
    said = site.rackwright("deployment", "plan", "d", "--bind", "web=n3", "--subgraph", "..install", "-o", "json")
    assert '"task": "start"' in said.stdout
    assert site.rackwright("deployment", "plan", "d", "--subgraph", "install").exit_code == 2
    assert "no instance of the graph" in site.rackwright("deployment", "plan", "d", "--task", "x").stderr
    said = site.rackwright("deployment", "apply", "d", "--graph", "deploy", "--graph", "verify", "--yes")
    assert said.exit_code == 0
    assert reasons(site)[1] == "then: verify"


def test_a_rehearsal_tells_all_that_is_to_come_in_order_and_moves_nothing(site: World) -> None:
    shown = site.rackwright("deployment", "rehearse", "d", "-o", "json")
    assert shown.exit_code == 0, shown.output
    told = [(one["task"], one["scope"], one["would"]) for one in json.loads(shown.stdout)["items"]]
    assert told[:3] == [("install", f"n{i}", "run") for i in range(3)]
    assert [task for task, _, _ in told[3:]] == ["start"] * 3
    rows = site.ask("GET", "/api/v1/deployments/d/tasks").json()["items"]
    assert {row["state"] for row in rows} == {"todo", "blocked"}


def test_a_rehearsal_comes_in_pages(site: World) -> None:
    first = site.ask("GET", "/api/v1/deployments/d/rehearsal?limit=4").json()
    rest = site.ask("GET", f"/api/v1/deployments/d/rehearsal?limit=4&cursor={first['next']}").json()
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (4, 2, None)
    assert site.ask("GET", "/api/v1/deployments/d/rehearsal?cursor=rubbish").status_code == 400
