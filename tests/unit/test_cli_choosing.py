"""Networks, pools, zones, tags and wishes on the command line, over the whole api."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

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


def told(world: World, *arguments: str, code: int = 0) -> list[str]:
    done = world.rackwright(*arguments)
    assert done.exit_code == code, (done.output, done.stderr)
    return done.stderr.splitlines()


def items(world: World, *arguments: str) -> list[dict[str, Any]]:
    done = world.rackwright(*arguments, "-o", "json")
    assert done.exit_code == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


ADD = ("network", "add", "bmc", "--cidr", "10.5.0.0/24", "--rack", "r1=10.5.0.1@eth1", "--static", "10.5.0.2-10.5.0.9")


def test_a_network_is_made_changed_read_and_deleted(world: World) -> None:
    assert told(world, *ADD, "--vlan", "12") == ["network bmc added"]
    told(world, *ADD, code=4)
    told(world, "network", "set", "bmc", "--gateway", "10.5.0.254", "--dns", "10.5.0.3")
    told(world, "network", "reserve", "bmc", "10.5.0.4", "10.5.0.6-10.5.0.8")
    told(world, "network", "reserve", "bmc", "10.5.0.4", "--free")
    (found,) = items(world, "network", "get")
    assert found["racks"] == {"r1": {"address": "10.5.0.1", "interface": "eth1"}}
    assert (found["vlan"], found["gateway"], found["reserved"], found["free"]) == (
        12,
        "10.5.0.254",
        [["10.5.0.6", "10.5.0.8"]],
        4,
    )
    assert "10.5.0.0/24" in world.rackwright("network", "get", "-o", "wide").stdout
    for command in (("network", "describe", "bmc"), ("describe", "network", "bmc"), ("get", "net", "-o", "yaml")):
        assert "eth1" in world.rackwright(*command).stdout
    told(world, "network", "set", "bmc", code=2)
    told(world, "network", "set", "bmc", "--static", "10.6.0.1-10.6.0.2", code=1)
    told(world, "network", "delete", "bmc")
    assert items(world, "network", "get") == []
    told(world, "network", "describe", "bmc", code=3)


def test_nodes_are_given_addresses_and_lose_them(world: World) -> None:
    told(world, *ADD)
    assert told(world, "network", "give", "bmc", "--nic", "ipmi", "--rack", "r1") == ["n1 10.5.0.2", "n2 10.5.0.3"]
    assert told(world, "network", "give", "bmc", "--nic", "ipmi", "n1", "n9", code=6)[0] == "n1 10.5.0.2"
    assert told(world, "network", "release", "bmc", "--nic", "ipmi", "n2") == ["n2 released"]
    told(world, "network", "release", "bmc", "--nic", "ipmi", "n2", code=4)
    facts = world.ask("GET", "/api/v1/nodes/n1").json()["facts"]
    assert facts["desired.nics.ipmi.address"] == "10.5.0.2"


def test_pools_zones_and_tags_group_nodes(world: World) -> None:
    assert told(world, "pool", "add", "lab", "n1", "n2") == ["2 nodes set"]
    assert told(world, "pool", "remove", "n2") == ["1 nodes set"]
    assert told(world, "pool", "add", "lab", "n9", code=4)[0].startswith("error: there is no node n9")
    told(world, "zone", "rack", "east", "r1")
    told(world, "zone", "add", "west", "n2")
    told(world, "tag", "add", "gpu", "--zone", "west")
    assert [(pool["name"], pool["nodes"]) for pool in items(world, "pool", "get")] == [("lab", 1)]
    assert [(zone["name"], zone["nodes"]) for zone in items(world, "zone", "get")] == [("east", 1), ("west", 1)]
    assert [tag["name"] for tag in items(world, "tag", "get")] == ["gpu"]
    listed = {node["name"]: node for node in items(world, "get", "nodes")}
    assert (listed["n1"]["pool"], listed["n1"]["zone"], listed["n2"]["tags"]) == ("lab", "east", ["gpu"])
    assert "gpu" in world.rackwright("get", "nodes").stdout
    found = world.ask("GET", "/api/v1/nodes?zone=west&tags=gpu").json()["items"]
    assert [node["name"] for node in found] == ["n2"]
    told(world, "tag", "remove", "gpu", "--all")
    told(world, "zone", "remove", "n2")
    assert items(world, "tag", "get") == []


def test_rules_tag_nodes(world: World) -> None:
    rule = ("tag", "rule", "add", "big", "$.observed.inventory.cpu.threads >= 16")
    assert told(world, *rule)[0].startswith("big: 2 nodes judged, 0 changed; it failed for 2:")
    told(world, "node", "set", "n1", "--fact", 'observed.inventory.cpu={"threads": 16}')
    (found,) = items(world, "tag", "rule", "get")
    assert (found["nodes"], found["reads"]) == (1, ["observed.inventory.cpu.threads"])
    told(world, "tag", "rule", "delete", "big")
    told(world, "tag", "rule", "delete", "big", code=3)
    told(world, "tag", "rule", "add", "big", "$.os", code=1)


def test_so_many_machines_of_a_kind_are_allocated(world: World) -> None:
    told(world, "node", "accept", "--all")
    told(world, "node", "set", "n1", "--fact", 'observed.inventory.cpu={"threads": 16}')
    told(world, "pool", "add", "x", "--all")
    outlook = told(world, "node", "allocate", "--count", "1", "--cpu", ">=16", "--pool", "x", "--dry-run")
    assert outlook == ["1 can be given: 2 are ready; cpu: 1 pass; pool: 2 pass, 1 with all before"]
    (one,) = items(world, "node", "allocate", "--count", "1", "--cpu", ">=16", "--spread", "rack")
    assert (one["name"], one["word"]) == ("n1", "allocated")
    refused = world.rackwright("node", "allocate", "--count", "2")
    assert refused.exit_code == 4
    assert "2 machines are wished for, 1 can be given: 1 are ready" in refused.stderr
    assert told(world, "node", "allocate", "n2") == ["n2 allocated"]
    told(world, "node", "allocate", "--count", "1", "n2", code=2)
    told(world, "node", "allocate", "--cpu", "1", "n2", code=2)


def test_a_verb_is_said_to_all_that_have_something_in_common(world: World) -> None:
    told(world, "pool", "add", "x", "n1")
    assert told(world, "node", "accept", "--all", "--pool", "x") == ["n1 ready"]
    results = world.rackwright("node", "accept", "--all", "-o", "json")
    assert results.exit_code == 6
    answers = {answer["name"]: answer for answer in json.loads(results.stdout)["items"]}
    assert answers["n2"]["word"] == "ready"
    assert "it is free" in answers["n1"]["error"]
    told(world, "node", "accept", code=2)
    told(world, "node", "accept", "n1", "--all", code=2)
