"""``rackwright serialize``: its forms of output, and what it says to wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from rackwright.commands.serialize import serialize_command as command

TASKS = """\
- id: start
  type: stage
- id: hosts
  type: noop
  roles: [web]
  requires: [start]
  parameters:
    line: {yaql_exp: "$.uid + ' ' + $.name"}
- id: idle
  type: noop
  roles: [web]
  condition: {yaql_exp: "$.wanted"}
  requires: [hosts]
  parameters: {value: {yaql_exp: "$.absent"}}
- id: group
  type: group
  roles: [web]
  fault_tolerance: 1
"""
NODES = [{"uid": "n1", "tags": ["web"]}, {"uid": "n2", "tags": ["web"], "rack": "r1"}]
STATE: dict[str, Any] = {
    "new": {"common": {"name": "c", "wanted": False}, "nodes": {"n1": {"uid": "n1"}, "n2": {"uid": "n2"}}},
    "old": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalog").mkdir()
    _give(tmp_path)
    return tmp_path


def _give(folder: Path, *, tasks: str = TASKS, nodes: Any = NODES, state: Any = STATE) -> None:
    (folder / "catalog" / "tasks.yaml").write_text(tasks, encoding="utf-8")
    for name, value in (("nodes.json", nodes), ("state.json", state)):
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def _call(folder: Path, *more: str) -> Result:
    paths = {"--catalog": "catalog", "--nodes": "nodes.json", "--state": "state.json"}
    arguments = [word for option, path in paths.items() for word in (option, str(folder / path))]
    return CliRunner().invoke(command, [*arguments, *more])


def test_the_own_form_tells_every_instance_with_its_edges(folder: Path) -> None:
    result = _call(folder, "--edges", "full")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [(i["node"], i["task"], i["type"]) for i in told["instances"]] == [
        (None, "start", "skipped"),
        ("n1", "hosts", "noop"),
        ("n2", "hosts", "noop"),
        ("n1", "idle", "skipped"),
        ("n2", "idle", "skipped"),
    ]
    assert told["instances"][2]["parameters"] == {"line": "n2 c"}
    assert told["instances"][2]["requires"] == [{"task": "start", "node": None}]
    assert told["instances"][4]["requires"] == [{"task": "hosts", "node": "n2"}]
    assert told["fault_tolerance_groups"] == [{"name": "group", "node_ids": ["n1", "n2"], "fault_tolerance": 1}]


def test_relations_are_told_once_and_not_for_every_instance(folder: Path) -> None:
    told = json.loads(_call(folder).stdout)
    assert all("requires" not in instance for instance in told["instances"])
    both = ["n1", "n2"]
    assert told["relations"] == [
        {"kind": "all", "before": {"task": "start", "nodes": [None]}, "after": {"task": "hosts", "nodes": both}},
        {"kind": "each", "before": {"task": "hosts", "nodes": both}, "after": {"task": "idle", "nodes": both}},
    ]
    assert (told["graph"], told["mode"], told["running"]) == ("deploy", "run", 2)


def test_only_the_named_tasks_run_and_the_others_keep_their_place(folder: Path) -> None:
    told = json.loads(_call(folder, "--task", "idle", "--edges", "full").stdout)
    assert {i["type"] for i in told["instances"]} == {"skipped"}
    assert told["instances"][4]["requires"] == [{"task": "hosts", "node": "n2"}]
    assert told["instances"][2]["parameters"] is None
    assert "the graph has no task ghost" in _call(folder, "--task", "ghost").stderr


def test_only_a_part_of_the_graph_runs(folder: Path) -> None:
    def running(*more: str) -> list[tuple[str, str]]:
        instances = json.loads(_call(folder, *more).stdout)["instances"]
        return [(i["node"], i["task"]) for i in instances if i["type"] != "skipped"]

    _give(folder, tasks=TASKS.replace("$.wanted", "true").replace("$.absent", "1"))
    assert running("--subgraph", "idle:") == [("n1", "idle"), ("n2", "idle")]
    assert running("--subgraph", "start:idle/n2") == [("n2", "hosts"), ("n2", "idle")]
    assert running("--subgraph", "hosts/n1:hosts", "--subgraph", ":hosts/n2") == [("n1", "hosts"), ("n2", "hosts")]
    assert "no instance of the graph is called ghost" in _call(folder, "--subgraph", "ghost:").stderr
    assert "write START:END" in _call(folder, "--subgraph", "hosts").stderr


def test_force_forgets_that_anything_ever_ran(folder: Path) -> None:
    tasks = TASKS.replace("$.wanted", "changed($.name)").replace("$.absent", "$.name")
    _give(folder, tasks=tasks, state={**STATE, "old": STATE["new"]})
    assert json.loads(_call(folder).stdout)["running"] == 2
    assert json.loads(_call(folder, "--force").stdout)["running"] == 4


def test_several_graphs_are_a_sequence(folder: Path) -> None:
    check = folder / "catalog" / "graphs" / "check"
    check.mkdir(parents=True)
    (check / "tasks.yaml").write_text("- {id: look, type: noop, roles: [web]}\n", encoding="utf-8")
    told = json.loads(_call(folder, "--graph", "deploy", "--graph", "check").stdout)
    assert [(graph["graph"], graph["running"]) for graph in told["sequence"]] == [("deploy", 2), ("check", 2)]


def test_what_has_no_effect_cannot_fail_the_run(folder: Path) -> None:
    told = json.loads(_call(folder, "--mode", "noop").stdout)
    assert told["mode"] == "noop"
    assert not any(instance["fail_on_error"] for instance in told["instances"])
    assert json.loads(_call(folder, "--mode", "dry-run", "--format", "fuel-json").stdout)["dry_run"] is True


@pytest.mark.parametrize("policy", ["serial", "processes"])
def test_every_policy_prints_the_same(policy: str, folder: Path) -> None:
    assert _call(folder, "--policy", policy).stdout == _call(folder).stdout


def test_a_fault_in_parameters_of_a_task_that_does_not_run_is_a_warning(folder: Path) -> None:
    result = _call(folder)
    assert result.exit_code == 0
    assert "warning: tasks.yaml:9: task idle on node n1" in result.stderr
    assert "there is no key 'absent'" in result.stderr
    assert "the task does not run" in result.stderr


def test_yaml_and_json_say_the_same(folder: Path) -> None:
    assert yaml.safe_load(_call(folder, "--format", "yaml").stdout) == json.loads(_call(folder).stdout)


def test_fuel_json_gives_every_task_its_working_folder(folder: Path) -> None:
    told = json.loads(_call(folder, "--format", "fuel-json").stdout)
    assert told["graph"]["n1"][0]["parameters"] == {"cwd": "/", "line": "n1 c"}
    assert list(told["graph"]) == ["n1", "n2", "null"]


def test_an_old_state_is_seen_by_tasks_and_not_by_stages(folder: Path) -> None:
    tasks = TASKS.replace("$.wanted", "changed($.name)").replace("$.absent", "$.name")
    _give(folder, tasks=tasks, state={**STATE, "old": STATE["new"]})
    assert [i["type"] for i in json.loads(_call(folder).stdout)["instances"]][3:] == ["skipped", "skipped"]
    _give(folder, tasks=tasks)
    assert [i["type"] for i in json.loads(_call(folder).stdout)["instances"]][3:] == ["noop", "noop"]


def test_a_node_without_old_data_counts_as_new(folder: Path) -> None:
    tasks = TASKS.replace("$.wanted", "changed($.name)").replace("$.absent", "$.name")
    old = {"common": STATE["new"]["common"], "nodes": {"n1": {"uid": "n1"}}}
    _give(folder, tasks=tasks, state={**STATE, "old": old})
    types = {i["node"]: i["type"] for i in json.loads(_call(folder).stdout)["instances"] if i["task"] == "idle"}
    assert types == {"n1": "skipped", "n2": "noop"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nodes": "[{"}, ["nodes.json", "Input data was truncated"]),
        ({"nodes": {"uid": "n1"}}, ["nodes.json", "Expected `array`, got `object`"]),
        ({"nodes": [{"uid": "n1", "tag": []}]}, ["nodes.json", "unknown field `tag`", "$[0]"]),
        ({"nodes": [{"uid": 1, "tags": []}]}, ["nodes.json", "Expected `str`, got `int`", "$[0].uid"]),
        ({"nodes": [NODES[0], NODES[0]]}, ["nodes.json", "$[1]", "the node n1 is there twice"]),
        ({"nodes": [{"uid": "master", "tags": []}]}, ["no node can be called 'master'"]),
        ({"nodes": [*NODES, {"uid": "n3", "tags": ["web"]}]}, ["no data of 1 nodes: n3", "new.nodes"]),
        ({"state": {"new": {"common": {}}}}, ["state.json", "missing required field `nodes`", "$.new"]),
        ({"state": {**STATE, "older": 1}}, ["state.json", "unknown field `older`"]),
        ({"tasks": TASKS.replace("$.name", "$.nme")}, ["tasks.yaml:3", "task hosts on node n1", "$.nme", "'nme'"]),
        ({"tasks": TASKS.replace("$.name", "$.name +")}, ["task hosts on node n1", "it ends too early"]),
        ({"tasks": TASKS.replace("noop", "nope")}, ["nope", "tasks.yaml:4", "tasks.yaml:10"]),
        ({"tasks": TASKS + "  tasks: [nothing]\n"}, ["the group group adds the task nothing"]),
        ({"tasks": "- id: ["}, ["tasks.yaml"]),
    ],
)
def test_wrong_input_ends_with_1_and_says_where(given: dict[str, Any], said: list[str], folder: Path) -> None:
    _give(folder, **given)
    result = _call(folder)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert [part for part in said if part not in result.stderr] == []


@pytest.mark.parametrize("missing", ["nodes.json", "state.json", "catalog"])
def test_a_missing_file_or_folder_is_a_fault_of_usage(missing: str, folder: Path) -> None:
    (folder / missing).rename(folder / "elsewhere")
    result = _call(folder)
    assert result.exit_code == 2
    assert missing in result.stderr


def test_an_unknown_graph_is_named_with_those_that_there_are(folder: Path) -> None:
    result = _call(folder, "--graph", "paint")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no graph paint" in result.stderr
    assert "deploy" in result.stderr


def test_an_output_that_cannot_be_written_is_an_error(folder: Path) -> None:
    result = _call(folder, "-o", str(folder / "nowhere" / "graph.json"))
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory" in result.stderr
