"""Tasks that misbehave: each is told with its reason, none holds up the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.site import CATALOGS, Site, eventually

ROLES = ("hanging", "failing", "noisy", "messy", "well")


@pytest.fixture(scope="module")
def troubled(site: Site) -> dict[str, Any]:
    """The deployment `trouble`, one node of each kind, at rest; gives how it stands."""
    nodes = site.add_nodes("t", len(ROLES), 2)
    site.run("catalog", "add", str(CATALOGS / "troubled"), "--name", "troubled")
    site.run("deployment", "create", "trouble", "--catalog", "troubled")
    words = [word for role, node in zip(ROLES, nodes, strict=True) for word in ("--bind", f"{role}={node}")]
    site.run("deployment", "apply", "trouble", *words, "--wait", "--timeout", "240s", code=6)
    return site.deployment("trouble")


def reason(site: Site, node: str, task: str) -> str:
    found = site.tasks("trouble")[node, task]
    assert found["state"] == "error"
    return str(found["reason"])


def test_the_deployment_says_error_and_every_reason(troubled: dict[str, Any]) -> None:
    assert troubled["state"] == "error"
    said = "\n".join(troubled["reasons"])
    for task in ("hang", "fail", "print", "litter"):
        assert f"{task} on " in said


def test_a_task_that_hangs_is_killed_at_its_timeout(site: Site, troubled: dict[str, Any]) -> None:
    said = reason(site, "t1", "hang")
    assert "timeout of 2 s" in said
    assert "I begin" in said


def test_what_follows_a_failed_task_is_blocked(site: Site, troubled: dict[str, Any]) -> None:
    assert site.tasks("trouble")["t1", "after-hang"]["state"] == "blocked"


def test_a_task_that_exits_with_1_is_told_with_its_last_words(site: Site, troubled: dict[str, Any]) -> None:
    said = reason(site, "t2", "fail")
    assert "exit code 1" in said
    assert "the disk is not there" in said


def test_a_task_that_prints_without_end_is_stopped(site: Site, troubled: dict[str, Any]) -> None:
    assert "log" in reason(site, "t3", "print")


def test_a_task_that_leaves_children_behind_is_told_and_cleaned_up_after(site: Site, troubled: dict[str, Any]) -> None:
    assert "left 1 process" in reason(site, "t4", "litter")


def test_no_process_of_a_failed_task_is_left(site: Site, troubled: dict[str, Any]) -> None:
    eventually(lambda: site.of_tasks() == [], "nothing is left")


def test_the_work_of_other_nodes_goes_on(site: Site, troubled: dict[str, Any]) -> None:
    assert site.tasks("trouble")["t5", "work"]["state"] == "active"
    nodes = site.add_nodes("v", 1, 3)
    site.run("deployment", "create", "other", "--catalog", "troubled")
    site.run("deployment", "apply", "other", "--bind", f"well={nodes[0]}", "--wait", "--timeout", "240s")
    assert site.deployment("other")["state"] == "active"


def test_a_retry_tries_again_and_fails_again(site: Site, troubled: dict[str, Any]) -> None:
    before = len(site.runs("trouble"))
    site.run("deployment", "retry", "trouble", "--task", "fail")
    eventually(lambda: len(site.runs("trouble")) > before, "it has run again")
    assert "exit code 1" in reason(site, "t2", "fail")
