"""Verbs on the command line, over the whole api: answers, exit codes, waiting."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from rackwright.engine import library
from tests.integration.metal_site import FILES
from tests.unit.api_world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(library, "shipped", dict)
    world = World()
    world.site()
    world.run(world.library.add(world.store, "metal", FILES))
    yield world
    world.close()


def test_machines_are_accepted_and_listed_by_where_they_stand(world: World) -> None:
    done = world.rackwright("node", "accept", "n1", "n2")
    assert (done.exit_code, done.stderr.splitlines()) == (0, ["n1 ready", "n2 ready"])
    assert world.rackwright("node", "reserve", "n2").exit_code == 0
    listed = world.rackwright("get", "machines", "--state", "ready", "-o", "json")
    assert [item["name"] for item in json.loads(listed.stdout)["items"]] == ["n1"]
    assert "reserved" in world.rackwright("get", "machines").stdout
    described = world.rackwright("describe", "machine", "n1").stdout
    assert "possible now" in described
    assert "commission, test, reserve" in described
    found = world.ask("GET", "/api/v1/nodes?allocation=reserved&machines=true").json()["items"]
    assert [node["name"] for node in found] == ["n2"]


def test_some_that_cannot_follow_make_a_partial_failure_and_all_of_them_a_conflict(world: World) -> None:
    world.rackwright("node", "accept", "n1")
    some = world.rackwright("node", "reserve", "n1", "n2")
    assert some.exit_code == 6
    assert "n1 reserved" in some.stderr
    assert "error: n2: reserve: it is a plain node" in some.stderr
    assert world.rackwright("node", "reserve", "n1").exit_code == 4


def test_what_erases_disks_asks_first(world: World) -> None:
    world.rackwright("node", "accept", "n1")
    refused = world.rackwright("node", "erase", "n1")
    assert refused.exit_code != 0
    assert "is lost. Go on?" in refused.stderr
    assert world.rackwright("node", "erase", "n1", "--yes").exit_code == 0


def test_waiting_ends_with_the_activity(world: World) -> None:
    world.rackwright("node", "accept", "n1")
    world.rackwright("node", "hold", "n1")
    threading.Timer(0.2, world.work).start()
    done = world.rackwright("node", "test", "n1", "--wait", "--timeout", "60s")
    assert (done.exit_code, done.stderr.splitlines()) == (0, ["n1 testing", "n1 ready"])


def test_waiting_for_too_long_is_told(world: World) -> None:
    world.rackwright("node", "accept", "n1")
    late = world.rackwright("node", "test", "n1", "--set", "cpu=5", "--wait", "--timeout", "0s")
    assert late.exit_code == 124
    assert "not through after 0 seconds: n1" in late.stderr
    facts = world.ask("GET", "/api/v1/nodes/n1").json()["facts"]
    assert facts["machine.activity"]["parameters"] == {"cpu": 5}


def test_machines_are_chosen_by_their_labels(world: World) -> None:
    nobody = world.rackwright("node", "accept", "-l", "row=nowhere")
    assert (nobody.exit_code, nobody.stderr.strip()) == (0, "there is no such machine")
    assert world.rackwright("node", "accept", "n1", "-l", "row=1").exit_code == 2
    assert world.rackwright("node", "accept").exit_code == 2


def test_an_unknown_verb_is_told_with_those_that_there_are(world: World) -> None:
    answer = world.ask("POST", "/api/v1/nodes:batch", {"verb": "explode", "names": ["n1"]})
    assert answer.status_code == 404
    assert "accept, commission" in answer.json()["mend"]
    assert {verb["name"] for verb in world.ask("GET", "/api/v1/verbs").json()["items"]} >= {"deploy", "retry"}
