"""Node tasks that are released and handed out in one transaction: what everybody sees of them, and how often they are
written."""

from __future__ import annotations

import pytest

from rackwright.core import annealing
from rackwright.core.catalog import Task
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.ports import Transaction
from rackwright.store.postgres.queries import QUERIES
from rackwright.store.postgres.released import looks_at_node_tasks
from rackwright.store.postgres.transaction import PostgresTransaction
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, world

WRITTEN = "SELECT n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'node_task'"
ENDED = annealing.Ended(attempt=1, revision=0, outcome="ok")
INSTALL = Task(id="install", type="noop")


@pytest.fixture
async def made(store: AnyStore) -> World:
    """Two chains of two in r1, of which the first node tasks run, and one in r2."""
    found = await world(store, nodes=4)
    rows: list[NodeTask] = []
    for place, (node, rack) in enumerate((("n1", "r1"), ("n3", "r1"), ("n2", "r2"))):
        here = {"rack": found.racks[rack]}
        first, second = 10 * place + 1, 10 * place + 2
        runs = {"state": State.TRANSITION, "attempt": 1, "incarnation": "i", "lease_until": NOW + 60}
        rows.append(found.row(first, node, "a", children=(second,), priority=2, **runs, **here))
        rows.append(found.row(second, node, "b", state=State.BLOCKED, waits=1, priority=1, **here))
    await found.graph(rows)
    return found


async def ended(tx: Transaction, made: World, ids: list[int], handing: tuple[str, ...] = ("r1", "r2")) -> Neighbourhood:
    """End the attempts of these node tasks well, and save what follows."""
    near = await tx.lock(ids, "children")
    for id in ids:
        annealing.finish(near, near.rows[id], INSTALL, ENDED, NOW)
    await tx.save(near, [made.racks[rack] for rack in handing])
    return near


async def claimed(tx: Transaction, made: World, rack: str = "r1", room: int = 10) -> list[int]:
    """Claim what a rack may run, as claims do; gives the ids."""
    rows = await tx.claimable({made.racks[rack]: room}, NOW)
    near = Neighbourhood(rows={row.id: row for row in rows})
    for row in rows:
        annealing.claim(near, row, fingerprint=b"f", incarnation="i", now=NOW, until=NOW + 60)
    await tx.save(near)
    return [row.id for row in rows]


async def states(made: World) -> dict[int, str]:
    """The words of all node tasks."""
    return {id: row.state.word for id, row in (await made.rows()).items()}


async def test_what_was_released_can_be_claimed_at_once(made: World) -> None:
    async with made.store.transaction() as tx:
        await ended(tx, made, [1, 11])
        assert await claimed(tx, made) == [2, 12]
    assert await states(made) == {
        1: "active", 2: "transition", 11: "active", 12: "transition", 21: "transition", 22: "blocked",
    }  # fmt: skip


async def test_what_was_released_and_nobody_claimed_is_todo(made: World) -> None:
    async with made.store.transaction() as tx:
        await ended(tx, made, [1, 11, 21])
        assert await claimed(tx, made, room=1) == [2]
    assert {id: state for id, state in (await states(made)).items() if state != "active"} == {
        2: "transition", 12: "todo", 22: "todo",
    }  # fmt: skip


async def test_the_heaviest_of_a_scope_is_claimed_be_it_released_or_ready(made: World) -> None:
    rows = list((await made.rows()).values())
    heavy = made.row(5, "n1", "c", priority=7)
    light = made.row(15, "n3", "c", priority=0)
    await made.graph([*rows, heavy, light])
    async with made.store.transaction() as tx:
        await ended(tx, made, [1, 11])
        assert await claimed(tx, made) == [5, 12]


async def test_who_looks_at_node_tasks_sees_what_was_released(made: World) -> None:
    async with made.store.transaction() as tx:
        await ended(tx, made, [1, 11])
        assert await tx.find(made.deployment, None, None, State.TODO) == [2, 12]
        near = await tx.lock([2, 12])
        assert [(row.state, row.waits) for row in near.rows.values()] == [(State.TODO, 0)] * 2
        assert await claimed(tx, made) == [2, 12]


async def test_what_was_released_on_a_busy_scope_waits(made: World) -> None:
    rows = list((await made.rows()).values())
    await made.graph([*[row for row in rows if row.id != 12], made.row(12, "n2", "c", state=State.BLOCKED, waits=1)])
    async with made.store.transaction() as tx:
        await ended(tx, made, [1, 11])
        assert await claimed(tx, made) == [2], "the node task 21 runs on n2"
    assert (await states(made))[12] == "todo"


async def test_nothing_of_a_transaction_that_is_undone_is_kept(made: World) -> None:
    before = await states(made)
    async with made.store.transaction() as tx:
        await ended(tx, made, [1, 11])
        await tx.rollback()
    assert await states(made) == before


async def test_what_is_released_and_claimed_is_written_once(made: World) -> None:
    async with made.store.transaction() as tx:
        if not isinstance(tx, PostgresTransaction):
            pytest.skip("the memory counts no writes")
        await ended(tx, made, [1, 11])
        await claimed(tx, made)
        assert (await tx.text_rows(WRITTEN))[0][0] == 4, "two ended, two were claimed"


async def test_what_other_racks_wait_for_is_written_at_once(made: World) -> None:
    async with made.store.transaction() as tx:
        if not isinstance(tx, PostgresTransaction):
            pytest.skip("the memory counts no writes")
        await ended(tx, made, [1, 21], handing=("r1",))
        assert (await tx.text_rows(WRITTEN))[0][0] == 3, "two ended, one was released for the other rack"


@pytest.mark.parametrize("name", ["lock_rows", "lock_rows_and_children", "find_named", "held", "drop_rows", "slice"])
def test_a_statement_over_node_tasks_is_known_as_such(name: str) -> None:
    assert looks_at_node_tasks(QUERIES[name])


@pytest.mark.parametrize("name", ["keep_reads", "note_reads", "add_runs", "scopes", "unfinished", "save_rows"])
def test_a_statement_that_does_not_see_what_was_released_holds_nothing_up(name: str) -> None:
    assert not looks_at_node_tasks(QUERIES[name])
