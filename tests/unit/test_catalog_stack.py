"""Layers of catalogs: a later one adds, and replaces in place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.catalog import Catalog, Graph, Role, Task
from rackwright.core.errors import InvalidInput
from rackwright.engine.catalogs import stack

names = st.sampled_from("abcdef")
versions = st.sampled_from(["1.0.0", "2.0.0", "3.0.0"])


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Graph]:
    found = {}
    for kind in draw(st.lists(st.sampled_from(["deploy", "delete"]), unique=True)):
        ids = draw(st.lists(names, unique=True))
        tasks = tuple(Task(id=name, type="stage", version=draw(versions)) for name in ids)
        found[kind] = Graph(type=kind, tasks=tasks, node_filter=draw(st.sampled_from(["", "$.a", "$.b"])))
    return found


catalogs = st.builds(
    Catalog,
    name=names,
    graphs=graphs(),
    roles=st.lists(st.builds(Role, name=names, description=names)).map(lambda roles: {r.name: r for r in roles}),
    files=st.dictionaries(names, names),
    strict=st.booleans(),
)


def order(catalog: Catalog, kind: str) -> list[str]:
    return [task.id for task in catalog.graphs[kind].tasks]


@given(catalogs)
def test_a_catalog_on_itself_is_itself(catalog: Catalog) -> None:
    assert stack([catalog]) == catalog
    assert stack([catalog, catalog]) == catalog


@given(catalogs, catalogs, catalogs)
def test_layers_may_be_merged_in_any_grouping(one: Catalog, two: Catalog, three: Catalog) -> None:
    assert stack([stack([one, two]), three]) == stack([one, stack([two, three])]) == stack([one, two, three])


@given(catalogs, catalogs)
def test_a_layer_keeps_the_order_of_what_is_below_it_and_appends_its_own(lower: Catalog, upper: Catalog) -> None:
    merged = stack([lower, upper])
    for kind, graph in merged.graphs.items():
        below = order(lower, kind) if kind in lower.graphs else []
        above = order(upper, kind) if kind in upper.graphs else []
        assert order(merged, kind) == below + [name for name in above if name not in below]
        of_upper = {task.id: task for task in upper.graphs[kind].tasks} if kind in upper.graphs else {}
        assert all(task == of_upper.get(task.id, task) for task in graph.tasks)
    assert merged.files == {**lower.files, **upper.files}
    assert merged.roles == {**lower.roles, **upper.roles}
    assert (merged.name, merged.strict) == (lower.name, lower.strict)


def test_no_layer_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no catalog"):
        stack([])
