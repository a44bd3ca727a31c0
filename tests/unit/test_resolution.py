"""Who carries which tag, and whom a selector means."""

from __future__ import annotations

import pytest

from rackwright.core.catalog import Role, Selector, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.resolution import Member, Resolution, matching, natural, rack_id, selector_of, tags_of

MEMBERS = (
    Member("10", ("compute",), "r1"),
    Member("1", ("primary-controller",), "r1"),
    Member("2", ("controller",), "r2"),
    Member("3", ("cinder", "compute"), "r2"),
    Member("4", ()),
)


@pytest.mark.parametrize(
    ("selector", "nodes"),
    [
        ("*", ("1", "2", "3", "10")),
        ("compute", ("3", "10")),
        (("compute",), ("3", "10")),
        (("controller", "cinder"), ("2", "3")),
        (("*",), ()),
        ("master", ("master",)),
        (("master", "cinder"), ("3", "master")),
        ("/c/", ("2", "3", "10")),
        ("/(primary-)?controller/", ("1", "2")),
        ("/^(primary-)?controller$/", ("1", "2")),
        ("/inder/", ()),
        ("controller", ("2",)),
        ("nobody", ()),
        ((), ()),
    ],
)
def test_a_selector_means_these_nodes(selector: Selector, nodes: tuple[str, ...]) -> None:
    assert Resolution(MEMBERS).nodes(selector) == nodes


def test_a_wrong_regex_is_shown_with_its_fault() -> None:
    with pytest.raises(InvalidInput, match=r"/\(/ is wrong"):
        Resolution(MEMBERS).nodes("/(/")


def test_racks_are_those_of_the_nodes_each_once() -> None:
    assert Resolution(MEMBERS).racks(("1", "2", "3", "4", "master")) == (rack_id("r1"), rack_id("r2"))


def test_numbers_in_names_count_as_numbers() -> None:
    assert sorted(["n10", "n2", "n2b", "10", "9", "a"], key=natural) == ["9", "10", "a", "n2", "n2b", "n10"]
    assert natural(None) < natural("0")


def test_a_name_between_slashes_matches_from_the_start() -> None:
    assert matching("/ab/", ["abc", "cab", "ab"]) == ("abc", "ab")
    assert matching("/", ["/", "a"]) == ("/",)


@pytest.mark.parametrize(
    ("task", "selector"),
    [
        (Task(id="t", type="noop", tags=("a",), roles=("b",), groups=("c",)), ("a",)),
        (Task(id="t", type="noop", roles="*", groups=("c",)), "*"),
        (Task(id="t", type="noop", tags=(), groups=("c",)), ("c",)),
        (Task(id="t", type="noop"), None),
    ],
)
def test_tags_beat_roles_and_roles_beat_groups(task: Task, selector: Selector | None) -> None:
    assert selector_of(task) == selector


ROLES = {
    "controller": Role(name="controller", tags=("controller", "database"), primary=("controller", "database")),
    "compute": Role(name="compute"),
    "db": Role(name="db", tags=("database",), primary=("database",)),
}


def test_a_role_without_tags_brings_its_own_name() -> None:
    assert tags_of({"1": ["compute"]}, ROLES) == {"1": ("compute",)}


def test_the_lowest_node_becomes_primary_and_loses_the_plain_tag() -> None:
    bound = {"10": ["controller"], "9": ["controller", "compute"]}
    assert tags_of(bound, ROLES) == {
        "9": ("compute", "primary-controller", "primary-database"),
        "10": ("controller", "database"),
    }


def test_a_primary_stays_while_it_has_the_tag() -> None:
    bound = {"1": ["controller"], "2": ["controller"]}
    tags = tags_of(bound, ROLES, primaries={"controller": "2", "database": "3"})
    assert tags == {"1": ("controller", "primary-database"), "2": ("database", "primary-controller")}


def test_a_ready_node_is_preferred_and_one_that_leaves_is_never_taken() -> None:
    bound = {"1": ["db"], "2": ["db"], "3": ["db"]}
    assert tags_of(bound, ROLES, ready=["3"])["3"] == ("primary-database",)
    left = tags_of(bound, ROLES, primaries={"database": "1"}, leaving=["1"])
    assert left == {"1": ("database",), "2": ("primary-database",), "3": ("database",)}


def test_without_candidates_nobody_is_primary() -> None:
    assert tags_of({"1": ["db"]}, ROLES, leaving=["1"]) == {"1": ("database",)}


def test_an_unknown_role_is_refused_with_node_and_known_names() -> None:
    with pytest.raises(InvalidInput, match="contoller") as caught:
        tags_of({"7": ["contoller"]}, ROLES)
    assert caught.value.where == "node 7"
    assert "controller" in caught.value.mend
