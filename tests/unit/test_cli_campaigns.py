"""Campaigns and budgets on the command line, over the whole api."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import click
import pytest

from rackwright.cli import campaign_options
from rackwright.engine import campaigns, library
from tests.integration.metal_site import FILES
from tests.unit.api_world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(library, "shipped", dict)
    world = World()
    world.site()
    world.run(world.library.add(world.store, "metal", FILES))
    world.rackwright("node", "accept", "n1", "n2")
    yield world
    world.close()


def test_a_verb_in_waves_tells_who_waits_and_how_far_it_is(world: World) -> None:
    done = world.rackwright("node", "deploy", "n1", "n2", "--yes", "--waves", "1,100%", "--manual")
    assert done.exit_code == 0, done.stderr
    first, second = done.stderr.splitlines()
    assert first == "n1 deploying"
    assert second.startswith("n2 ready, waits for its turn in campaign ")
    (listed,) = json.loads(world.rackwright("campaign", "list", "-o", "json").stdout)["items"]
    assert (listed["verb"], listed["waves"], listed["waiting"], listed["asked_by"]) == ("deploy", [1, 1], 1, "boss")
    assert "wave 1 of 2: 1 of 2 nodes" in world.rackwright("campaign", "show", str(listed["id"])).stdout
    assert world.rackwright("campaign", "promote", str(listed["id"])).exit_code == 0
    assert world.rackwright("campaign", "forgive", str(listed["id"])).exit_code == 4
    cancelled = world.rackwright("campaign", "cancel", str(listed["id"]))
    assert "machines that waited: 1" in cancelled.stderr
    assert world.rackwright("campaign", "show", str(listed["id"])).exit_code == 3


def test_waiting_lasts_until_the_last_turn_is_over(world: World) -> None:
    def work() -> None:
        for _ in range(3):
            world.work()
            world.run(campaigns.keep(world.store, world.library, world.services.clock()))

    threading.Timer(0.2, work).start()
    done = world.rackwright("node", "test", "n1", "n2", "--max-per", "rack=1", "--wait", "--timeout", "60s")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[-2:] == ["n1 ready", "n2 ready"]


def test_a_verb_tells_how_it_would_go_and_does_nothing(world: World) -> None:
    world.rackwright("budget", "set", "rack", "1")
    asked = ("node", "test", "n1", "n2", "n9", "--waves", "50%", "--pause", "1m", "--plan")
    told = world.rackwright(*asked)
    assert told.exit_code == 0, told.stderr
    assert told.stdout.splitlines()[:2] == ["test: 2 machines in 2 waves (1, 1)", "  rack=r1: 2 machines"]
    assert "Expected: 60 s" in told.stdout
    assert "never ran before, taken for nothing: burn-in" in told.stdout
    assert "there is no node n9" in told.stderr
    assert json.loads(world.rackwright(*asked, "-o", "json").stdout)["forecast"]["seconds"] == 60.0
    assert json.loads(world.rackwright("campaign", "list", "-o", "json").stdout)["items"] == []


def test_where_machines_stand_is_said_of_their_rack(world: World) -> None:
    assert world.rackwright("rack", "set", "r1", "--fact", 'desired.rack.feed=["A","B"]').exit_code == 0
    world.rackwright("budget", "set", "feed=B", "1")
    told = json.loads(world.rackwright("node", "test", "n1", "n2", "--plan", "-o", "json").stdout)
    assert told["places"] == {"feed=B": 2}
    assert world.rackwright("rack", "set", "r1", "--fact", "desired.rack.feed=null").exit_code == 0
    told = json.loads(world.rackwright("node", "test", "n1", "n2", "--plan", "-o", "json").stdout)
    assert told["places"] == {}
    assert world.rackwright("rack", "set", "r9", "--fact", "desired.rack.feed=A").exit_code == 3


def test_budgets_are_set_listed_and_lifted(world: World) -> None:
    assert world.rackwright("budget", "set", "feed", "20").exit_code == 0
    assert world.rackwright("budget", "set", "feed=A", "5").exit_code == 0
    items = json.loads(world.rackwright("budget", "list", "-o", "json").stdout)["items"]
    assert items == [{"kind": "feed", "place": "", "amount": 20}, {"kind": "feed", "place": "A", "amount": 5}]
    assert "each" in world.rackwright("budget", "list").stdout
    assert world.rackwright("budget", "set", "feed", "none").exit_code == 0
    assert len(json.loads(world.rackwright("budget", "list", "-o", "json").stdout)["items"]) == 1
    assert world.rackwright("budget", "set", "plug", "5").exit_code == 1


def test_options_make_a_request() -> None:
    how = {"waves": "1, 10%,100%", "canary": "n1,n2", "tolerance": "2", "max_per": ("feed=20", "uplink=sw1=3")}
    assert campaign_options.said(how) == {
        "waves": {"steps": [1, "10%", "100%"], "canary": ["n1", "n2"], "tolerance": "2"},
        "max_per": {"feed": 20, "uplink=sw1": 3},
    }
    assert campaign_options.said({}) == {}


@pytest.mark.parametrize("how", [{"tolerance": "1"}, {"max_per": ("feed=x",)}, {"max_per": ("feed",)}])
def test_options_that_make_no_sense_are_refused(how: dict[str, object]) -> None:
    with pytest.raises(click.UsageError):
        campaign_options.said(how)
