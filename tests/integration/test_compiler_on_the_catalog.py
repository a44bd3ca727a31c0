"""The real catalog, compiled: the values of the original and of the language, on every node, in every scenario."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.expressions import Compiler, Evaluator, Place, expressions_in
from rackwright.engine.expressions.compiler import context_of

DISTINCT_EXPRESSIONS = 143


class Cluster:
    """The new and the old state, and the places that they make."""

    def __init__(self, new: Any, old: Any | None) -> None:
        kept: dict[bool, dict[object, Any]] = {True: {}, False: {}}
        old_nodes = {} if old is None else old["nodes"]
        old_common = None if old is None else old["common"]
        self.places = {
            name: Place(new["common"], node, old_common, old_nodes.get(name), kept[name in old_nodes])
            for name, node in new["nodes"].items()
        }
        self.own = frozenset(key for part in (*new["nodes"].values(), *old_nodes.values()) for key in part)


@pytest.fixture(scope="module")
def tasks(fuel_data: Path) -> tuple[Task, ...]:
    return read_catalog(fuel_data / "tree" / "deployment").graphs["deploy"].tasks


@pytest.fixture(scope="module")
def texts(tasks: tuple[Task, ...]) -> list[str]:
    found = {text: None for task in tasks for _, text in _expressions(task)}
    assert len(found) == DISTINCT_EXPRESSIONS
    return list(found)


def _expressions(task: Task) -> Iterator[tuple[str, str]]:
    template = {"condition": task.condition, "parameters": task.parameters}
    relations = {"cross_depends": task.cross_depends, "cross_depended_by": task.cross_depended_by}
    for path, text in (*expressions_in(template), *expressions_in(relations)):
        yield path.removesuffix("/0"), text


def _exact(value: Any) -> str:
    """A form in which 1 and true differ, and the order of keys counts."""
    return repr(value)


def test_every_expression_is_answered_by_closures(texts: list[str]) -> None:
    compiler = Compiler()
    assert [text for text in texts if not compiler.compile(text, frozenset({"uid", "roles"})).closed] == []
    wide = {text.strip() for text in texts if compiler.paths(text) == ((),)}
    assert {text for text in wide if "len(old($))" not in text} == {"changed($)", "$node.toYaml()", "$common.toYaml()"}
    assert len(wide) == 4


def test_every_result_equals_the_golden_one(tasks: tuple[Task, ...], fuel_data: Path) -> None:
    state = json.loads((fuel_data / "golden" / "initial.state.json").read_bytes())
    results = json.loads((fuel_data / "golden" / "initial.yaql.json").read_bytes())
    cluster, compiler = Cluster(state["new"], None), Compiler()
    named = {(task.id, path): text for task in tasks for path, text in _expressions(task)}
    assert len(results) == 418
    for case in results:
        compiled = compiler.compile(named[case["task"], case["path"]], cluster.own)
        node = cluster.places[str(case["node"]) if case["node"] is not None else "null"]
        assert _exact(compiled.evaluate(node)) == _exact(case["result"])


@pytest.mark.parametrize("size", [5, 20])
@pytest.mark.parametrize("scenario", ["initial", "redeploy", "delta"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_expression_on_every_node_says_what_the_language_says(
    size: int, scenario: str, texts: list[str], root: Path
) -> None:
    cluster, compiler, evaluator = _made(root, size, scenario), Compiler(), Evaluator()
    for text in texts:
        compiled = compiler.compile(text, cluster.own)
        seen: dict[Any, str] = {}
        for place in cluster.places.values():
            said = _outcome(evaluator.evaluate, text, context_of(place))
            assert _outcome(compiled.evaluate, place) == said
            assert seen.setdefault((id(place.shared), *map(place.answer, compiled.readings)), said) == said


def _outcome(evaluate: Callable[..., Any], *arguments: Any) -> str:
    try:
        return _exact(evaluate(*arguments))
    except InvalidInput as error:
        return f"fault: {error}"


def _made(root: Path, size: int, scenario: str) -> Cluster:
    """``delta``: one node more than before, and a host name that changed."""
    path = root.parent / "shared" / "tools" / "fuel_cluster.py"
    if not path.is_file():
        pytest.skip(f"the maker of clusters is not beside this checkout: no file {path}")
    spec = importlib.util.spec_from_file_location("fuel_cluster", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    new, _ = module.build(size)
    if scenario == "initial":
        return Cluster(new, None)
    old = copy.deepcopy(new)
    if scenario == "delta":
        last = str(size)
        del old["nodes"][last]
        del old["common"]["network_metadata"]["nodes"][f"node-{last}"]
        old["common"]["nodes"] = [row for row in old["common"]["nodes"] if row["uid"] != last]
        old["common"]["public_ssl"]["hostname"] = "before.test"
    return Cluster(new, old)
