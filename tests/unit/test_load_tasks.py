"""What a task says, in either of its formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.core.load.task import read_task
from rackwright.load.task_file import render


def v2(**subtask: Any) -> dict[str, Any]:
    return {"version": 2, "title": "t", "subtasks": [{"title": "s", "scenario": {"Dummy.dummy": None}} | subtask]}


def test_what_is_left_out_has_its_default() -> None:
    (workload,) = read_task(v2()).workloads
    assert (workload.scenario, workload.args, workload.contexts, workload.hooks) == ("Dummy.dummy", {}, {}, [])
    assert (workload.runner, workload.runner_settings) == ("serial", {})
    assert workload.sla == {"failure_rate": {"max": 0}}


def test_an_empty_sla_promises_nothing() -> None:
    assert read_task(v2(sla={})).workloads[0].sla == {}


def test_the_canonical_form_is_the_task_again() -> None:
    hook = {"action": {"sys_call": "true"}, "trigger": {"event": {"unit": "time", "at": [1]}}}
    task = read_task(v2(hooks=[hook], tags=["a"], group="g", runner={"constant": {"times": 3}}))
    assert read_task(task.to_v2()) == task
    assert task.to_v2()["subtasks"][0]["workloads"][0]["runner"] == {"constant": {"times": 3}}


def test_version_1_becomes_version_2() -> None:
    old = {
        "Dummy.dummy": [
            {
                "args": {"sleep": 1},
                "runner": {"type": "constant", "times": 2},
                "context": {"dummy_context": {}},
                "hooks": [{"name": "sys_call", "args": "true", "trigger": {"name": "event", "args": {"unit": "time"}}}],
            },
            {"sla": {}},
        ],
        "Dummy.other": [{}],
    }
    task = read_task(old)
    assert [subtask.title for subtask in task.subtasks] == ["Dummy.dummy", "Dummy.other"]
    first, second, third = task.workloads
    assert task.title == "Task (adopted from task format v1)"
    assert first.to_v2() == {
        "scenario": {"Dummy.dummy": {"sleep": 1}},
        "description": "",
        "runner": {"constant": {"times": 2}},
        "sla": {"failure_rate": {"max": 0}},
        "hooks": [{"action": {"sys_call": "true"}, "trigger": {"event": {"unit": "time"}}, "description": ""}],
        "contexts": {"dummy_context": {}},
    }
    assert (second.sla, third.runner) == ({}, "serial")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "a task is a mapping"),
        ({"version": 3}, "format 3 is not known"),
        ({}, "the task is empty"),
        ({"Dummy.dummy": []}, "length >= 1"),
        ({"Dummy.dummy": [{"runner": {"times": 1}}]}, "a runner has no type"),
        ({"version": 2, "title": "t"}, "subtasks"),
        (v2(contexts=3), r"\$.subtasks\[0\].contexts"),
        (v2(scenario={"a": {}, "b": {}}), "length <= 1"),
        (v2(scenario={"a": 3}), "arguments of a are a mapping"),
        (v2(run_in_parallel=True), "run_in_parallel"),
        (v2(title="x" * 129), "length <= 128"),
        (v2(workloads=[{"scenario": {"a": {}}}]), "scenario"),
    ],
)
def test_what_no_task_says_is_refused(content: Any, fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        read_task(content)


def test_every_subtask_that_is_wrong_is_told() -> None:
    task = v2(contexts=3)
    task["subtasks"] += v2(runner=4)["subtasks"] + v2()["subtasks"]
    with pytest.raises(InvalidInput, match="2 subtasks are wrong") as caught:
        read_task(task)
    assert [fault.partition("`$")[2] for fault in caught.value.faults] == [
        ".subtasks[0].contexts`",
        ".subtasks[1].runner`",
    ]


def rendered(text: str, **arguments: Any) -> str:
    return render(text, Path(), arguments, "here")


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("{{ a }}", {"a": 3}, "3"),
        ("{{ a | default(2) }}{% set b = b or 5 %}{{ b }}", {}, "25"),
        ("{{ max(1, ceil(1.5)) }}", {}, "2"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", {}, "012"),
        ("{% if a is defined %}x{% endif %}", {}, ""),
    ],
)
def test_templates_take_arguments_and_defaults(text: str, arguments: dict[str, Any], expected: str) -> None:
    assert rendered(text, **arguments) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ b }}{{ a or 0 }}", r"Please specify template task argument\(s\): a, b"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("line\n{% if %}", "here:2: the template is wrong"),
        ("{% include 'nowhere.yaml' %}", "nowhere.yaml"),
        ("{{ ''.__class__.__mro__ }}{{ range.__globals__['x'] }}", "SecurityError"),
    ],
)
def test_templates_that_fail_say_why(text: str, fault: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rendered(text)
    assert re.search(fault, str(caught.value))
