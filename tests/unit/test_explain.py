"""Asking why: ``plan explain`` and ``yaql``, from the command line through the api to the rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rackwright.cli.main import cli
from rackwright.core.explanation import Reading, compare
from tests.unit.api_world import World

FUEL = {
    "catalog.yaml": "name: fuel\nstrict: false\n",
    "roles.yaml": "- name: web\n",
    "tasks.yaml": """
- id: install
  type: noop
  roles: [web]
  condition: {yaql_exp: "changedAny($.web_config.port, $.names)"}
- {id: start, type: noop, roles: [web], requires: [install], condition: "settings:debug == true"}
- {id: all, type: noop, scope: deployment, cross_depends: [{name: install, role: '*'}], condition: {yaql_exp: $.gone}}
""",
}
DATA: dict[str, Any] = {"web_config": {"port": 80}, "names": ["a", "b"], "debug": True}


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


@pytest.fixture
def site(world: World) -> World:
    """Nodes n1 and n2 with a deployment ``d`` of a catalog that is not strict, planned and not begun."""
    world.site()
    world.ask("POST", "/api/v1/catalogs", {"name": "fuel", "files": FUEL})
    world.ask("POST", "/api/v1/deployments", {"name": "f", "catalog": "fuel"})
    changes = {"bind": {"web": ["n1", "n2"]}, "set": DATA}
    world.ask("POST", "/api/v1/deployments/f/plans", {"changes": changes, "apply": True})
    world.conduct()
    return world


def why(site: World, *arguments: str) -> Any:
    result = site.rackwright("plan", "explain", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def change(site: World, **values: Any) -> None:
    site.ask("POST", "/api/v1/deployments/f/plans", {"changes": {"set": values}, "apply": True})
    site.conduct()


def kinds(found: Any) -> list[str]:
    """What it waits for; the clock of the test's rack stands still."""
    return [obstacle["kind"] for obstacle in found["waits_for"] if obstacle["kind"] != "rack"]


def test_what_has_not_begun_tells_what_it_waits_for(site: World) -> None:
    install = why(site, "n1", "install", "-d", "f")
    assert (install["state"], install["verdict"], install["runs"]) == ("todo", "waits", 0)
    assert install["why"] == "the process of the rack r1 has never been heard of"
    condition = install["condition"]
    assert condition == {"text": "changedAny($.web_config.port, $.names)", "value": True, "error": ""}
    assert install["last_run"] is None
    start = why(site, "n1", "start", "-d", "f")
    assert (start["state"], kinds(start)) == ("blocked", ["parent"])
    assert start["waits_for"][0]["what"] == "install on n1 is todo"
    assert start["condition"]["text"] == "settings:debug == true"


def test_what_was_read_stands_beside_what_was_recorded(site: World) -> None:
    first = {read["place"]: read for read in why(site, "n1", "install", "-d", "f")["reads"]}
    assert first["names"] == {
        "place": "names", "read": "node:desired.names", "change": "unrecorded", "now": ["a", "b"],
    }  # fmt: skip
    site.work()
    change(site, names=["a"])
    again = why(site, "n1", "install", "-d", "f")
    assert (again["state"], again["runs"], again["condition"]["value"]) == ("todo", 1, True)
    reads = {read["place"]: (read["change"], read.get("recorded"), read.get("now")) for read in again["reads"]}
    assert reads["names"] == ("different", ["a", "b"], ["a"])
    assert reads["web_config.port"] == ("same", 80, 80)
    change(site, names=None)
    gone = {read["place"]: read for read in why(site, "n1", "install", "-d", "f")["reads"]}["names"]
    assert gone["change"] == "gone"
    assert "now" not in gone


def test_what_is_done_says_so_and_why_a_skip_was_one(site: World) -> None:
    site.work()
    change(site, debug=False)
    site.work()
    done = why(site, "n1", "install", "-d", "f")
    assert (done["verdict"], done["condition"]["value"], done["last_run"]["outcome"]) == ("active", False, "active")
    skipped = why(site, "n1", "start", "-d", "f")
    assert (skipped["state"], skipped["verdict"], skipped["why"]) == ("active", "skipped", "its condition is false")
    failing = why(site, "f", "all")
    assert (failing["state"], failing["verdict"], failing["condition"]["value"]) == ("error", "error", None)
    assert "there is no key 'gone'" in failing["condition"]["error"]


def test_everything_that_can_keep_a_task_is_told(site: World) -> None:
    site.ask("POST", "/api/v1/deployments/f/stop", {})
    site.ask("PATCH", "/api/v1/nodes/n1", {"alive": False, "available": False})
    assert kinds(why(site, "n1", "install", "-d", "f")) == ["stopped", "node", "node"]
    site.ask("POST", "/api/v1/deployments/f/resume", {})
    site.ask("PATCH", "/api/v1/nodes/n1", {"alive": True, "available": True})
    held = site.run(site._claim())
    assert {(item.scope, item.task) for item in held} == {("n1", "install"), ("n2", "install")}
    assert why(site, "n1", "install", "-d", "f")["verdict"] == "running"
    assert kinds(why(site, "n1", "start", "-d", "f")) == ["parent", "busy"]


def test_a_closed_barrier_is_told_by_its_name_with_those_that_it_waits_for(world: World) -> None:
    world.site()
    names = [f"m{number}" for number in range(4)]
    world.ask("POST", "/api/v1/nodes", [{"name": name, "rack": "r1"} for name in names])
    tasks = """
- {id: one, type: noop, roles: [web]}
- {id: two, type: noop, roles: [db], cross_depends: [{name: one, role: web}]}
"""
    files = {"catalog.yaml": "name: b\n", "roles.yaml": "- {name: web}\n- {name: db}\n", "tasks.yaml": tasks}
    world.ask("POST", "/api/v1/catalogs", {"name": "b", "files": files})
    world.ask("POST", "/api/v1/deployments", {"name": "b", "catalog": "b"})
    bind = {"web": ["n1", "n2", *names], "db": ["n1", "n2", *names]}
    world.ask("POST", "/api/v1/deployments/b/plans", {"changes": {"bind": bind}, "apply": True})
    world.conduct()
    found = why(world, "m3", "two")
    assert (found["deployment"], found["verdict"]) == ("b", "waits")
    told = [obstacle["what"] for obstacle in found["waits_for"]]
    assert "one on m0 is todo" in told
    assert "barrier" in kinds(found)
    assert any("is closed: 6 are not active" in what for what in told)


def test_the_deployment_may_be_left_out_where_only_one_has_the_task(site: World) -> None:
    assert why(site, "n2", "start")["deployment"] == "f"
    site.apply(bind={"web": ["n2"]})
    result = site.rackwright("plan", "explain", "n2", "start")
    assert result.exit_code == 1
    assert "name one of them: d, f" in result.stderr
    assert why(site, "n2", "start", "-d", "d")["deployment"] == "d"


@pytest.mark.parametrize(
    ("line", "word"),
    [("n1 instal", "did you mean install"), ("n9 install", "nothing is called"), ("n1 install -d nowhere", "nowhere")],
)
def test_what_is_not_there_is_not_found(site: World, line: str, word: str) -> None:
    result = site.rackwright("plan", "explain", *line.split())
    assert result.exit_code == 3
    assert word in result.stderr


def test_people_get_a_table_with_marks(site: World) -> None:
    site.work()
    change(site, names=["a"])
    text = site.rackwright("plan", "explain", "n1", "install", "-d", "f").stdout
    assert "changedAny($.web_config.port, $.names)  ->  true" in text
    (line,) = [line for line in text.splitlines() if "desired.names" in line]
    assert line.split()[:3] == ["*", "names", "node:desired.names"]


def test_places_are_compared_by_fingerprint_and_shown_where_values_are_known() -> None:
    now = Reading(fingerprints={"a": "1", "b": "2"}, values={"a": 1, "b": 2})
    before = Reading(fingerprints={"a": "0", "c": "3"}, values={"c": 3})
    assert [(read.place, read.change) for read in compare({"d": "node:desired.d"}, now, before)] == [
        ("a", "different"), ("b", "new"), ("c", "gone"), ("d", "same"),
    ]  # fmt: skip


def yaql(site: World, *arguments: str) -> Any:
    result = site.rackwright("yaql", *arguments, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["value"]


def test_an_expression_is_evaluated_over_the_deployments_data_at_a_node(site: World) -> None:
    site.ask(
        "POST",
        "/api/v1/deployments/f/plans",
        {"changes": {"set_nodes": {"n2": {"web_config": {"port": 81}}}}, "apply": True},
    )
    site.conduct()
    assert yaql(site, "$.web_config.port", "--node", "n1") == 80
    assert yaql(site, "$.web_config.port", "--node", "n2", "-d", "f") == 81
    assert yaql(site, "$.roles", "--node", "n1") == ["web"]
    assert yaql(site, "$.node.address", "--node", "n1") == "127.1.0.1"
    assert yaql(site, "$.keys().orderBy($).take(2)", "--node", "f") == ["debug", "deployment"]
    assert site.rackwright("yaql", "$.names.len()", "--node", "n1").stdout == "2\n"


def test_old_data_is_what_the_named_task_recorded(site: World) -> None:
    site.work()
    assert yaql(site, "changed($.names)", "--node", "n1") is True, "nothing is old without a task"
    assert yaql(site, "changed($.names)", "--node", "n1", "--task", "install") is False
    change(site, names=["b", "c"])
    assert yaql(site, "added($.names)", "--node", "n1", "--task", "install") == ["c"]
    assert yaql(site, "deleted($.names)", "--node", "n1", "--task", "install", "-d", "f") == ["a"]


@pytest.mark.parametrize(
    ("expression", "word"),
    [("$.nothing.at.all", "there is no key"), ("$.a.(", "cannot be read"), ("fly($)", "unknown")],
)
def test_an_expression_that_fails_ends_with_1_and_says_why(site: World, expression: str, word: str) -> None:
    result = site.rackwright("yaql", expression, "--node", "n1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert word in result.stderr


def test_an_expression_needs_a_deployment_and_an_admin(site: World) -> None:
    site.apply(bind={"web": ["n2"]})
    result = site.rackwright("yaql", "1", "--node", "n2")
    assert result.exit_code == 1
    assert "name a deployment: d, f" in result.stderr
    assert site.rackwright("yaql", "1", "--node", "n1", token=site.reader).exit_code == 5
    assert site.rackwright("plan", "explain", "n1", "install", token=site.reader).exit_code == 0


def offline(state: Path, *arguments: str) -> Any:
    return CliRunner().invoke(cli, ["yaql", *arguments, "--state", str(state)], env={"RACKWRIGHT_DATA": "/nonexistent"})


def test_a_state_file_needs_no_server(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    new = {"common": {"a": {"x": 1, "y": 2}}, "nodes": {"1": {"a": {"y": 3}, "uid": "1"}, "2": {"uid": "2"}}}
    old = {"common": {"a": {"x": 0, "y": 2}}, "nodes": {"1": {"a": {"y": 3}}}}
    state.write_text(json.dumps({"new": new, "old": old}))
    assert json.loads(offline(state, "$.a", "--node", "1").stdout) == {"x": 1, "y": 3}
    assert offline(state, "[changed($.a.x), changed($.a.y)]", "--node", "1").stdout == "[true, false]\n"
    assert offline(state, "changed($.a.y)", "--node", "2").stdout == "true\n", "it was not there"
    assert offline(state, "$.roles", "--node", "master").stdout == '["master"]\n'
    missing = offline(state, "$.a", "--node", "3")
    assert (missing.exit_code, "the state has no node 3" in missing.stderr) == (3, True)
    assert offline(state, "$.b", "--node", "1").exit_code == 1
    assert offline(state, "$.a", "--node", "1", "--task", "t").exit_code == 2
    state.write_text("{}")
    assert offline(state, "$.a", "--node", "1").exit_code == 1
