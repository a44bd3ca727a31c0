"""Moving and giving away nodes on the command line: what holds them is told, and let go where that is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rackwright.engine import library
from tests.integration.metal_site import FILES
from tests.unit.api_world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """n1 and n2 in r1, both machines; n1 is bound in d. The rack r2 is empty."""
    monkeypatch.setattr(library, "shipped", dict)
    world = World()
    world.site()
    world.run(world.library.add(world.store, "metal", FILES))
    world.ask("POST", "/api/v1/racks", {"name": "r2"})
    world.rackwright("node", "accept", "n1", "n2")
    world.apply(bind={"web": ["n1"]})
    yield world
    world.close()


def rack_of(world: World, name: str) -> str:
    return str(world.ask("GET", f"/api/v1/nodes/{name}").json()["rack"])


def test_a_node_is_moved_and_may_get_its_address_with_it(world: World) -> None:
    moved = world.rackwright("node", "move", "n2", "--rack", "r2", "--address", "127.2.0.2")
    assert (moved.exit_code, moved.stderr.strip()) == (0, "n2 stands in r2")
    assert rack_of(world, "n2") == "r2"
    assert world.ask("GET", "/api/v1/nodes/n2").json()["address"] == "127.2.0.2"
    assert world.rackwright("node", "move", "n1", "n2", "--rack", "r2", "--address", "127.2.0.2").exit_code == 2


def test_what_holds_a_node_is_told(world: World) -> None:
    refused = world.rackwright("node", "move", "n1", "--rack", "r2")
    assert refused.exit_code == 4
    assert "it is bound in the deployment d" in refused.stderr
    assert world.ask("GET", "/api/v1/nodes/n1/deployments").json()["items"] == [{"name": "d"}]
    assert rack_of(world, "n1") == "r1"


def test_by_force_a_node_is_unbound_first(world: World) -> None:
    moved = world.rackwright("node", "move", "n1", "--rack", "r2", "--force")
    assert (moved.exit_code, moved.stderr.splitlines()) == (0, ["n1 unbound in d", "n1 stands in r2"])
    assert world.ask("GET", "/api/v1/nodes/n1/deployments").json()["items"] == []


def test_a_machine_that_is_held_is_retired_only_by_force(world: World) -> None:
    refused = world.rackwright("node", "retire", "n1")
    assert refused.exit_code == 4
    assert "bound in the deployment d (unbind it there first, or add --force)" in refused.stderr
    retired = world.rackwright("node", "retire", "--rack", "r1", "--force")
    assert (retired.exit_code, retired.stderr.splitlines()) == (0, ["n1 unbound in d", "n1 retired", "n2 retired"])


def test_by_force_too_a_machine_stays_bound_that_cannot_follow(world: World) -> None:
    refused = world.rackwright("node", "release", "n1", "--force", "--yes")
    assert (refused.exit_code, "it is free" in refused.stderr) == (4, True)
    assert world.ask("GET", "/api/v1/nodes/n1/deployments").json()["items"] == [{"name": "d"}]
