"""Hooks from end to end within one process: webhooks, scripts and functions are told what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.hooks import Courier, Happening, Kind, Message, Subscription
from rackwright.core.signing import KEY_LENGTH
from rackwright.drivers.hook.function import FunctionCourier
from rackwright.drivers.hook.script import ScriptCourier
from rackwright.drivers.hook.webhook import WebhookCourier
from rackwright.drivers.jig import procfs
from rackwright.engine import deployments, hooks, jobs, machines
from rackwright.engine.catalogs import read_texts
from rackwright.engine.library import CatalogLibrary
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok
from tests.integration.receiver import Got, receiving

KEY = b"k" * KEY_LENGTH
ROLES = "- {name: web, hooks: {on_todo: scripts/tell.sh}}\n"
TASKS = """
- {id: install, type: noop, roles: [web], hooks: {on_active: scripts/tell.sh, on_error: scripts/tell.sh}}
- {id: start, type: noop, roles: [web], requires: [install]}
"""


class Postman:
    """The deliveries of one store."""

    def __init__(self, store: AnyStore, folder: Path) -> None:
        self.store = store
        self.library = CatalogLibrary()
        self.webhooks = WebhookCourier(KEY)
        self.scripts = ScriptCourier(str(folder))
        self.functions: dict[str, Any] = {}

    @property
    def couriers(self) -> dict[Kind, Courier]:
        return {"webhook": self.webhooks, "script": self.scripts, "python": FunctionCourier(self.functions)}

    async def webhook(self, url: str, *events: str, name: str = "hook", deployment: str | None = None) -> str:
        made = Subscription(name=name, kind="webhook", events=events, target=url)
        return await hooks.add_webhook(self.store, KEY, made, deployment)

    async def deliver(self) -> int:
        """Deliver all that is due now; gives how many deliveries were tried."""
        async with self.store.transaction() as tx:
            due = await tx.due(time.time())
        tried = [hooks.deliver(self.store, self.library, self.couriers, subscription) for subscription in due]
        return sum(await asyncio.gather(*tried))

    async def messages(self, name: str = "hook", state: str | None = None) -> list[Message]:
        async with self.store.transaction() as tx:
            found = await hooks.subscription_named(tx, name)
            return await tx.messages(found.id, state=state)

    async def until_quiet(self, name: str = "hook") -> None:
        async with asyncio.timeout(60):
            while await self.messages(name, "waiting"):
                await self.deliver()
                await asyncio.sleep(0.05)


@pytest.fixture
async def postman(store: AnyStore, tmp_path: Path) -> AsyncIterator[Postman]:
    made = Postman(store, tmp_path / "hooks")
    yield made
    await made.webhooks.close()


@pytest.fixture
def hands(store: AnyStore) -> Hands:
    return Hands(store, store.views)


async def happened(store: AnyStore, *ids: int, event: str = "node_task.active") -> None:
    async with store.transaction() as tx:
        await tx.announce([Happening(event=event, id=id, data={"number": number}) for number, id in enumerate(ids)])


async def test_a_webhook_is_told_in_a_signed_request_what_became_active(postman: Postman, hands: Hands) -> None:
    await hands.site(nodes=1)
    async with receiving() as receiver:
        await hands.deployment(TASKS.replace("hooks:", "extra:"), "- {name: web}\n")
        secret = await postman.webhook(receiver.url, "node_task.active", deployment="d")
        await hands.apply({"bind": {"web": ["n0"]}})
        await hands.run()
        assert await postman.deliver() == 2
        assert all(got.signed_with(secret) for got in receiver.got)
        assert not receiver.got[0].signed_with("whsec_" + "A" * 44)
        said = receiver.got[0].said
        assert (said["type"], said["data"]["scope"], said["data"]["task"]) == ("node_task.active", "n0", "install")
        assert [got.said["data"]["task"] for got in receiver.got] == ["install", "start"]
        assert [got.headers["content-type"] for got in receiver.got] == ["application/json"] * 2
        assert await postman.deliver() == 0


async def test_a_receiver_that_answers_500_is_told_again_with_the_same_id_and_in_order(postman: Postman) -> None:
    answers = [500, 500]

    def answer(got: Got) -> int:
        return answers.pop() if answers else 204

    async with receiving(answer) as receiver:
        await postman.webhook(receiver.url, "node_task.active")
        await happened(postman.store, 1, 1, 1)
        await postman.until_quiet()
        assert [got.said["data"]["number"] for got in receiver.got] == [0, 0, 0, 1, 2]
        assert len({got.id for got in receiver.got}) == 3
        first = {got.body for got in receiver.got[:3]}
        assert len(first) == 1
    async with postman.store.transaction() as tx:
        (hook,) = await tx.subscriptions()
        deliveries = await tx.deliveries(hook.id)
    assert [(each.number, each.error) for each in reversed(deliveries)] == [
        (1, "it answered 500"), (2, "it answered 500"), (3, ""), (1, ""), (1, ""),
    ]  # fmt: skip


async def test_a_receiver_that_hangs_is_left_at_the_limit_and_holds_no_other_back(postman: Postman) -> None:
    postman.webhooks.limit = 3.0
    async with receiving(lambda got: 0) as deaf, receiving() as receiver:
        await postman.webhook(deaf.url, "node_task.active", name="deaf")
        await postman.webhook(receiver.url, "node_task.active")
        await happened(postman.store, 1, 2)
        delivering = asyncio.create_task(postman.deliver())
        await receiver.until(2)
        await deaf.until(2)
        assert not delivering.done()
        assert await delivering == 4
    assert await postman.messages("hook", "waiting") == []
    assert [message.error for message in await postman.messages("deaf", "waiting")] == [
        "it took longer than 3 s and was ended"
    ] * 2


async def test_nobody_who_listens_is_a_reason_to_try_again(postman: Postman) -> None:
    async with receiving() as receiver:
        url = receiver.url
    await postman.webhook(url, "node_task.active")
    await happened(postman.store, 1)
    assert await postman.deliver() == 1
    (message,) = await postman.messages(state="waiting")
    assert "cannot be reached" in message.error


async def test_a_conductor_with_another_key_says_so_instead_of_signing_wrongly(postman: Postman) -> None:
    async with receiving() as receiver:
        await postman.webhook(receiver.url, "node_task.active")
        await postman.webhooks.close()
        postman.webhooks = WebhookCourier(b"x" * KEY_LENGTH)
        await happened(postman.store, 1)
        await postman.deliver()
        assert receiver.got == []
    (message,) = await postman.messages()
    assert "another key" in message.error


async def test_scripts_of_a_catalog_are_told_what_the_catalog_says(
    postman: Postman, hands: Hands, tmp_path: Path
) -> None:
    await hands.site(nodes=2)
    told = tmp_path / "told"
    script = f'#!/bin/sh\necho "$RACKWRIGHT_EVENT $RACKWRIGHT_NODE $RACKWRIGHT_TASK" >> {told}\n'
    files = {"catalog.yaml": "name: d\nstrict: true\n", "tasks.yaml": TASKS, "roles.yaml": ROLES}
    await hands.library.add(hands.store, "d", {**files, "scripts/tell.sh": script})
    await deployments.create(hands.store, hands.library, "d", catalog="d")
    await hands.apply({"bind": {"web": ["n0", "n1"]}})
    await hands.run(lambda claim: failed(claim) if claim.scope == "n1" else ok(claim))
    for _ in range(5):
        await postman.deliver()
    assert sorted(told.read_text().splitlines()) == [
        "node_task.active n0 install", "node_task.error n1 install", "node_task.todo n0 install",
        "node_task.todo n0 start", "node_task.todo n1 install",
    ]  # fmt: skip
    assert list((tmp_path / "hooks").glob("*/*")) == []
    files["tasks.yaml"] = TASKS.replace("on_active: scripts/tell.sh, ", "")
    await hands.library.add(hands.store, "d", {**files, "scripts/tell.sh": script})
    await hands.apply({"catalog": "d"})
    async with hands.store.transaction() as tx:
        assert [each.name for each in await tx.subscriptions()] == ["d:role:web:on_todo", "d:task:install:on_error"]


async def test_a_script_that_is_cut_off_is_killed_with_all_it_started(postman: Postman, tmp_path: Path) -> None:
    receiver = Subscription(name="s", kind="script", events=("node_task.active",), target="scripts/a.sh")
    began = tmp_path / "began"
    text = f"#!/bin/sh\nsleep 300 &\necho $! > {began}\nwait\n"
    message = Message(id=1, key="k", subscription=1, event="node_task.active", object="node_task/1", at=0.0, data={})
    carrying = asyncio.create_task(postman.scripts.carry(receiver, message, {"scripts/a.sh": text}))
    async with asyncio.timeout(60):
        while not (began.exists() and began.read_text()):
            await asyncio.sleep(0.01)
    carrying.cancel()
    await asyncio.wait({carrying})
    assert carrying.cancelled()
    stat = procfs.read_stat(int(began.read_text()))
    assert stat is None or not stat.alive


def test_a_hook_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    roles = "- {name: web, hooks: {on_aktive: scripts/a.sh, on_todo: 5}}\n"
    with pytest.raises(InvalidInput) as refused:
        read_texts("d", {"catalog.yaml": "name: d\nstrict: true\n", "roles.yaml": roles, "tasks.yaml": TASKS})
    assert "on_active" in "".join(refused.value.faults)
    assert "must name a script" in "".join(refused.value.faults)


async def test_installed_functions_are_told_and_one_that_raises_is_told_again(postman: Postman) -> None:
    told: list[Message] = []

    class Function:
        events = ("node.created", "node.deleted")

        async def told(self, message: Message) -> None:
            told.append(message)
            if len(told) == 1:
                raise ValueError("not today")

    postman.functions = {"mine": Function()}
    await hooks.register(postman.store, {"mine": Function.events})
    await machines.add_nodes(postman.store, [machines.NewNode(name="n1")])
    await machines.remove(postman.store, "node", "n1")
    await postman.until_quiet("python:mine")
    assert [(message.event, message.data["name"]) for message in told] == [
        ("node.created", "n1"), ("node.created", "n1"), ("node.deleted", "n1"),
    ]  # fmt: skip
    assert told[0].key == told[1].key != told[2].key


async def test_what_becomes_of_nodes_and_deployments_is_told(postman: Postman, hands: Hands) -> None:
    async with receiving() as receiver:
        await postman.webhook(receiver.url, "node.created", "node.changed", "deployment.created", "deployment.deleted")
        await hands.site(nodes=1)
        await machines.set_node(hands.store, "n0", available=False)
        await machines.set_node(hands.store, "n0", available=False)
        await machines.set_address(hands.store, hands.library, "n0", "127.1.9.9")
        await hands.deployment(TASKS.replace("hooks:", "extra:"), "- {name: web}\n")
        await deployments.delete(hands.store, "d")
        await postman.until_quiet()
        said = [
            (got.said["type"], got.said["data"].get("available"), got.said["data"].get("address"))
            for got in receiver.got
        ]
        assert said == [
            ("node.created", None, None), ("deployment.created", None, None), ("node.changed", False, None),
            ("deployment.deleted", None, None), ("node.changed", None, "127.1.9.9"),
        ]  # fmt: skip


async def test_a_deployment_that_becomes_active_or_has_errors_is_told_once(postman: Postman, hands: Hands) -> None:
    async with receiving() as receiver:
        await hands.site(nodes=2)
        await hands.deployment(TASKS.replace("hooks:", "extra:"), "- {name: web}\n", bind={"web": ["n0", "n1"]})
        assert await hooks.watch(hands.store) == 0
        await postman.webhook(receiver.url, "deployment.active", "deployment.error", deployment="d")
        assert await hooks.watch(hands.store) == 1
        await hands.run(lambda claim: failed(claim) if claim.scope == "n1" else ok(claim))
        assert [await hooks.watch(hands.store), await hooks.watch(hands.store)] == [1, 0]
        await deployments.retry(hands.store, "d")
        await hands.run()
        assert [await hooks.watch(hands.store), await hooks.watch(hands.store)] == [1, 0]
        await postman.until_quiet()
        assert [got.said["type"] for got in receiver.got] == ["deployment.error", "deployment.active"]
        assert receiver.got[0].said["data"] == {"deployment": "d", "name": "d"}


async def test_a_job_is_asked_for_once_for_all_that_waits(postman: Postman) -> None:
    await postman.webhook("http://127.0.0.1:1", "node_task.active")
    await happened(postman.store, 1, 2)
    assert await hooks.dispatch(postman.store, time.time()) == 1
    assert await hooks.dispatch(postman.store, time.time()) == 0
    async with postman.store.transaction() as tx:
        (job,) = await tx.jobs()
    assert (job.kind, job.lock) == (hooks.DELIVER, job.queueing_lock)


async def test_a_job_for_later_is_checked_when_it_is_asked_for(store: AnyStore) -> None:
    with pytest.raises(InvalidInput, match="no kind of job paint"):
        await jobs.ask(store, "paint", {}, not_before=None, once=False)
    with pytest.raises(InvalidInput, match=r"do not fit facts\.put"):
        await jobs.ask(store, "facts.put", {"nod": "n0"}, not_before=None, once=False)
    with pytest.raises(InvalidInput):
        await jobs.ask(store, "facts.put", {"node": "n0", "facts": {"web.conf": 1}}, not_before=None, once=False)
    reboot = {"deployment": "d", "tasks": ["reboot"], "nodes": ["n0"]}
    assert await jobs.ask(store, "deployment.retry", reboot, not_before=5.0, once=True) is not None
    assert await jobs.ask(store, "deployment.retry", reboot, not_before=9.0, once=True) is None


async def test_jobs_do_what_their_kind_says(hands: Hands, postman: Postman) -> None:
    await hands.site(nodes=1)
    await hands.deployment(TASKS.replace("hooks:", "extra:"), "- {name: web}\n", bind={"web": ["n0"]})
    await hands.run()
    does = jobs.kinds(hands.store, hands.library, postman.couriers)
    await does["facts.put"](node="n0", facts={"desired.web.port": 8080, "observed.os": "linux"})
    (node,) = await hands.views.nodes(names=["n0"])
    assert (node.facts["desired.web.port"], node.facts["observed.os"]) == (8080, "linux")
    await does["deployment.retry"](deployment="d", tasks=["start"], nodes=["n0"])
    assert await hands.run() == [("n0", "start")]
    await does["deployment.stop"](deployment="d")
    assert await _stopped(hands)
    await does["deployment.resume"](deployment="d")
    assert not await _stopped(hands)
    with pytest.raises(NotFound):
        await does["deployment.commit"](deployment="gone")
    await does[jobs.UPKEEP](timestamp=int(time.time()))


async def _stopped(hands: Hands) -> bool:
    async with hands.store.transaction() as tx:
        id = (await tx.named("deployment", ["d"]))["d"].id
        return (await tx.deployments([id]))[id].stopped
