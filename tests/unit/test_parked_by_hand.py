"""A person lets a parked task go on: by the command line and by the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rackwright.core.messages import ClaimRequest, Result, Results
from rackwright.engine import claims, intake
from tests.unit.api_world import World

NOW = 1e9


@pytest.fixture
def site() -> Iterator[World]:
    world = World()
    world.site()
    world.apply(bind={"web": ["n1"]})
    yield world
    world.close()


def park(site: World) -> int:
    """``install`` on n1, parked; gives its id."""
    known = site.run(site.store.views.rack_secret("r1"))
    assert known is not None
    request = ClaimRequest(incarnation="me", capacity=1)
    (claim,) = site.run(claims.claim(site.store, site.library, known[0], request, NOW, 30.0))
    result = Result(
        id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="parked", reason="waits for hands",
        until=3600.0, facts={"web.conf": "said"},
    )  # fmt: skip
    site.run(intake.take_results(site.store, site.library, known[0], Results("me", [result]), NOW))
    return claim.id


def test_a_parked_task_goes_on_by_the_command_line_and_it_is_noted_who_said_so(site: World) -> None:
    park(site)
    result = site.rackwright("task", "continue", "n1", "install", "-d", "d")
    assert (result.exit_code, result.stderr + result.stdout) == (0, "install on n1: active\n")
    assert site.work() == [("n1", "start")]
    (change,) = [one for one in site.ask("GET", "/api/v1/changes").json()["items"] if one["kind"] == "task.continued"]
    assert (change["by"], change["deployment"], change["scope"]) == ("boss", "d", "n1")


def test_a_parked_task_fails_for_the_reason_that_a_person_gives(site: World) -> None:
    park(site)
    result = site.rackwright("task", "continue", "n1", "install", "-d", "d", "--failed", "the rail is bent")
    assert (result.exit_code, result.stderr + result.stdout) == (0, "install on n1: failed\n")
    (task,) = site.ask("GET", "/api/v1/deployments/d/tasks?task=install").json()["items"]
    assert (task["state"], task["reason"]) == ("error", "the rail is bent")
    (node,) = site.ask("GET", "/api/v1/nodes?state=error").json()["items"]
    assert node["name"] == "n1"
    assert site.ask("GET", "/api/v1/fleet").json() == {"tasks": {"error": 1, "blocked": 1}}


def test_what_is_not_parked_is_refused_with_the_right_code(site: World) -> None:
    id = park(site)
    path = f"/api/v1/node-tasks/{id}/continue"
    assert site.ask("POST", path, {}, token=site.reader).status_code == 403
    assert site.ask("POST", path, {"attempt": 7}).status_code == 409
    assert site.ask("POST", path, {"attempt": 1}).json() == {"outcome": "active"}
    assert site.ask("POST", path, {}).status_code == 409
    assert site.ask("POST", "/api/v1/node-tasks/999999/continue", {}).status_code == 404
    assert site.rackwright("task", "continue", "n1", "install", "-d", "d").exit_code == 3
