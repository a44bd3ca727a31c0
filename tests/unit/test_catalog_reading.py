"""Catalogs from texts: what is understood, and what is said about what is not."""

from __future__ import annotations

from typing import Any

import pytest

from rackwright.core.catalog import Read, Retry, Task, Write
from rackwright.core.errors import InvalidInput
from rackwright.engine.catalogs import examine_texts, read_texts
from rackwright.engine.catalogs.fields import duration


def task_of(text: str) -> Task:
    return read_texts("c", {"tasks.yaml": text}).graphs["deploy"].tasks[0]


def faults_of(files: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(InvalidInput) as caught:
        read_texts("c", files)
    return caught.value.faults


def test_a_native_task_is_read_with_all_its_fields() -> None:
    task = task_of(
        """
- id: nats-config
  type: script
  roles: [nats]
  reads:
    address: desired.address
    seeds: deployment:nats.seeds
    peers: {fact: nats.peers, optional: true}
  writes: [nats.config, {fact: deployment:x, slow: true}]
  parameters: {script: scripts/config.py}
  requires: [install]
  cross_depends: [{name: seed, role: null}]
  timeout: 5m
  retry: {attempts: 3, delay: 2, backoff: 1.5}
  destructive: true
  critical: true
  takes: [uplink, image_source]
"""
    )
    assert task.jig == "script"
    assert task.roles == ("nats",)
    assert task.reads == {
        "address": Read("desired.address"),
        "seeds": Read("nats.seeds", "deployment"),
        "peers": Read("nats.peers", optional=True),
    }
    assert task.writes == (Write("nats.config"), Write("x", "deployment", slow=True))
    assert task.cross_depends == ({"name": "seed", "role": None},)
    assert (task.timeout, task.retry) == (300.0, Retry(3, 2.0, 1.5))
    assert task.destructive
    assert task.critical
    assert task.takes == ("uplink", "image_source")
    assert str(task.source) == "tasks.yaml:2"
    assert str(task.place("reads.seeds")) == "tasks.yaml:7"
    assert str(task.place("parameters.script.deeper")) == "tasks.yaml:10"


def test_a_fact_without_a_scope_is_of_the_scope_that_the_task_works_on() -> None:
    task = task_of("[{id: a, type: script, scope: deployment, reads: [nodes:b.c, d], writes: [e, nodes:f]}]")
    assert task.reads == {"b_c": Read("b.c", "nodes"), "d": Read("d", "deployment")}
    assert task.writes == (Write("e", "deployment"), Write("f", "nodes"))


@pytest.mark.parametrize(
    ("spelling", "field", "value"),
    [
        ("role: web", "roles", "web"),
        ("roles: [web]", "roles", ("web",)),
        ("role: ['*']", "roles", "*"),
        ("role: ['*', web]", "roles", ("*", "web")),
        ("roles: []", "roles", None),
        ("cross-depends: [{name: b}]", "cross_depends", ({"name": "b"},)),
        ("cross-depended-by: [{name: b, role: self}, null]", "cross_depended_by", ({"name": "b", "role": "self"},)),
        ("cross-depends: {yaql_exp: '[]'}", "cross_depends", ({"yaql_exp": "[]"},)),
        ("condition: false", "condition", False),
        ("condition: null", "condition", True),
        ("condition: 'a:b == 1'", "condition", "a:b == 1"),
        ("jig: ssh", "jig", "ssh"),
        ("type: noop", "jig", "noop"),
        ("fault_tolerance: 2%", "fault_tolerance", "2%"),
        ("refresh_on: [x]", "extra", {"refresh_on": ["x"]}),
    ],
)
def test_the_spellings_of_fields(spelling: str, field: str, value: Any) -> None:
    kind = "" if spelling.startswith("type") else ", type: puppet"
    assert getattr(task_of(f"[{{id: a{kind}, {spelling}}}]"), field) == value


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("type: pupet", "unknown type pupet (did you mean puppet?)"),
        ("type: [a]", "type must be a text, not a list"),
        ("type: shell, version: 2.0", "version must be a text of three numbers, not a number (2.0)"),
        ("type: shell, requires: b", "requires must be a list of names, not a text (b)"),
        ("type: shell, requires: [1]", "requires holds what is no name: a number (1)"),
        ("type: shell, role: a, roles: b", "role says again what roles says"),
        ("type: shell, timeout: soon", "timeout is no duration: a text (soon)"),
        ("type: shell, timeout: 0", "timeout is no duration: a number (0)"),
        ("type: shell, timeout: true", "timeout is no duration: a flag (True)"),
        ("type: shell, retry: {attempts: 0}", "attempts must be a number of 1 or more"),
        ("type: shell, retry: {tries: 2}", "no such field: tries"),
        ("type: shell, condition: 3", "condition must be true, false or an expression"),
        ("type: shell, fail_on_error: maybe", "fail_on_error must be true or false"),
        ("type: group, fault_tolerance: few", "fault_tolerance is no number"),
        ("type: shell, cross_depends: [{role: a}]", "no name"),
        ("type: shell, cross_depends: [b]", "a relation must be a mapping"),
        ("type: shell, cross_depends: [{name: b, rolle: x}]", "no such field: rolle (did you mean role?)"),
        ("type: shell, cross_depends: [{name: b, policy: some}]", "unknown policy some"),
        ("type: script, reads: [cluster:x]", "unknown scope cluster"),
        ("type: script, reads: [a..b]", "a..b is no path of a fact"),
        ("type: script, reads: [a.b, a_b]", "two reads have the alias a_b"),
        ("type: script, reads: {a: {fact: b, tags: [c]}}", "tags choose among nodes"),
        ("type: script, reads: {1a: b}", "1a is no alias"),
        ("type: script, writes: {a: b}", "writes must be a list of facts"),
        ("type: script, writes: [{fact: a, fast: true}]", "no such field: fast"),
        ("type: script, parameters: [a]", "parameters must be a mapping, not a list"),
        ("type: script, scope: cluster", "unknown scope cluster"),
        ("type: script, takes: [uplinks]", "uplinks is no kind of place (did you mean uplink?)"),
        ("type: script, scope: deployment, takes: [feed]", "stands at no place (let it work on the node)"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(wrong: str, said: str) -> None:
    (fault,) = faults_of({"web/tasks.yaml": f"- {{id: a, {wrong}}}"})
    assert fault.startswith("web/tasks.yaml:1: task a")
    assert said in fault


def test_every_fault_of_every_file_is_told_at_once() -> None:
    faults = faults_of(
        {
            "a/tasks.yaml": "- id: a\n  type: x\n- type: shell\n- 7\n",
            "b/tasks.yaml": "- id: b\n   type: shell\n",
            "roles.yaml": "- {name: r, tagz: [t], primary: [u]}\n",
        }
    )
    assert [fault.split(": ", maxsplit=1)[0] for fault in faults] == [
        "a/tasks.yaml:2",
        "a/tasks.yaml:3",
        "a/tasks.yaml:4",
        "b/tasks.yaml:2",
        "roles.yaml:1",
        "roles.yaml:1",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1", "tasks.yaml:2: not YAML at column 1"),
        ("- a: b: c", "mapping values are not allowed"),
        ("- {id: a", "look at the indentation"),
        ("- *nobody", "undefined alias"),
        ("---\n[]\n---\n[]", "keep one document to a file"),
        ("- !!python/object:os.system {}", "leave out the !tag"),
        ("- {id: a, type: shell, parameters: {x: 2020-01-01}}", "a date: 2020-01-01"),
        ("- {id: a, type: shell, parameters: {x: .nan}}", "no finite number"),
        ("- {id: a, type: shell, parameters: {[1]: 2}}", "a key that is a list or a mapping"),
        ("id: a", "the file is no list of tasks"),
        ("\0", "not YAML"),
        ("[" * 100_000, "nested deeper"),
        ("- &a [*a]", "refers to itself"),
    ],
)
def test_wrong_yaml_is_told_with_place_and_mend(text: str, said: str) -> None:
    (fault,) = faults_of({"tasks.yaml": text})
    assert fault.startswith("tasks.yaml:")
    assert said in fault


def test_a_few_references_that_stand_for_billions_are_refused() -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (fault,) = faults_of({"tasks.yaml": "\n".join(lines)})
    assert "use fewer references" in fault


def test_a_repeated_key_is_a_warning_and_in_a_strict_catalog_an_error() -> None:
    tasks = "- id: a\n  type: shell\n  type: stage\n"
    read = examine_texts("c", {"tasks.yaml": tasks})
    assert [(found.severity, found.code, found.place.line) for found in read.findings] == [
        ("warning", "repeated-key", 3)
    ]
    assert read.catalog.graphs["deploy"].tasks[0].type == "stage"
    assert len(faults_of({"catalog.yaml": "strict: true", "tasks.yaml": tasks})) == 1


def test_tasks_stand_in_the_order_of_their_files_and_places() -> None:
    one = "[{id: %s, type: stage}, {id: %s, type: stage}]"
    catalog = read_texts(
        "c",
        {"b/tasks.yaml": one % ("3", "4"), "a/x/tasks.yaml": one % ("one", "two")}
        | {"b/tasks.yaml": one % ("three", "four")},
    )
    assert [task.id for task in catalog.graphs["deploy"].tasks] == ["one", "two", "three", "four"]


def test_graphs_of_other_types_come_from_their_folders() -> None:
    tasks, filtered = "[{id: a, type: stage}]", "node_filter: $.x\non_success: {node_attributes: {status: gone}}"
    files = {
        "tasks.yaml": tasks,
        "graphs/deletion/tasks.yaml": tasks,
        "graphs/deletion/metadata.yaml": filtered,
        "graphs/verify/deep/tasks.yaml": tasks,
        "own/tasks.yaml": tasks.replace("a", "b", 1),
        "own/metadata.yaml": filtered,
    }
    graphs = read_texts("c", files).graphs
    assert list(graphs) == ["deploy", "delete", "own", "verify"]
    assert graphs["delete"].node_filter == "$.x"
    assert graphs["delete"].outcome == {"success": {"status": "gone"}}
    assert str(graphs["delete"].source) == "graphs/deletion/metadata.yaml:1"


def test_a_root_with_tasks_and_a_node_filter_is_the_graph_of_its_own_name() -> None:
    catalog = read_texts("default", {"tasks.yaml": "[{id: a, type: stage}]", "metadata.yaml": "node_filter: $.x"})
    assert list(catalog.graphs) == ["deploy"]
    assert catalog.graphs["deploy"].node_filter == "$.x"


def test_roles_come_from_one_file_or_from_a_folder() -> None:
    files = {
        "roles.yaml": "[{name: a, tags: [t], primary: [t]}]",
        "roles/b.yaml": "name: b\nattributes: {type: object}",
    }
    roles = read_texts("c", files).roles
    assert list(roles) == ["a", "b"]
    assert roles["a"].tags == roles["a"].primary == ("t",)
    assert roles["b"].attributes == {"type": "object"}
    assert str(roles["b"].place("attributes.type")) == "roles/b.yaml:2"


def test_two_roles_or_tasks_of_one_name_are_refused() -> None:
    faults = faults_of(
        {"roles.yaml": "[{name: a}, {name: a}]", "tasks.yaml": "[{id: t, type: stage}, {id: t, type: stage}]"}
    )
    assert [fault.split(";")[0] for fault in faults] == [
        "roles.yaml:1: a second role a",
        "tasks.yaml:1: a second task t in the same graph",
    ]


def test_the_catalog_says_its_name_and_whether_it_is_strict() -> None:
    files = {"catalog.yaml": "{name: x, description: d, strict: true}", "tasks.yaml": "[]"}
    catalog = read_texts("c", files)
    assert (catalog.name, catalog.description, catalog.strict) == ("x", "d", True)
    assert read_texts("c", {"tasks.yaml": "[]"}).strict is False
    assert "no such field: stict" in faults_of({"catalog.yaml": "stict: true", "tasks.yaml": "[]"})[0]


def test_an_empty_catalog_is_refused() -> None:
    assert "no tasks and no roles" in faults_of({"README.md": "hello"})[0]


def test_texts_that_tasks_name_are_kept_and_others_are_not() -> None:
    tasks = "[{id: a, type: script, parameters: {script: jobs/a.py, env: {X: jobs/b.py}}}]"
    files = {"tasks.yaml": tasks, "jobs/a.py": "1", "jobs/b.py": "2", "files/motd": "3", "README.md": "4"}
    assert read_texts("c", files).files == {"files/motd": "3", "jobs/a.py": "1"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90.0), (0.5, 0.5), ("90s", 90.0), ("1h30m", 5400.0), ("1d", 86400.0), ("", None), ("m", None)],
)
def test_durations(text: object, seconds: float | None) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("path", ["../a", "files/../../a", "/etc/a", "", "a\0b"])
def test_a_path_that_leaves_the_catalog_is_refused(path: str) -> None:
    (fault,) = faults_of({"tasks.yaml": "[{id: a, type: stage}]", path: "text"})
    assert "is no path below the catalog's root" in fault
