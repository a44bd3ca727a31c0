"""An operator's story of roles that bring others: from the catalog's folder to a cluster and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.api_world import World

ROLES = """
- {name: base, implicit: true}
- {name: store, abstract: true}
- {name: files, provides: [store], cluster: true, requires: [base]}
- {name: dns, service: true}
- {name: app, requires: [base, store, dns], conflicts: [mail], milestone: true}
- {name: mail}
"""
TASKS = """
- {id: prepare, type: noop, roles: [base]}
- {id: share, type: noop, roles: [files]}
- {id: zone, type: noop, scope: deployment, roles: [dns]}
- {id: serve, type: noop, roles: [app]}
- {id: post, type: noop, roles: [mail]}
"""
PLAN = """\
Deployment cloud, plan {id}
  members + n1, n2
  role + base on n1: app requires it
  role + base on n2: files requires it
  role + dns on cloud: app requires it
  cloud: desired.service_roles null -> ["dns"]

+ prepare   on n1, n2   it has not run yet
+ share     on n1, n2   it has not run yet
+ zone      on cloud    it has not run yet
+ serve     on n1       it has not run yet

Plan: 6 to run, 0 to run again, 0 to commit, 0 removed
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "stack"
    folder.mkdir()
    (folder / "catalog.yaml").write_text("name: stack\nstrict: true\n")
    (folder / "roles.yaml").write_text(ROLES)
    (folder / "tasks.yaml").write_text(TASKS)
    world = World()
    world.site()
    assert world.rackwright("catalog", "lint", str(folder)).exit_code == 0
    assert world.rackwright("catalog", "add", str(folder)).exit_code == 0
    assert world.rackwright("deployment", "create", "cloud", "--catalog", "stack").exit_code == 0
    yield world
    world.close()


def test_an_operator_binds_one_role_and_is_told_what_comes_with_it(world: World) -> None:
    changes = ("cloud", "--bind", "app=n1", "--bind", "files=n1,n2")
    planned = world.rackwright("deployment", "plan", *changes)
    (plan,) = world.ask("GET", "/api/v1/deployments/cloud/plans").json()["items"]
    assert planned.stdout == PLAN.format(id=plan["id"])
    assert world.rackwright("deployment", "apply", *changes).exit_code == 0
    ran = world.work()
    assert {scope for scope, task in ran[: ran.index(("n1", "serve"))] if task == "share"} == {"n1", "n2"}
    assert ran.index(("cloud", "zone")) < ran.index(("n1", "serve"))


def test_what_is_needed_stays_until_all_that_needs_it_goes(world: World) -> None:
    world.rackwright("deployment", "apply", "cloud", "--bind", "app=n1", "--bind", "files=n2")
    world.work()
    refused = world.rackwright("deployment", "plan", "cloud", "--unbind", "base=n1")
    assert refused.exit_code == 1
    assert "base is still needed by app on n1" in refused.stderr
    assert "--cascade" in refused.stderr
    cascade = world.rackwright("deployment", "apply", "cloud", "--unbind", "base=n1", "--cascade", "--yes")
    assert "role - app on n1: it requires base" in cascade.stdout
    all_of_it = world.rackwright("deployment", "apply", "cloud", "--unbind", "*=n2", "--unbind", "dns=cloud", "--yes")
    assert all_of_it.exit_code == 0, all_of_it.stderr
    assert world.ask("GET", "/api/v1/deployments/cloud/tasks").json()["items"] == []


def test_two_that_exclude_each_other_are_named(world: World) -> None:
    refused = world.rackwright(
        "deployment", "plan", "cloud", "--bind", "app=n1", "--bind", "mail=n1", "--bind", "files=n2"
    )
    assert refused.exit_code == 1
    assert "app and mail exclude each other on n1" in refused.stderr


def test_a_deployment_below_uses_what_is_above_it(world: World) -> None:
    world.rackwright("deployment", "apply", "cloud", "--bind", "files=n2", "--bind", "dns=cloud")
    made = world.rackwright("deployment", "create", "tenant", "--catalog", "stack", "--parent", "cloud")
    assert made.exit_code == 0
    planned = world.rackwright("deployment", "plan", "tenant", "--bind", "app=n1")
    assert [line for line in planned.stdout.splitlines() if "role +" in line] == [
        "  role + base on n1: app requires it"
    ]
    world.rackwright("deployment", "apply", "tenant", "--bind", "app=n1")
    world.rackwright("deployment", "stop", "cloud")
    assert world.ask("GET", "/api/v1/deployments/tenant").json()["state"] == "stopped"
    assert world.rackwright("deployment", "resume", "tenant").exit_code == 4


def test_roles_are_shown_with_what_they_say_and_milestones_first(world: World, tmp_path: Path) -> None:
    folder = str(tmp_path / "stack")
    shown = world.rackwright("catalog", "show", folder, "app").stdout
    assert "base, store, dns" in shown
    assert "milestone" in shown
    roles = world.ask("GET", "/api/v1/roles?catalog=stack").json()["items"]
    assert [role["name"] for role in roles] == ["app", "base", "dns", "files", "mail", "store"]
    assert (roles[0]["requires"], roles[0]["milestone"]) == (["base", "store", "dns"], True)
    drawn = world.rackwright("catalog", "graph", folder, "--role", "dns")
    assert (drawn.exit_code, "zone" in drawn.stdout) == (0, True)
