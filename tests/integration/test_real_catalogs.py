"""The real Fuel catalog loads unchanged, in its own order, and lints with true warnings only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rackwright.cli.drawing import picture, to_svg
from rackwright.core.task_graph import task_graph
from rackwright.engine.catalogs import examine_catalog, find, lint_catalog, read_catalog, shipped
from rackwright.engine.catalogs.stack import stack

SIZES = {"delete": ("deletion", 5), "provision": ("provision", 10), "net-verification": ("net-verification", 14)}


def test_the_tasks_stand_in_the_order_of_the_golden_list(fuel_data: Path) -> None:
    golden = json.loads((fuel_data / "golden" / "tasks.json").read_text(encoding="utf-8"))
    catalog = read_catalog(fuel_data / "tree" / "deployment")
    assert list(catalog.graphs) == ["deploy"]
    tasks = catalog.graphs["deploy"].tasks
    assert [task.id for task in tasks] == [task["id"] for task in golden]
    assert [task.type for task in tasks] == [task["type"] for task in golden]
    assert [task.version for task in tasks] == [task["version"] for task in golden]
    assert [task.parameters for task in tasks] == [task.get("parameters") for task in golden]


def test_the_whole_tree_holds_every_graph(fuel_data: Path) -> None:
    catalog = read_catalog(fuel_data / "tree")
    sizes = {kind: len(graph.tasks) for kind, graph in catalog.graphs.items()}
    assert sizes == {"deploy": 204} | {kind: size for kind, (_, size) in SIZES.items()}


@pytest.mark.parametrize("kind", SIZES)
def test_a_graph_alone_is_the_graph_in_the_tree(fuel_data: Path, kind: str) -> None:
    folder, size = SIZES[kind]
    (alone,) = read_catalog(fuel_data / "tree" / "graphs" / folder).graphs.values()
    within = read_catalog(fuel_data / "tree").graphs[kind]
    assert alone.type == kind
    assert len(alone.tasks) == size
    assert "$.pending_" in alone.node_filter
    assert set(alone.outcome) == {"success", "error", "stop"}
    assert (alone.node_filter, alone.outcome) == (within.node_filter, within.outcome)
    assert [task.id for task in alone.tasks] == [task.id for task in within.tasks]


def test_what_becomes_of_nodes_is_read(fuel_data: Path) -> None:
    outcome = read_catalog(fuel_data / "tree").graphs["delete"].outcome
    assert outcome["success"] == {"status": "deleted", "pending_deletion": False}
    assert outcome["stop"] == {"status": "stopped"}


def test_lint_of_the_real_catalog_finds_what_is_truly_odd_in_it_and_no_more(fuel_data: Path) -> None:
    read = examine_catalog(fuel_data / "tree")
    assert {(found.severity, found.code) for found in read.findings} == {("warning", "repeated-key")}
    assert len(read.findings) == 4
    found = [
        (found.severity, found.code, str(found.place).rpartition("/examples/")[2])
        for found in lint_catalog(read.catalog)
    ]
    assert found == [
        ("warning", "dead-relation", "sahara/tasks.yaml:25"),
        ("warning", "dead-relation", "swift/tasks.yaml:6"),
        ("warning", "unknown-name", "graphs/net-verification/tasks.yaml:69"),
        ("warning", "unknown-name", "graphs/provision/tasks.yaml:105"),
    ]


def test_the_real_graph_can_be_drawn(fuel_data: Path) -> None:
    catalog = read_catalog(fuel_data / "tree" / "deployment")
    drawn = picture("deploy", task_graph(catalog.graphs["deploy"], catalog.roles))
    assert len(drawn.tasks) == 204
    assert to_svg(drawn).count("<rect x=") >= 204


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_catalog_is_strict_and_without_a_finding(name: str) -> None:
    # What is laid on another catalog is whole only together with it.
    below = {"messaging_on_machines": ["messaging"]}.get(name, [])
    catalog = stack([find(layer) for layer in (*below, name)])
    assert catalog.strict
    assert lint_catalog(catalog) == ()
