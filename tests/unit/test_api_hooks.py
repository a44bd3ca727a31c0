"""Hooks and jobs through the api and the command line."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.core.hooks import Delivery, Happening, Message, settle
from tests.unit.api_world import World

WEBHOOK = {"name": "ops", "url": "https://ops.example.org/told", "events": ["node_task.error", "deployment.*"]}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


async def announced(world: World, *ids: int) -> None:
    async with world.store.transaction() as tx:
        await tx.announce([Happening(event="node_task.error", id=id) for id in ids])


async def parked(world: World) -> Message:
    """Let the first message of the only hook be parked."""
    async with world.store.transaction() as tx:
        (hook,) = await tx.subscriptions()
        (message,) = await tx.take_messages(hook.id, 1, 1e10, 2e10)
        ended = settle(message, Delivery(message=message.id, number=1, at=1.0, took=0.5, error="no"), 0.5)
        await tx.settle_messages([type(ended)(message=message, state="parked", not_before=0, delivery=ended.delivery)])
        return message


def test_a_webhook_gets_its_secret_once_and_is_listed_without_it(world: World) -> None:
    made = world.ask("POST", "/api/v1/hooks", WEBHOOK)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    listed = world.ask("GET", "/api/v1/hooks")
    assert secret not in listed.text
    (hook,) = listed.json()["items"]
    assert hook["events"][0] == "node_task.error"
    assert "deployment.active" in hook["events"]
    assert (hook["kind"], hook["target"], hook["waiting"], hook["parked"]) == ("webhook", WEBHOOK["url"], 0, 0)
    assert world.ask("POST", "/api/v1/hooks", WEBHOOK).json()["secret"] != secret
    assert world.ask("DELETE", "/api/v1/hooks/ops").status_code == 204
    assert world.ask("DELETE", "/api/v1/hooks/ops").status_code == 404


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"events": ["node_task.happy"]}, "there is no event node_task.happy"),
        ({"events": []}, "no event is named"),
        ({"url": "ftp://x/"}, "is no URL"),
        ({"name": "Not a name"}, "does not fit"),
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(world: World, change: dict[str, object], says: str) -> None:
    answer = world.ask("POST", "/api/v1/hooks", WEBHOOK | change)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


def test_a_reader_sees_hooks_and_jobs_and_changes_none(world: World) -> None:
    assert world.ask("GET", "/api/v1/hooks", token=world.reader).status_code == 200
    assert world.ask("GET", "/api/v1/jobs", token=world.reader).status_code == 200
    assert world.ask("POST", "/api/v1/hooks", WEBHOOK, token=world.reader).status_code == 403
    assert world.ask("POST", "/api/v1/jobs", {"kind": "facts.put"}, token=world.reader).status_code == 403


def test_an_operator_adds_a_webhook_looks_at_it_and_has_what_was_parked_delivered_again(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    added = world.rackwright(
        "webhook", "add", "ops", "--url", "http://127.0.0.1:1/", "--events", "node_task.error", "--save", str(file)
    )
    assert added.exit_code == 0, added.output
    assert file.read_text().startswith("whsec_")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    world.run(announced(world, 1, 2))
    message = world.run(parked(world))
    listed = world.rackwright("webhook", "list")
    assert listed.stdout.splitlines()[1].split()[:6] == ["ops", "webhook", "-", "node_task.error", "1", "1"]
    deliveries = world.rackwright("webhook", "deliveries", "ops", "-o", "json")
    (delivery,) = json.loads(deliveries.stdout)["items"]
    assert (delivery["id"], delivery["error"], delivery["took"]) == (f"msg_{message.key}", "no", 0.5)
    shown = world.rackwright("webhook", "messages", "ops", "--state", "parked")
    assert f"msg_{message.key}" in shown.stdout
    assert "1 messages will be delivered again" in world.rackwright("webhook", "redeliver", "ops").stderr
    assert "0 messages" in world.rackwright("webhook", "redeliver", "ops").stderr
    again = world.rackwright("webhook", "redeliver", "ops", f"msg_{message.key}")
    assert "1 messages" in again.stderr
    assert world.rackwright("webhook", "delete", "ops", "gone").exit_code == 6


def test_a_secret_is_not_written_over_a_file(world: World, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("mine")
    ended = world.rackwright(
        "webhook", "add", "ops", "--url", "http://127.0.0.1:1/", "--events", "node.*", "--save", str(file)
    )
    assert ended.exit_code != 0
    assert file.read_text() == "mine"
    assert world.ask("GET", "/api/v1/hooks").json()["items"] == []


def test_an_operator_asks_for_a_job_later_and_cancels_it(world: World) -> None:
    asked = ("job", "add", "deployment.retry", "deployment=web", 'tasks=["reboot"]', "--after", "600", "--once")
    first = world.rackwright(*asked)
    assert first.exit_code == 0, first.output
    assert "an equal job waits already" in world.rackwright(*asked).stderr
    (job,) = json.loads(world.rackwright("job", "list", "-o", "json").stdout)["items"]
    assert job["arguments"] == {"deployment": "web", "tasks": ["reboot"]}
    assert job["lock"] == "deployment:web"
    assert "deployment.retry" in world.rackwright("job", "list").stdout
    assert world.rackwright("job", "cancel", str(job["id"])).exit_code == 0
    assert world.rackwright("job", "cancel", str(job["id"])).exit_code == 4
    assert world.rackwright("job", "retry", str(job["id"])).exit_code == 4
    assert world.rackwright("job", "retry", "99999").exit_code == 3
    assert json.loads(world.rackwright("job", "list", "--state", "todo", "-o", "json").stdout)["items"] == []


def test_a_job_of_a_kind_that_there_is_not_is_refused_with_those_that_there_are(world: World) -> None:
    ended = world.rackwright("job", "add", "paint")
    assert ended.exit_code != 0
    assert "facts.put" in ended.stderr
