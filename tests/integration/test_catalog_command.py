"""Catalogs in folders: read, found by name, and the commands that lint, show and draw them."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from rackwright.cli.main import cli
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.engine.catalogs import find, folders, read_catalog, shipped

TASKS = """
- id: config
  type: script
  roles: [web]
  reads: [desired.web.port]
  writes: [web.config]
  parameters: {script: jobs/config.py}
- {id: serve, type: service, roles: [web], reads: [web.config], parameters: {command: [x]}}
"""
ROLES = "- {name: web, description: Serves., attributes: {properties: {port: {type: integer, default: 80}}}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    write(root, {"tasks.yaml": TASKS, "roles.yaml": ROLES, "jobs/config.py": "print()", "catalog.yaml": "strict: true"})
    return root


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["catalog", *map(str, arguments)])


def test_a_folder_is_read_with_the_files_that_its_tasks_name(folder: Path) -> None:
    write(folder, {"files/motd": "hi", ".git/tasks.yaml": "broken: [", "notes.txt": "no part of it"})
    catalog = read_catalog(folder)
    assert catalog.name == "mine"
    assert catalog.files == {"files/motd": "hi", "jobs/config.py": "print()"}


def test_a_file_that_is_no_text_or_lies_outside_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "blob").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "secret").write_text("s", encoding="utf-8")
    (folder / "files" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInput) as caught:
        read_catalog(folder)
    assert [fault.split(" (")[0] for fault in caught.value.faults] == [
        "files/blob:1: files/blob cannot be read: it is no UTF-8 text",
        "files/link:1: files/link lies outside of the catalog",
    ]


def test_a_script_outside_of_the_catalog_is_not_read(folder: Path, tmp_path: Path) -> None:
    write(folder, {"tasks.yaml": TASKS.replace("jobs/config.py", "../secret")})
    (tmp_path / "secret").write_text("s", encoding="utf-8")
    with pytest.raises(InvalidInput, match="outside of the catalog"):
        read_catalog(folder)


def test_catalogs_are_found_by_name_or_by_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "messaging" in shipped()
    assert find("messaging").name == "messaging"
    assert find(str(folder)).name == "mine"
    monkeypatch.chdir(folder.parent)
    assert folders("mine") == (Path("mine"),)
    with pytest.raises(NotFound) as caught:
        find("mesaging")
    assert caught.value.mend == "did you mean messaging?"


def test_a_plugin_brings_catalogs_and_layers_on_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = "- {id: extra, type: noop, roles: [nats]}"
    write(tmp_path / "some_plugin", {"__init__.py": "1 / 0", "on_top/tasks.yaml": extra, "new/tasks.yaml": extra})
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [
        EntryPoint("messaging", "some_plugin:on_top", "rackwright.catalog"),
        EntryPoint("new", "some_plugin:new", "rackwright.catalog"),
    ]
    monkeypatch.setattr("rackwright.engine.catalogs.installed.entry_points", lambda group: EntryPoints(points))
    merged = find("messaging")
    assert merged.graphs["deploy"].tasks[-1].id == "extra"
    assert len(merged.graphs["deploy"].tasks) > 1
    assert merged.strict
    assert [task.id for task in find("new").graphs["deploy"].tasks] == ["extra"]


def test_a_plugin_whose_folder_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint("lost", "rackwright:nowhere", "rackwright.catalog")])
    monkeypatch.setattr("rackwright.engine.catalogs.installed.entry_points", lambda group: points)
    with pytest.raises(InvalidInput, match="not there"):
        shipped()


def test_lint_of_a_clean_catalog_says_so(folder: Path) -> None:
    result = run("lint", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "catalog mine: 0 errors, 0 warnings\n"


def test_lint_shows_every_fault_with_file_and_line_and_ends_with_1(folder: Path) -> None:
    write(folder, {"more/tasks.yaml": "- {id: a, type: noop, roles: [webb], requires: [confg], colour: red}\n"})
    (folder / "jobs" / "config.py").unlink()
    result = run("lint", folder)
    assert result.exit_code == 1
    assert f"{folder}/more/tasks.yaml:1" in result.stdout
    assert f"{folder}/tasks.yaml:7" in result.stdout
    for code in ("unknown-role", "unknown-name", "unknown-key", "missing-file"):
        assert code in result.stdout
    assert result.stderr == "catalog mine: 3 errors, 1 warning\n"


def test_lint_tells_faults_of_reading_and_others_together(folder: Path) -> None:
    write(folder, {"more/tasks.yaml": "- {id: a, type: nope, roles: [webb]}\n"})
    items = json.loads(run("lint", folder, "-o", "json").stdout)
    assert [(item["code"], item["line"]) for item in items["findings"]] == [("bad-value", 1), ("unknown-role", 1)]
    assert items["errors"] == 2


def test_a_file_that_cannot_be_read_hides_what_may_only_follow_from_it(folder: Path) -> None:
    write(folder, {"roles.yaml": "- ["})
    items = json.loads(run("lint", folder, "-o", "json").stdout)
    assert [item["code"] for item in items["findings"]] == ["bad-yaml"]


def test_a_lenient_catalog_can_be_linted_strictly(folder: Path) -> None:
    write(
        folder,
        {"catalog.yaml": "strict: false", "more/tasks.yaml": "- {id: a, type: noop, type: noop, roles: [webb]}\n"},
    )
    assert run("lint", folder).exit_code == 0
    assert run("lint", folder, "--strict").exit_code == 1


def test_layers_are_linted_as_one(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "top", {"tasks.yaml": "- {id: last, type: noop, roles: [web], requires: [serve]}"})
    assert run("lint", folder, tmp_path / "top").exit_code == 0
    assert "unknown-name" in run("lint", tmp_path / "top").stdout


def test_show_tells_roles_graphs_and_tasks(folder: Path) -> None:
    shown = run("show", folder).stdout
    for word in ("mine", "web", "port", "deploy", "config", "serve", "tasks.yaml:2"):
        assert word in shown
    assert json.loads(run("show", folder, "-o", "json").stdout)["graphs"]["deploy"]["tasks"][0]["id"] == "config"


def test_show_tells_of_one_role_or_one_task(folder: Path) -> None:
    assert "80" in run("show", folder, "web").stdout
    assert "node:web.config" in run("show", folder, "serve").stdout
    assert json.loads(run("show", folder, "serve", "-o", "json").stdout)["graph"] == "deploy"
    result = run("show", folder, "serv")
    assert result.exit_code == 3
    assert "did you mean serve?" in result.stderr


def test_graph_writes_dot_and_svg(folder: Path, tmp_path: Path) -> None:
    assert '"config" -> "serve"' in run("graph", folder).stdout
    result = run("graph", folder, "-o", "svg", "--file", tmp_path / "g.svg")
    assert (result.exit_code, result.stderr) == (0, f"{tmp_path}/g.svg: 2 tasks, 1 line\n")
    assert ElementTree.parse(tmp_path / "g.svg").getroot().tag.endswith("svg")


def test_graph_names_what_it_does_not_find(folder: Path, tmp_path: Path) -> None:
    assert "it has: deploy" in run("graph", folder, "--type", "provision").stderr
    assert "did you mean web?" in run("graph", folder, "--role", "webs").stderr
    assert "cannot be written" in run("graph", folder, "--file", tmp_path / "no" / "g.dot").stderr
