"""The operator's story over whole processes: deploy, change, kill, and everything that a person may do wrong."""

from __future__ import annotations

import os
import signal
import stat
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.site import CATALOGS, SUCCESS, Site, eventually, is_alive

TASKS = ("write-page", "serve-page", "check-page")


@pytest.fixture(scope="module")
def steady(site: Site) -> list[str]:
    """The deployment `web` of the catalog `steady` on four nodes, made by the command line; gives its nodes."""
    nodes = site.add_nodes("w", 4, 1)
    site.run("catalog", "add", str(CATALOGS / "steady"))
    site.run("deployment", "create", "web", "--catalog", "steady")
    site.run("deployment", "apply", "web", "--bind", f"page={','.join(nodes)}", "--wait", "--timeout", "240s")
    return nodes


def completed(runs: list[dict[str, object]]) -> Counter[tuple[object, object]]:
    return Counter((run["scope"], run["task"]) for run in runs if run["outcome"] == SUCCESS)


def test_a_deployment_becomes_active_from_the_command_line(site: Site, steady: list[str]) -> None:
    assert site.run("deployment", "status", "web", "-o", "json").json["state"] == "active"
    assert completed(site.runs("web")) == Counter((node, task) for node in steady for task in TASKS)
    assert all(is_alive(site.service_pid("web", node)) for node in steady)


def test_the_data_folder_and_all_tokens_are_their_owners_alone(site: Site) -> None:
    assert stat.S_IMODE(site.data.stat().st_mode) == 0o700
    secrets = [site.data / "client.toml", *(site.data / "tokens").iterdir()]
    assert len(secrets) == 4
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
    log = site.machine.log.read_text()
    assert not [file for file in secrets[1:] if file.read_text().strip() in log]


def test_a_plan_shows_what_would_run_and_only_that_runs(site: Site, steady: list[str]) -> None:
    before = len(site.runs("web"))
    words = ("--set-node", f"{steady[0]}:page.text=changed")
    summary = site.run("deployment", "plan", "web", *words, "-o", "json").json["summary"]
    named = {(item["node"], item["task"]) for part in ("run", "again", "follow") for item in summary[part]}
    assert named == {(steady[0], task) for task in TASKS}
    assert len(site.runs("web")) == before, "a plan alone lets nothing run"
    site.run("deployment", "apply", "web", *words, "--wait", "--timeout", "240s")
    ran = site.runs("web")[before:]
    assert {(run["scope"], run["task"]) for run in ran} == named
    assert len(ran) == len(named)


def test_the_log_of_a_task_can_be_read(site: Site, steady: list[str]) -> None:
    eventually(
        lambda: "writing hello" in site.run("logs", "-d", "web", steady[1], "write-page").stdout, "the log is there"
    )


def test_looking_back_tells_who_asked_from_where_and_what_took_how_long(site: Site, steady: list[str]) -> None:
    site.run("deployment", "retry", "web", "--node", steady[2], "--task", TASKS[0], "--wait", "--timeout", "240s")
    newest, *_ = site.run("deployment", "history", "web", "-o", "json").json["items"]
    assert (newest["kind"], newest["by"], newest["address"]) == ("deployment.retried", "up", "127.0.0.1")
    path = site.run("deployment", "critical-path", "web", "-o", "json").json
    assert {(step["scope"], step["task"]) for step in path["steps"]} <= {(steady[2], task) for task in TASKS}
    assert path["steps"][0]["task"] == TASKS[0]
    newest, *_ = site.run("task", "attempts", steady[2], TASKS[0], "-o", "json").json["items"]
    assert (newest["outcome"], newest["deployment"]) == (SUCCESS, "web")
    assert "#" in site.run("deployment", "timeline", "web").stdout
    entries = site.run("node", "timeline", steady[2], "-o", "json").json["items"]
    assert "node.added" in {entry.get("kind") for entry in entries}


@pytest.mark.parametrize("victim", ["conductor", "api", "rack", "PostgreSQL"])
def test_a_roll_out_survives_the_kill_of(site: Site, steady: list[str], victim: str, tmp_path: Path) -> None:
    before = len(site.runs("web"))
    # What runs goes on until this file is gone: so the victim dies in the midst of it, however busy the machine is.
    hold = tmp_path / "hold"
    hold.touch()
    changes = {
        "set": {"page": {"text": f"after {victim}", "hold": str(hold)}},
        "set_nodes": {steady[0]: {"page": {"text": None}}},
    }
    site.client.post("/deployments/web/plans", {"changes": changes, "apply": True})
    eventually(lambda: any(task["state"] == "transition" for task in site.tasks("web").values()), "something runs")
    pids = {
        "conductor": site.machine.child("conductor"),
        "api": site.machine.child("api"),
        "rack": site.machine.racks()["r1"],
        "PostgreSQL": site.machine.postmaster(),
    }
    pid = pids[victim]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), f"{victim} is dead")
    hold.unlink()
    site.until_state("web", "active")
    runs = site.runs("web")[before:]
    assert completed(runs) == Counter((node, task) for node in steady for task in TASKS)
    assert max(Counter((run["node_task"], run["attempt"]) for run in runs).values()) == 1
    assert all(is_alive(site.service_pid("web", node)) for node in steady)


def test_a_second_up_with_the_same_data_folder_is_refused(site: Site) -> None:
    ended = site.run("up", "--port", "1", code=4)
    assert f"process {site.machine.pid}" in ended.stderr
    assert str(site.data) in ended.stderr


def test_a_port_that_is_taken_is_told(site: Site, tmp_path: Path) -> None:
    port = site.client.server.rpartition(":")[2]
    ended = site.run("up", "--port", port, code=1, RACKWRIGHT_DATA=str(tmp_path))
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


def test_an_unknown_role_is_refused_with_the_roles_that_there_are(site: Site, steady: list[str]) -> None:
    ended = site.run("deployment", "plan", "web", "--bind", f"pgae={steady[0]}", code=1)
    assert "pgae" in ended.stderr
    assert "page" in ended.stderr
    assert site.deployment("web")["state"] == "active"


def test_an_attribute_of_a_wrong_type_is_refused_with_its_name(site: Site, steady: list[str]) -> None:
    ended = site.run("deployment", "apply", "web", "--set", "page.pause=long", code=1)
    assert "pause" in ended.stderr
    assert len(site.tasks("web")) == len(steady) * len(TASKS)


def test_two_nodes_with_one_address_are_refused(site: Site, steady: list[str]) -> None:
    ended = site.run("node", "add", "twin", "--rack", "r1", "--address", "127.250.1.1", code=4)
    assert steady[0] in ended.stderr
    assert "127.250.1.1" in ended.stderr
    site.run("get", "nodes", "twin", code=3)


def test_a_wrong_token_is_refused_with_exit_code_5(site: Site) -> None:
    ended = site.run("get", "nodes", code=5, RACKWRIGHT_TOKEN="rw_wrong")
    assert "token" in ended.stderr
    assert "mend" in ended.stderr


def test_wrong_yaml_is_refused_with_file_and_line(site: Site, tmp_path: Path) -> None:
    (tmp_path / "tasks.yaml").write_text("- id: one\n  type: noop\n  roles: [page\n")
    ended = site.run("catalog", "add", str(tmp_path), "--name", "broken", code=1)
    assert "tasks.yaml:" in ended.stderr


def test_a_catalog_with_several_faults_is_refused_with_all_of_them(site: Site, tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text("- {name: page}\n")
    (tmp_path / "tasks.yaml").write_text(
        "- {id: one, type: nope, roles: [page]}\n- {id: two, type: script, timeout: -1}\n"
    )
    ended = site.run("catalog", "add", str(tmp_path), "--name", "broken", code=1)
    assert "tasks.yaml:1" in ended.stderr
    assert "tasks.yaml:2" in ended.stderr


def test_what_is_unbound_is_stopped_on_its_node_and_nothing_else(site: Site, steady: list[str]) -> None:
    pids = {node: site.service_pid("web", node) for node in steady}
    leaves, stays = steady[-1], steady[0]
    site.run("deployment", "apply", "web", "--unbind", f"page={leaves}", "--yes", "--wait", "--timeout", "240s")
    eventually(lambda: not is_alive(pids[leaves]), "the service of the node that left has ended")
    assert is_alive(pids[stays])
    assert leaves not in {node for node, _ in site.tasks("web")}
