"""Why a node task runs or waits, and expressions of people: on both stores."""

from __future__ import annotations

import time

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.core.explanation import Explanation
from rackwright.engine.asking import ask
from rackwright.engine.explaining import explain
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

ROLES = """
- {name: web, attributes: {properties: {port: {type: integer, default: 80}}}}
- {name: db}
"""
TASKS = """
- {id: first, type: noop, roles: [web], reads: {port: desired.web.port}, condition: {yaql_exp: $.port > 10}}
- {id: second, type: noop, roles: [web], requires: [first]}
- {id: third, type: noop, roles: [db], cross_depends: [{name: first, role: web}]}
"""
NODES = [f"n{number}" for number in range(6)]


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(nodes=6)
    await made.deployment(TASKS, ROLES, bind={"web": NODES, "db": NODES})
    return made


async def why(hands: Hands, node: str, task: str) -> Explanation:
    return await explain(hands.store, hands.library, node, task, deployment=None, now=time.time())


async def test_parents_and_closed_barriers_are_named(hands: Hands) -> None:
    await hands.claim(capacity=1)
    second, third = await why(hands, "n1", "second"), await why(hands, "n1", "third")
    assert [(one.kind, one.what) for one in second.waits_for] == [("parent", "first on n1 is todo")]
    assert [one.what for one in third.waits_for if one.kind == "parent"] == [
        f"first on {node} is {'transition' if node == 'n0' else 'todo'}" for node in NODES
    ]
    assert [one.what for one in third.waits_for if one.kind == "barrier"] == [
        "the barrier first > third is closed: 6 are not active"
    ]
    assert [one.kind for one in (await why(hands, "n0", "second")).waits_for] == ["parent", "busy"]


async def test_the_newest_run_is_told(hands: Hands) -> None:
    await hands.run(lambda claim: failed(claim) if claim.scope == "n0" else ok(claim))
    broken, done = await why(hands, "n0", "first"), await why(hands, "n1", "first")
    assert (broken.verdict, broken.why) == ("error", "it broke")
    assert broken.last_run is not None
    assert (broken.last_run.outcome, broken.last_run.attempt) == ("failed", 1)
    assert (done.verdict, done.condition.value) == ("active", True)
    assert [(read.place, read.change, read.recorded) for read in done.reads if read.read] == [("port", "same", 80)]
    await hands.apply({"set": {"web": {"port": 81}}})
    again = await why(hands, "n1", "first")
    assert (again.verdict, again.why) == ("runs", "changed: desired.web.port")
    assert [read.change for read in again.reads if read.read] == ["different"]


async def test_an_expression_sees_what_a_task_there_would(hands: Hands) -> None:
    await hands.run()
    await hands.apply({"set_nodes": {"n1": {"web": {"port": 90}}}})

    async def value(expression: str, node: str, task: str | None = None) -> object:
        return (await ask(hands.store, hands.library, expression, node, deployment="d", task=task)).value

    assert await value("$.web.port", "n0") == 80
    assert await value("$.web.port", "n1") == 90
    assert await value("$.port", "n1", "first") == 90
    assert await value("[changed($.port), old($.nothing)]", "n1", "first") == [True, None]
    assert await value("changed($.port)", "n0", "first") is False
    with pytest.raises(InvalidInput, match="there is no key 'port'"):
        await value("$.port", "n1")
