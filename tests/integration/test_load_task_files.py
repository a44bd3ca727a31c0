"""Task files as people have them: read, checked against what is installed, shown by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from rackwright.cli.main import cli
from rackwright.core.errors import InvalidInput
from rackwright.core.load.result import Judgement, RunResult, WorkloadResult
from rackwright.core.load.task import Task, read_task
from rackwright.load.checking import prepare
from rackwright.load.plugins import Plugins
from rackwright.load.task_file import load_task, read_arguments

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "rally"
needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="Rally's sample tasks are not beside the checkout")
OURS = ("Dummy.", "HttpRequests.")
ABSENT = ("Dummy.openstack",)
"""A scenario of another package."""


def _samples() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((SAMPLES / "index.json").read_text())
    return [row for row in rows if row.get("version")]


def _do(*words: str) -> Result:
    return CliRunner().invoke(cli, ["load", *words])


def _refusal(task: Task) -> InvalidInput | None:
    try:
        prepare(task, Plugins())
    except InvalidInput as error:
        return error
    return None


def _task(**subtask: Any) -> Task:
    return read_task({"version": 2, "title": "t", "subtasks": [{"title": "s", **subtask}]})


@needs_samples
def test_all_sample_tasks_of_rally_are_read_and_what_is_missing_is_named() -> None:
    rows = _samples()
    assert len(rows) == 812
    for row in rows:
        task = load_task(SAMPLES / row["file"])
        assert [workload.scenario for workload in task.workloads] == row["scenarios"], row["file"]
        assert read_task(task.to_v2()) == task
        missing = {name for name in row["scenarios"] if not name.startswith(OURS) or name in ABSENT}
        refusal = _refusal(task)
        told = "\n".join(refusal.faults) if refusal else ""
        assert {name for name in missing if f"no scenario is called {name} (" not in told} == set(), row["file"]
        assert refusal is None or ", 0 settings are wrong" in refusal.what, (row["file"], told)
        assert row["needs_openstack"] or missing or refusal is None, (row["file"], told)


@needs_samples
def test_a_certification_task_is_read_with_its_arguments_file() -> None:
    folder = SAMPLES / "rally-openstack" / "tasks" / "openstack"
    arguments = read_arguments([folder / "task_arguments.yaml"], '{"service_list": ["nova"], "smoke": false}')
    task = load_task(folder / "task.yaml", arguments)
    assert len(task.subtasks) == 1
    assert "NovaServers.boot_and_delete_server" in {workload.scenario for workload in task.workloads}


def test_all_that_is_missing_or_wrong_is_told_at_once() -> None:
    task = _task(
        workloads=[
            {"scenario": {"Nova.boot": {}}, "runner": {"magic": {}}, "contexts": {"users@openstack": {}}},
            {
                "scenario": {"Dummy.dummy": {"slep": 1}},
                "runner": {"constant": {"times": 1, "concurrency": 2}},
                "sla": {"failure_rate": {"max": 200}, "max_avg_duraton": 3},
                "hooks": [{"action": {"fault": {}}, "trigger": {"event": {"unit": "years", "at": [1]}}}],
            },
            {"scenario": {"Nova.boot": {}}},
        ]
    )
    with pytest.raises(InvalidInput) as caught:
        prepare(task, Plugins())
    told = "\n".join(caught.value.faults)
    for expected in (
        "no scenario is called Nova.boot (install a package with an entry point in rackwright.scenario) (2 workloads)",
        "no runner is called magic",
        "no context is called users@openstack",
        "no sla is called max_avg_duraton (perhaps max_avg_duration?)",
        "no hook is called fault",
        "'s', workload 1 (Dummy.dummy): scenario Dummy.dummy: TypeError: got an unexpected keyword argument 'slep'",
        "runner constant: concurrency 2 is more than times 1",
        "sla failure_rate: Expected `float` <= 100",
        "trigger event: ValidationError",
    ):
        assert expected in told
    assert caught.value.what == "this task cannot run here: 5 plugins are missing, 4 settings are wrong"


def test_a_scenario_in_a_file_beside_the_task_is_found(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from rackwright.load.scenario import Scenario\n\n\n"
        "class Buy(Scenario):\n    '''Buys one thing.'''\n\n    async def run(self, url: str) -> None:\n        pass\n"
    )
    (prepared,) = prepare(_task(scenario={"shop.py:Buy": {"url": "x"}}), Plugins(tmp_path))
    assert prepared.scenario.__name__ == "Buy"
    assert prepared.workload.description == "Buys one thing."
    with pytest.raises(InvalidInput) as caught:
        prepare(_task(scenario={"shop.py:Sell": {}}), Plugins(tmp_path))
    assert "has no attribute 'Sell'" in caught.value.faults[0]


def test_a_platform_in_a_name_is_looked_over() -> None:
    class Users:
        """A context."""

    plugins = Plugins(extra={"context": {"users": Users, "users@here": Task}})
    assert plugins.find("context", "users@openstack") is Users
    assert plugins.find("context", "users@here") is Task


def test_validate_prints_the_task_with_its_defaults_and_it_is_a_task_again(tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text("Dummy.dummy:\n  - args: {sleep: {{ nap }}}\n    runner: {type: rps, times: 4, rps: 2}\n")
    assert "Please specify template task argument(s): nap" in _do("validate", str(file)).stderr
    (tmp_path / "args.yaml").write_text("nap: 1\n")
    given = ("--task-args-file", str(tmp_path / "args.yaml"), "--task-args", "nap: 2")
    result = _do("validate", str(file), *given, "-o", "yaml")
    assert result.exit_code == 0, result.stderr
    shown = yaml.safe_load(result.stdout)
    (workload,) = read_task(shown).workloads
    assert (workload.args, workload.runner, workload.runner_settings) == ({"sleep": 2}, "rps", {"times": 4, "rps": 2})
    assert workload.description
    assert _do("validate", str(file), *given).stdout.endswith("valid: 1 subtasks, 1 workloads\n")


def test_validate_names_what_is_missing_unless_only_the_syntax_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_text('{\n\t"NovaServers.boot": [{}]\n}')
    refused = _do("validate", str(file))
    assert refused.exit_code == 1
    assert "no scenario is called NovaServers.boot" in refused.stderr
    assert _do("validate", str(file), "--syntax-only").exit_code == 0


@pytest.mark.parametrize("text", ["a: [", "\x00", "- 1", "{{ 1 }", "a: !!python/object:os.system {}"])
def test_a_file_that_is_no_task_is_refused_in_words(text: str, tmp_path: Path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(text)
    result = _do("validate", str(file))
    assert result.exit_code == 1
    assert str(file) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("success", "words", "code"), [(True, (), 0), (False, (), 7), (False, ("--rally-exit-codes",), 2)]
)
def test_sla_check_ends_with_the_verdict(success: bool, words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    verdict = Judgement(criterion="failure_rate", success=success, detail="3 %, at most 1 %", broken=[(2.0, 4.0)])
    workload = WorkloadResult(name="login", scenario="Dummy.dummy", judgements=[verdict])
    run = RunResult(id="r", title="t", status="finished", workloads=[workload])
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(run))
    for path in (tmp_path, tmp_path / "run.json"):
        result = _do("sla-check", str(path), "-o", "json", *words)
        assert result.exit_code == code, result.stderr
        assert json.loads(result.stdout)["items"] == [
            {
                "workload": "login #0",
                "criterion": "failure_rate",
                "action": "",
                "success": success,
                "detail": "3 %, at most 1 %",
                "broken": [[2.0, 4.0]],
            }
        ]


def test_the_examples_of_the_reference_are_right() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "load-tasks.md").read_text(encoding="utf-8")
    whole, *parts = [yaml.safe_load(block.partition("```")[0]) for block in page.split("```yaml\n")[1:]]
    assert len(prepare(read_task(whole), Plugins())) == 1
    for part in parts:
        (prepared,) = prepare(_task(scenario={"Dummy.dummy": {}}, **part), Plugins())
        assert len(prepared.criteria) == 3 if "sla" in part else len(prepared.hooks) == 1
