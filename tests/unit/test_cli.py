"""What the command line prints, and how it ends."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import httpx
import pytest
import yaml
from click.testing import CliRunner

from rackwright.cli import following, patience
from rackwright.cli.main import COMMANDS, cli
from tests.unit.api_world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(following, "_PAUSE", 0.001)
    world = World()
    yield world
    world.close()


@pytest.fixture
def site(world: World) -> World:
    world.site()
    return world


PLAN = """\
Deployment d, plan {id}
  members + n1, n2

+ install   on n1, n2   it has not run yet
+ start     on n1, n2   it has not run yet

Plan: 4 to run, 0 to run again, 0 to commit, 0 removed
"""


def test_a_plan_shows_what_will_run_where_and_why_before_anything_happens(site: World) -> None:
    result = site.rackwright("deployment", "plan", "d", "--bind", "web=@all")
    (plan,) = site.ask("GET", "/api/v1/deployments/d/plans").json()["items"]
    assert (result.exit_code, result.stdout) == (0, PLAN.format(id=plan["id"]))
    assert f"rackwright deployment apply d --plan {plan['id']}" in result.stderr
    assert site.ask("GET", "/api/v1/deployments/d/tasks").json()["items"] == []


def test_a_plan_names_what_a_change_makes_run_again_and_which_fact_it_was(site: World) -> None:
    site.apply(bind={"web": ["n1", "n2"]})
    site.work()
    result = site.rackwright("deployment", "plan", "d", "--set-node", "n2:web.port=81")
    assert "n2: desired.web.port" in result.stdout
    assert "~ install   on n2   changed: desired.web.port" in result.stdout
    assert "> start   on n2" in result.stdout
    assert result.stdout.endswith("Plan: 0 to run, 1 to run again and 1 that may follow, 0 to commit, 0 removed\n")


def test_detailed_exit_codes_tell_changes_from_none(site: World) -> None:
    site.apply(bind={"web": ["n1"]})
    site.work()
    assert site.rackwright("deployment", "plan", "d", "--detailed-exitcode").exit_code == 0
    assert site.rackwright("deployment", "plan", "d", "--set", "web.port=81", "--detailed-exitcode").exit_code == 2
    assert site.rackwright("deployment", "plan", "d", "--set", "web.prt=81", "--detailed-exitcode").exit_code == 1


def _planned(site: World, binding: str) -> str:
    """The id of a plan."""
    return site.rackwright("deployment", "plan", "d", "--bind", binding, "-o", "name").stdout.strip().split("/")[1]


def test_exactly_the_plan_that_was_shown_is_applied(site: World) -> None:
    plan = _planned(site, "web=n1")
    result = site.rackwright("deployment", "apply", "d", "--plan", plan)
    assert (result.exit_code, "2 to run" in result.stdout) == (0, True)
    assert sorted(site.work()) == [("n1", "install"), ("n1", "start")]


def test_a_plan_that_something_moved_away_from_is_refused(site: World) -> None:
    plan = _planned(site, "web=n1")
    site.apply(bind={"web": ["n2"]})
    result = site.rackwright("deployment", "apply", "d", "--plan", plan)
    assert result.exit_code == 4
    assert "something has moved" in result.stderr
    assert {scope for scope, _ in site.work()} == {"n2"}


def test_removing_asks_a_person_and_without_one_needs_yes(site: World) -> None:
    site.apply(bind={"web": ["n1", "n2"]})
    refused = site.rackwright("deployment", "apply", "d", "--unbind", "web=n2")
    assert (refused.exit_code, "--yes" in refused.stderr) == (4, True)
    assert site.ask("GET", "/api/v1/deployments/d").json()["members"] == 2
    agreed = site.rackwright("deployment", "apply", "d", "--unbind", "web=n2", "--yes")
    assert (agreed.exit_code, "- install   on n2" in agreed.stdout) == (0, True)
    assert site.ask("GET", "/api/v1/deployments/d").json()["members"] == 1


def test_a_change_that_removes_nothing_asks_nobody(site: World) -> None:
    assert site.rackwright("deployment", "apply", "d", "--bind", "web=@rack:r1", "--no-input").exit_code == 0


def test_waiting_tells_how_every_node_ended(site: World) -> None:
    site.apply(bind={"web": ["n1", "n2"]})
    site.work()
    result = site.rackwright("wait", "deployment", "d")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "d: active; 2 of 2 ok" in result.stderr


def test_waiting_for_what_failed_ends_with_6_and_the_reasons(site: World) -> None:
    site.apply(bind={"web": ["n1", "n2"]})
    site.work("install")
    result = site.rackwright("deployment", "apply", "d", "--wait")
    assert result.exit_code == 6
    assert "n1   failed   1 blocked, 1 error" in result.stderr
    assert "it broke" in result.stderr


def test_waiting_too_long_ends_with_124_and_the_work_goes_on(site: World) -> None:
    result = site.rackwright("deployment", "apply", "d", "--bind", "web=n1", "--wait", "--timeout", "0.05s")
    assert (result.exit_code, "it goes on" in result.stderr) == (124, True)
    assert site.rackwright("wait", "node", "n1", "--for", "idle", "--timeout", "0").exit_code == 124


def test_ctrl_c_detaches_and_says_how_to_come_back(site: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pressed)
    result = site.rackwright("deployment", "apply", "d", "--bind", "web=n1", "--wait")
    assert result.exit_code == 130
    assert "rackwright wait deployment d" in result.stderr
    assert site.ask("GET", "/api/v1/deployments/d").json()["state"] == "annealing"


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("get nodse", 2, "Did you mean node"),
        ("gte nodes", 2, "Did you mean get"),
        ("get tasks", 2, "-d NAME"),
        ("deployment plan d --set port=1", 1, "no role port"),
        ("deployment apply d --wait --timeout soon", 2, "30m"),
        ("get node n9", 3, "no node is called 'n9'"),
        ("deployment status dd", 3, "did you mean d?"),
        ("deployment create d --catalog tiny", 4, "d"),
        ("deployment create e --catalog tinny", 3, "tinny"),
        ("delete rack r1 --yes", 4, "r1"),
        ("delete node n9 n1 --yes", 6, "n9"),
        ("deployment plan d --bind webb=n1", 1, "webb"),
        ("deployment plan d --bind web=@everything", 1, "@all"),
    ],
)
def test_every_kind_of_error_has_its_exit_code_and_says_what_is_wrong(
    site: World, line: str, code: int, word: str
) -> None:
    result = site.rackwright(*line.split())
    assert (result.exit_code, result.stdout) == (code, "")
    assert word in result.stderr


def test_a_refusal_of_the_api_shows_where_mend_and_the_request(site: World) -> None:
    lines = site.rackwright("get", "deployment", "dd").stderr.splitlines()
    assert lines[:3] == ["error: no deployment is called 'dd'", "where: deployment dd", "mend:  did you mean d?"]
    assert lines[3].startswith("request: ")


def test_wrong_weak_and_missing_tokens_end_with_5(site: World) -> None:
    assert site.rackwright("get", "nodes", token="nonsense").exit_code == 5
    assert site.rackwright("delete", "node", "n1", "--yes", token=site.reader).exit_code == 5
    missing = site.rackwright("get", "nodes", token="")
    assert (missing.exit_code, "rackwright up" in missing.stderr) == (5, True)


def test_an_api_that_is_not_there_is_told_with_what_to_do() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    environment = {"RACKWRIGHT_TOKEN": "x", "RACKWRIGHT_SERVER": "http://127.0.0.1:1"}
    result = CliRunner().invoke(cli, ["get", "nodes"], obj=httpx.MockTransport(refuse), env=environment)
    assert result.exit_code == 1
    assert "http://127.0.0.1:1" in result.stderr
    assert "rackwright up" in result.stderr


def test_an_answer_that_is_no_problem_document_is_still_told() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>bad gateway</html>"))
    result = CliRunner().invoke(cli, ["get", "nodes"], obj=transport, env={"RACKWRIGHT_TOKEN": "x"})
    assert (result.exit_code, "502" in result.stderr) == (1, True)


NODES = """\
NAME   RACK   ADDRESS     STATE   DONE   ROLES   TAGS
n1     r1     127.1.0.1   idle    0/0    -       -
n2     r1     127.1.0.2   idle    0/0    -       -
"""


def test_tables_are_for_people(site: World) -> None:
    assert site.rackwright("get", "nodes").stdout == NODES
    assert site.rackwright("get", "no", "--no-headers").stdout.splitlines()[0].split()[:2] == ["n1", "r1"]
    assert "AVAILABLE" in site.rackwright("get", "nodes", "-o", "wide").stdout


def test_programs_get_the_objects_of_the_api_unchanged(site: World) -> None:
    items = site.ask("GET", "/api/v1/nodes").json()["items"]
    assert json.loads(site.rackwright("get", "nodes", "-o", "json").stdout) == {"items": items, "next": None}
    assert yaml.safe_load(site.rackwright("get", "nodes", "-o", "yaml").stdout)["items"] == items
    lines = site.rackwright("get", "nodes", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == items
    assert site.rackwright("get", "nodes", "-o", "name").stdout == "node/n1\nnode/n2\n"
    one = site.ask("GET", "/api/v1/nodes/n1").json()
    assert json.loads(site.rackwright("get", "node", "n1", "-o", "json").stdout) == one


def test_an_empty_list_is_a_message_for_people_and_a_list_for_programs(world: World) -> None:
    people = world.rackwright("get", "nodes")
    assert (people.stdout, people.stderr) == ("", "no nodes\n")
    assert json.loads(world.rackwright("get", "nodes", "-o", "json").stdout) == {"items": [], "next": None}


def test_lists_are_read_to_their_end(site: World) -> None:
    site.ask("POST", "/api/v1/nodes", [{"name": f"m{n:04}", "rack": "r1"} for n in range(700)])
    assert len(site.rackwright("get", "nodes", "-o", "name").stdout.splitlines()) == 702


def test_labels_select_nodes(site: World) -> None:
    assert site.rackwright("node", "add", "n3", "--rack", "r1", "--label", "site=lab").exit_code == 0
    assert site.rackwright("get", "nodes", "-l", "site=lab", "-o", "name").stdout == "node/n3\n"


def test_one_thing_is_described_with_all_its_facts(site: World) -> None:
    site.rackwright("node", "set", "n1", "--unavailable", "--fact", "desired.web.port=8080")
    text = site.rackwright("describe", "node", "n1").stdout
    assert "desired.web.port   8080" in text
    assert site.ask("GET", "/api/v1/nodes/n1").json()["available"] is False
    role = site.rackwright("describe", "role", "web").stdout
    assert "port   integer   80   Where it listens." in role


def test_the_token_of_a_rack_is_printed_alone_or_kept_in_a_file_of_ones_own(world: World, tmp_path: Path) -> None:
    printed = world.rackwright("rack", "add", "r1")
    assert printed.stdout.startswith("rw_rack_")
    assert len(printed.stdout.splitlines()) == 1
    file = tmp_path / "token"
    kept = world.rackwright("rack", "add", "r2", "--save", str(file))
    assert (kept.exit_code, kept.stdout) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = world.rackwright("rack", "add", "r2", "--save", str(tmp_path / "other"))
    assert again.exit_code == 4
    assert not (tmp_path / "other").exists()


def test_a_file_says_what_is_to_be_and_saying_it_again_changes_nothing(site: World, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "nodes: [{name: n3, rack: r1, address: 127.1.0.3}]\n"
        'deployments: [{name: e, catalog: tiny, bind: {web: "@all"}, set: {web: {port: 81}}}]\n'
    )
    first = site.rackwright("apply", "-f", str(file))
    assert (first.exit_code, "6 to run" in first.stdout) == (0, True)
    second = site.rackwright("apply", "-f", str(file))
    assert (second.exit_code, "members" in second.stdout) == (0, False)


@pytest.mark.parametrize(
    ("text", "word"), [("a: [", ":1"), ("- 1", "mapping"), ("nods: []", "nods"), ("nodes: 3", "list")]
)
def test_a_bad_file_is_told_with_its_place(site: World, tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    result = site.rackwright("apply", "-f", str(file))
    assert (result.exit_code, str(file) in result.stderr, word in result.stderr) == (1, True, True)


def test_changes_of_a_file_and_of_options_come_together(site: World, tmp_path: Path) -> None:
    file = tmp_path / "changes.yaml"
    file.write_text("bind: {web: n1}\nset: {web: {port: 81}}\n")
    line = ["deployment", "plan", "d", "-f", str(file), "--bind", "web=n2", "--set", "web.port=82", "-o", "json"]
    plan = json.loads(site.rackwright(*line).stdout)
    assert plan["changes"]["bind"] == {"web": ["n1", "n2"]}
    assert plan["changes"]["set"] == {"web": {"port": 82}}


def test_a_catalog_is_handed_over_as_it_lies_in_its_folder(world: World, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("name: mine\n")
    (tmp_path / "tasks.yaml").write_text("- {id: a, type: noop, roles: ['*'], parameters: {facts: {}}}\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    result = world.rackwright("catalog", "add", str(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert "picture.png" in result.stderr
    assert "2 files" in result.stderr
    known = world.rackwright("get", "catalogs", "-o", "name").stdout.split()
    assert known == [f"catalog/{name}" for name in ("messaging", "messaging_on_machines", "metal", "mine")]


def test_history_events_and_logs_are_read(site: World) -> None:
    site.apply(bind={"web": ["n1"]})
    site.work()
    history = json.loads(site.rackwright("deployment", "history", "d", "--attempts", "-o", "json").stdout)["items"]
    assert [run["task"] for run in history] == ["install", "start"]
    assert "install on n1: active" in site.rackwright("events", "-d", "d").stdout
    site.run(site.store.views.add_log([(history[0]["node_task"], 1, 0, b"one\ntwo", True)]))
    assert site.rackwright("logs", "-d", "d", "n1", "install").stdout == "one\ntwo\n"
    assert "did you mean install" in site.rackwright("logs", "-d", "d", "n1", "instal").stderr


def test_a_deployment_is_steered_by_short_words(site: World) -> None:
    site.apply(bind={"web": ["n1"]})
    site.work("install")
    assert site.rackwright("deployment", "retry", "d").stderr == "1 to run again\n"
    assert site.rackwright("deployment", "stop", "d").stderr == "d stopped\n"
    assert "state:        stopped" in site.rackwright("deployment", "status", "d").stdout
    assert site.rackwright("deployment", "resume", "d").stderr == "d resumed\n"
    assert site.rackwright("deployment", "commit", "d", "--yes").stderr == "0 to run\n"
    assert site.rackwright("deployment", "delete", "d", "--yes").exit_code == 0


def test_the_graph_is_a_table_a_drawing_or_json(site: World) -> None:
    site.apply(bind={"web": ["n1", "n2"]})
    lines = [line.split() for line in site.rackwright("deployment", "graph", "d").stdout.splitlines()]
    assert lines[1:] == [["install", "todo", "2", "todo", "-"], ["start", "blocked", "2", "blocked", "install"]]
    assert '"install" -> "start";' in site.rackwright("deployment", "graph", "d", "-o", "dot").stdout
    assert site.rackwright("deployment", "graph", "d", "-o", "svg").stdout.startswith("<svg")
    graph = json.loads(site.rackwright("deployment", "graph", "d", "-o", "json").stdout)
    assert len(graph["edges"]) == 2
    assert "n2" not in site.rackwright("deployment", "graph", "d", "--node", "n1").stdout


def test_no_colour_gets_into_what_is_no_terminal(site: World) -> None:
    site.apply(bind={"web": ["n1"]})
    assert "\x1b" not in site.rackwright("get", "deployments").output
    assert "\x1b" not in site.rackwright("get", "deployment", "zz").output


def _ours() -> list[str]:
    return [name for name, lazy in COMMANDS.items() if lazy.place.startswith("rackwright.cli.")]


@pytest.mark.parametrize("name", _ours())
def test_every_command_has_help_and_is_where_the_list_says(name: str) -> None:
    module, _, attribute = COMMANDS[name].place.partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    result = CliRunner().invoke(cli, [name, "--help"])
    assert (result.exit_code, bool(command.help)) == (0, True)


def test_failures_are_told_as_they_happen_and_once(site: World) -> None:
    site.apply(bind={"web": ["n1"]})
    site.work("install")
    lines = site.rackwright("deployment", "commit", "d", "--yes", "--wait").stderr.splitlines()
    assert lines[0] == "0 to run"
    assert lines[1].startswith("install on n1 is error: it broke")
    recap = lines.index("d: error; 0 of 1 ok")
    assert [line for line in lines[2:recap] if "it broke" in line] == []


def test_watching_outlives_a_restart_of_the_api(site: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE", 0.0)
    site.apply(bind={"web": ["n1"]})
    site.work()
    failures = [httpx.Response(503, json={"detail": "the database is away"}) for _ in range(3)]
    true_answer = site.answer
    monkeypatch.setattr(site, "answer", lambda request: failures.pop() if failures else true_answer(request))
    result = site.rackwright("wait", "deployment", "d")
    assert (result.exit_code, failures) == (0, [])


def test_a_log_is_followed_to_its_end_and_no_letter_is_torn(site: World, monkeypatch: pytest.MonkeyPatch) -> None:
    site.apply(bind={"web": ["n1"]})
    site.work()
    task = site.ask("GET", "/api/v1/deployments/d/tasks?task=install").json()["items"][0]["id"]
    text = "grün\n".encode()
    site.run(site.store.views.add_log([(task, 1, 0, text[:3], False)]))

    def grown(_: float) -> None:
        site.run(site.store.views.add_log([(task, 1, 3, text[3:], True)]))

    monkeypatch.setattr("time.sleep", grown)
    assert site.rackwright("logs", "-d", "d", "n1", "install", "-f").stdout == "grün\n"
