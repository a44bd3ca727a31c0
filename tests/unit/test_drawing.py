"""Drawings of task graphs: every box and line is there, and boxes stand clear of each other."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.cli.drawing import Picture, picture, role_named, to_dot, to_svg
from rackwright.cli.layout import Box, lay_out
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.task_graph import TaskGraph, task_graph
from rackwright.engine.catalogs import read_texts

TASKS = """
- {id: start, type: stage}
- {id: a, type: script, roles: [web], requires: [start], writes: [x]}
- {id: b, type: script, roles: [db], requires: [start], cross_depends: [{name: a}]}
- {id: "c<&>", type: service, roles: [web], reads: [x], requires: [a, start]}
- {id: never, type: script, roles: [web], condition: false, cross_depends: [{name: b}]}
- {id: web, type: group, roles: [web], requires: [start]}
"""
SVG = "{http://www.w3.org/2000/svg}"
vertices = st.integers(0, 9)
graphs = st.lists(st.tuples(vertices, vertices).filter(lambda edge: edge[0] < edge[1]), max_size=20, unique=True)


def graph_of(text: str = TASKS) -> TaskGraph:
    catalog = read_texts("c", {"tasks.yaml": text})
    return task_graph(catalog.graphs["deploy"], catalog.roles)


def drawn(role: str | None = None) -> Picture:
    graph = graph_of()
    return picture("c: deploy", graph, role=role_named(role, {}, graph) if role else None)


def lines(drawing: Picture) -> set[tuple[str, str, str]]:
    return {(arrow.before, arrow.after, arrow.kind) for arrow in drawing.arrows}


def test_orders_that_others_imply_are_left_out() -> None:
    assert lines(drawn()) == {
        ("start", "a", "same"),
        ("a", "b", "cross"),
        ("a", "c<&>", "same"),
        ("b", "never", "cross"),
        ("start", "web", "same"),
    }


def test_the_tasks_of_one_role_keep_their_order_through_others() -> None:
    assert lines(drawn("web")) == {
        ("start", "a", "same"),
        ("a", "c<&>", "same"),
        ("a", "never", "through"),
        ("start", "web", "same"),
    }


def test_an_unknown_role_is_named_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="no role and no tag webb") as caught:
        drawn("webb")
    assert caught.value.mend == "did you mean web?"


def test_a_graph_with_a_cycle_is_not_drawn() -> None:
    loop = "[{id: a, type: script, roles: [x], requires: [b]}, {id: b, type: script, roles: [x], requires: [a]}]"
    with pytest.raises(InvalidInput, match="cycle"):
        picture("c", graph_of(loop))


def test_the_svg_shows_each_task_in_the_look_of_its_type_with_its_label_inside() -> None:
    root = ElementTree.fromstring(to_svg(drawn()))
    groups = {group[2].text: group for group in root.iter(f"{SVG}g") if len(group) == 4}
    assert {name: group.get("class") for name, group in groups.items()} == {
        "start": "stage",
        "a": "task",
        "b": "task",
        "c<&>": "task",
        "never": "skipped",
        "web": "group",
    }
    for name, group in groups.items():
        assert float(group[1].get("width", 0)) > 7.2 * len(name or "")
    assert len([path for path in root.iter(f"{SVG}path") if len(path)]) == len(drawn().arrows)


def test_the_svg_follows_the_readers_choice_of_dark() -> None:
    assert "prefers-color-scheme: dark" in to_svg(drawn())


def test_dot_names_every_task_and_line() -> None:
    text = to_dot(drawn())
    assert '"start" -> "a";' in text
    assert '"a" -> "b" [style=dashed' in text
    assert r'"c<&>" [label="c<&>\nservice"' in text
    assert text.count(" -> ") == len(drawn().arrows)


def test_an_empty_graph_can_be_drawn() -> None:
    empty = picture("c", TaskGraph({}, {}, (), graph_of().resolution))
    assert ElementTree.fromstring(to_svg(empty)).tag == f"{SVG}svg"
    assert "digraph" in to_dot(empty)


def overlap(one: Box, other: Box) -> bool:
    apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
    apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
    return not (apart_x or apart_y)


def crosses(start: tuple[float, float], end: tuple[float, float], box: Box) -> bool:
    """True when a level piece of a line runs through a box; pieces between columns are in no box's column."""
    if abs(start[1] - end[1]) > 0.01:
        return start[0] < box.x + box.width and end[0] > box.x
    inside = box.y < start[1] < box.y + box.height
    return inside and start[0] < box.x + box.width - 0.01 and end[0] > box.x + 0.01


@given(graphs, st.lists(st.integers(20, 200), min_size=10, max_size=10))
def test_boxes_stand_clear_and_lines_go_right_and_round_them(edges: list[tuple[int, int]], widths: list[int]) -> None:
    sizes = {str(number): (float(width), 30.0) for number, width in enumerate(widths)}
    named = [(str(start), str(end)) for start, end in edges]
    layout = lay_out(sizes, named)
    assert not any(overlap(one, other) for one, other in combinations(layout.boxes.values(), 2))
    assert set(layout.lines) == set(named)
    for (start, end), points in layout.lines.items():
        assert points[0][0] == layout.boxes[start].x + layout.boxes[start].width
        assert points[-1][0] == layout.boxes[end].x
        for one, other in pairwise(points):
            assert one[0] <= other[0]
            assert not any(crosses(one, other, box) for box in layout.boxes.values())
    for box in layout.boxes.values():
        assert box.x + box.width <= layout.width + 0.01
        assert -0.01 <= box.y <= box.y + box.height <= layout.height + 0.01


def test_lines_do_not_cross_where_they_need_not() -> None:
    sizes = {name: (50.0, 30.0) for name in "abcxyz"}
    layout = lay_out(sizes, [("a", "z"), ("b", "y"), ("c", "x")])
    order = [sorted(names, key=lambda name: layout.boxes[name].y) for names in ("abc", "xyz")]
    assert order[1] == [{"a": "z", "b": "y", "c": "x"}[name] for name in order[0]]
