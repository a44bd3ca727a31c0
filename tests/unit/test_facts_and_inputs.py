"""Facts, their one writer, and what a task sees of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core import addresses
from rackwright.core.catalog import Catalog, Read, Role, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.facts import PEOPLE, WORLD, check_writer, flatten, lookup, nest, touches
from rackwright.core.inputs import (
    Inputs,
    Surroundings,
    concerned,
    data,
    defaults_of,
    derive,
    digest,
    fingerprint,
    fingerprints,
    resolve,
)


def reader(scope: Any = "node", **reads: Read) -> Task:
    return Task(id="t", type="noop", reads=reads, scope=scope)


def seen(task: Task, **around: Any) -> dict[str, Any]:
    return resolve(task, Surroundings(**{"own": {}, **around})).values


@pytest.mark.parametrize(
    ("path", "writer"),
    [("desired.nats.port", WORLD), ("desired.nats.port", "task x"), ("observed.os", PEOPLE), ("nats.config", PEOPLE)],
)
def test_a_fact_is_refused_from_a_writer_that_does_not_own_it(path: str, writer: str) -> None:
    with pytest.raises(InvalidInput, match="may not write"):
        check_writer(path, writer)


def test_owners_may_write_their_facts() -> None:
    check_writer("desired.nats.port", PEOPLE)
    check_writer("observed.os", WORLD)
    check_writer("nats.config", "task x")


def test_a_read_sees_a_fact_a_tree_of_facts_or_a_place_within_one() -> None:
    facts = {"a.b": {"c": 1}, "d.x": 2, "d.y.z": 3}
    assert lookup(facts, "a.b") == (True, {"c": 1})
    assert lookup(facts, "a.b.c") == (True, 1)
    assert lookup(facts, "d") == (True, {"x": 2, "y": {"z": 3}})
    assert lookup(facts, "a.b.q") == (False, None)
    assert lookup(facts, "e") == (False, None)


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(paths, st.integers(), max_size=6), paths, paths, st.integers())
def test_a_change_that_a_read_sees_is_one_that_touches_it(
    facts: dict[str, int], read: str, path: str, value: int
) -> None:
    before = lookup(facts, read)
    after = lookup({**facts, path: value}, read)
    if before != after:
        assert touches(read, path)


def test_nest_and_flatten_are_each_others_way_back() -> None:
    tree = {"nats": {"port": 1, "deep": {"x": 2}}, "dns": {"zone": "z"}}
    assert flatten(tree, "desired.") == {"desired.nats.port": 1, "desired.nats.deep": {"x": 2}, "desired.dns.zone": "z"}
    assert nest([("a.b", 1), ("a.c", 2)]) == {"a": {"b": 1, "c": 2}}


def test_the_nearest_desired_value_wins() -> None:
    task = reader(port=Read("desired.nats.port"))
    defaults, far, near, own = ({"desired.nats.port": number} for number in range(4))
    assert seen(task, defaults=defaults) == {"port": 0}
    assert seen(task, defaults=defaults, deployments=[{}, far]) == {"port": 1}
    assert seen(task, defaults=defaults, deployments=[near, far]) == {"port": 2}
    assert seen(task, defaults=defaults, deployments=[near, far], own=own) == {"port": 3}


def test_a_tree_of_attributes_takes_each_leaf_from_the_nearest() -> None:
    task = reader(nats=Read("desired.nats"))
    values = seen(task, defaults={"desired.nats.a": 0, "desired.nats.b": 0}, own={"desired.nats.b": 1})
    assert values == {"nats": {"a": 0, "b": 1}}


def test_a_fact_of_a_task_is_not_inherited() -> None:
    task = reader(x=Read("made.x"))
    inputs = resolve(task, Surroundings(own={}, deployments=[{"made.x": 1}]))
    assert inputs.missing == ("node:made.x",)


def test_an_optional_read_of_nothing_is_null_and_not_missing() -> None:
    inputs = resolve(reader(x=Read("made.x", optional=True)), Surroundings(own={}))
    assert (inputs.values, inputs.missing) == ({"x": None}, ())


def test_a_task_of_the_deployment_gathers_from_members_with_a_tag() -> None:
    task = reader("deployment", seeds=Read("desired.address", scope="nodes", tags=("seed",)))
    nodes = {"n1": (("seed",), {"desired.address": "127.0.0.1"}), "n2": (("nats",), {"desired.address": "127.0.0.2"})}
    assert seen(task, nodes=nodes) == {"seeds": {"n1": "127.0.0.1"}}


def print_of(known: bytes, inputs: Inputs) -> bytes:
    return fingerprint(known, fingerprints(inputs.places), inputs.missing)


def test_fingerprints_differ_with_the_task_and_what_it_reads_and_nothing_else() -> None:
    task = reader(x=Read("made.x"))
    inputs = resolve(task, Surroundings(own={"made.x": {"b": 1, "a": 2}}))
    same = resolve(task, Surroundings(own={"made.x": {"a": 2, "b": 1}, "made.y": 3}))
    other = resolve(task, Surroundings(own={"made.x": {"a": 2, "b": 2}}))
    known = digest(task, {})
    assert print_of(known, inputs) == print_of(known, same)
    assert print_of(known, inputs) != print_of(known, other)
    assert print_of(known, inputs) != print_of(known, resolve(task, Surroundings(own={})))
    edited = Task(id="t", type="noop", reads=task.reads, parameters={"x": 1})
    assert print_of(known, inputs) != print_of(digest(edited, {}), inputs)


def test_a_task_differs_when_a_text_that_it_names_differs() -> None:
    task = Task(id="t", type="script", parameters={"script": "scripts/a.sh"})
    assert digest(task, {"scripts/a.sh": "one", "scripts/b.sh": "x"}) == digest(task, {"scripts/a.sh": "one"})
    assert digest(task, {"scripts/a.sh": "one"}) != digest(task, {"scripts/a.sh": "two"})


def test_a_change_on_one_node_concerns_that_node_and_whoever_gathers() -> None:
    """The blast radius rule: a node's fact reaches the node's own tasks, and else only tasks that gather."""
    own = Task(id="own", type="noop", reads={"a": Read("desired.address")})
    gather = Task(id="gather", type="noop", scope="deployment", reads={"a": Read("desired.address", scope="nodes")})
    shared = Task(id="shared", type="noop", reads={"s": Read("seeds", scope="deployment")})
    tasks = [own, gather, shared]
    assert [(t.id, how) for t, how in concerned(tasks, "node", "desired.address")] == [
        ("own", "own"),
        ("gather", "gathered"),
    ]
    assert [(t.id, how) for t, how in concerned(tasks, "deployment", "seeds")] == [("shared", "all")]
    assert [(t.id, how) for t, how in concerned(tasks, "deployment", "desired.address")] == [
        ("own", "all"),
        ("gather", "all"),
    ]


def test_defaults_of_roles_are_facts() -> None:
    schema = {"properties": {"port": {"type": "integer", "default": 4222}, "name": {"type": "string"}}}
    assert defaults_of(Catalog(name="c", roles={"nats": Role(name="nats", attributes=schema)})) == {
        "desired.nats.port": 4222
    }


def derived(*paths: str, scope: Any = "node", **reads: Read) -> Task:
    bare = reader(scope, **reads)
    return reader(scope, **reads, **derive(bare, [tuple(path.split(".")) if path else () for path in paths]))


def test_a_path_in_an_expression_is_an_optional_read_of_what_is_desired() -> None:
    assert derived("debug", "nova.cores").reads == {
        "$.debug": Read("desired.debug", optional=True),
        "$.nova.cores": Read("desired.nova.cores", optional=True),
    }
    assert derived("debug", scope="rack").reads["$.debug"].scope == "deployment"


def test_a_read_is_derived_once_and_only_for_what_nothing_else_gives() -> None:
    task = derived("nova", "nova.cores", "node.name", "rack", "uid", "roles", "port", "port.x", port=Read("made.port"))
    assert sorted(task.reads) == ["$.nova", "port"]


def test_the_whole_is_the_inputs_of_a_task_that_declares_some_and_else_everything_desired() -> None:
    assert sorted(derived("", "a", port=Read("made.port")).reads) == ["port"]
    assert derived("", "a").reads == {"$": Read("desired", optional=True)}


def test_what_a_derived_read_finds_stands_at_its_path_and_what_it_does_not_find_is_absent() -> None:
    task = derived("nova.cores", "nova.gone", "debug", "far.away")
    around = Surroundings(
        own={"desired.nova.cores": 4}, deployments=[{"desired.nova": {"cores": 2}, "desired.debug": 0}]
    )
    inputs = resolve(task, around)
    assert (inputs.values, inputs.missing) == ({}, ())
    assert data(inputs.places, itself=False) == {"nova": {"cores": 4}, "debug": 0}


def test_what_is_above_an_absent_place_is_taken_to_be_there() -> None:
    inputs = resolve(derived("keystone.token.off", "debug"), Surroundings(own={}))
    assert (inputs.places, inputs.absent) == ({}, ("debug", "keystone.token.off"))
    assert data(inputs.places, itself=False, absent=inputs.absent) == {"keystone": {"token": {}}}
    assert fingerprints(inputs.places, inputs.absent) == {"debug": "absent", "keystone.token.off": "absent"}


def test_a_path_that_ends_early_at_a_list_gives_the_list() -> None:
    inputs = resolve(derived("nodes.name", "nodes.ip"), Surroundings(own={"desired.nodes": [{"name": "a"}]}))
    assert data(inputs.places, itself=False) == {"nodes": [{"name": "a"}]}
    assert resolve(derived("a.b.c"), Surroundings(own={"desired.a": {"b": {}}})).places == {}


def test_the_whole_is_every_desired_value_from_the_nearest() -> None:
    around = Surroundings(own={"desired.a.x": 1, "made.y": 2}, deployments=[{"desired.a.x": 0, "desired.b": [3]}])
    node = {"name": "n1", "tags": ["web"]}
    whole = data({**resolve(derived(""), around).places, "node": node}, itself=True)
    assert whole == {
        "a": {"x": 1}, "b": [3], "node": node, "uid": "n1", "name": "n1", "fqdn": "n1", "roles": ["web"],
    }  # fmt: skip


@given(st.dictionaries(paths, st.integers(), max_size=6), st.lists(paths, max_size=4), paths, st.integers())
def test_a_change_that_expressions_see_is_one_that_concerns_the_task(
    facts: dict[str, int], read: list[str], path: str, value: int
) -> None:
    task = derived(*read)
    before, after = (
        resolve(task, Surroundings(own={f"desired.{key}": v for key, v in leaves.items()})).places
        for leaves in (facts, {**facts, path: value})
    )
    if before != after:
        assert concerned([task], "node", f"desired.{path}") == [(task, "own")]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("fd00:0:0::0:1", "fd00::1"),
    ],
)
def test_an_address_is_kept_in_its_shortest_form(said: str, kept: str) -> None:
    assert addresses.written(said, "n1") == kept


@pytest.mark.parametrize(
    "said", ["10.0.0.01", "10.0.0.256", "10.0.0", "10.0.0.1/24", "fe80::1%eth0", "", 7, None, "१.0.0.1"]
)
def test_what_is_no_address_is_refused(said: object) -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        addresses.written(said, "n1")


def test_each_kind_of_address_has_its_fact() -> None:
    paths = [addresses.path_of(nic, address) for nic in ("", "e1") for address in ("10.0.0.1", "fd00::1")]
    assert paths == ["desired.address", "desired.address6", "desired.nics.e1.address", "desired.nics.e1.address6"]
    assert all(map(addresses.holds_address, paths))
    assert not any(map(addresses.holds_address, ("desired.nics.e1.mac", "desired.nics.a.b.address", "x.address")))
